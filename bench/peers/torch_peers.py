"""PyTorch: scaled_dot_product_attention, and FlexAttention compiled.

Masks, biases and block masks are made before the clock starts, as a user would keep them over the layers of a model.
"""
import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from patterns import PATTERNS, dense_bias

VERSION = f"torch {torch.__version__}"
COMPILED = {}  # what makes FlexAttention compile anew -> the compiled function

torch._dynamo.config.recompile_limit = 1000
torch._dynamo.config.accumulated_recompile_limit = 10000


def load(path):
    array = np.load(path)
    if array.dtype == np.uint16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def load_inputs(request):
    torch.set_num_threads(request["threads"])
    q, k, v = (load(request[name]) for name in "qkv")
    tensors = {name: load(path) for name, path in request["buffers"].items()}
    tensors["kv_len"] = k.shape[2]
    if q.dtype != k.dtype:
        raise NotImplementedError("takes one dtype for q, k and v")
    return q, k, v, tensors


def as_numpy(out):
    return out.to(torch.float32).numpy()


def prepare_sdpa(request):
    q, k, v, tensors = load_inputs(request)
    options = {"enable_gqa": True} if q.shape[1] != k.shape[1] else {}
    if request["pattern"] == "causal":
        options["is_causal"] = True
    else:
        mask = dense_bias(request["pattern"], tensors, q.shape[1], q.shape[2], k.shape[2])
        if mask is not None:
            options["attn_mask"] = mask if mask.dtype == torch.bool else mask.to(q.dtype)[None]

    @torch.no_grad()
    def call():
        return F.scaled_dot_product_attention(q, k, v, **options)

    return call, as_numpy


def prepare_flex(request):
    if request["suite"] == "shapes":
        raise NotImplementedError("left out: every shape would compile for seconds")
    q, k, v, tensors = load_inputs(request)
    score_mod, mask_mod, _ = PATTERNS[request["pattern"]](tensors)
    block_mask = None
    if mask_mod is not None:
        block_mask = create_block_mask(mask_mod, None, None, q.shape[2], k.shape[2], device="cpu")
    gqa = q.shape[1] != k.shape[1]
    key = (request["pattern"], q.dtype, q.shape, k.shape, v.shape, request["threads"])
    compiled = COMPILED.setdefault(key, torch.compile(flex_attention, dynamic=False))

    @torch.no_grad()
    def call():
        return compiled(q, k, v, score_mod=score_mod, block_mask=block_mask, enable_gqa=gqa)

    return call, as_numpy
