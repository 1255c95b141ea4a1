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


def prepared(request, q, k, v, tensors, attend):
    """The call that is timed: `attend`, or its backward pass alone. `call.step` of that is both, as training does them."""
    if request["pass"] == "forward":
        return torch.no_grad()(attend), lambda out: [out.to(torch.float32).numpy()]
    leaves = [x.requires_grad_() for x in (q, k, v, *(tensors[name] for name in request["gradients"]))]
    grad_out = load(request["grad_out"])
    out = attend()

    def call():
        return torch.autograd.grad(out, leaves, grad_out, retain_graph=True)

    call.step = lambda: torch.autograd.grad(attend(), leaves, grad_out)
    return call, lambda gradients: [x.to(torch.float32).numpy() for x in gradients]


def prepare_sdpa(request, dropout=0.0):
    q, k, v, tensors = load_inputs(request)
    options = {"enable_gqa": True} if q.shape[1] != k.shape[1] else {}
    if dropout > 0:
        options["dropout_p"] = dropout

    def mask():
        made = dense_bias(request["pattern"], tensors, q.shape[1], q.shape[2], k.shape[2])
        return made if made is None or made.dtype == torch.bool else made.to(q.dtype)[None]

    if request["pattern"] == "causal":
        options["is_causal"] = True
    elif not request["gradients"]:
        options["attn_mask"] = mask()

    def attend():
        if request["gradients"]:  # what is differentiated is made anew in every step
            options["attn_mask"] = mask()
        return F.scaled_dot_product_attention(q, k, v, **options)

    return prepared(request, q, k, v, tensors, attend)


def prepare_without_dropout(request):
    if request["dropout"]:
        raise NotImplementedError("left out: pytorch-dropout is its path for dropout")
    return prepare_sdpa(request)


def prepare_dropout(request):
    """The path that SDPA takes with dropout, by one that drops nothing, so that its gradients can be compared."""
    dense_backward = request["suite"] == "backward" and request["pattern"] in ("full", "causal")
    if not request["dropout"] and not dense_backward:
        raise NotImplementedError("left out: beside dropout and dense backward passes alone")
    return prepare_sdpa(request, dropout=1e-30)


def prepare_flex(request):
    if request["dropout"]:
        raise NotImplementedError("has no dropout")
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

    def attend():
        return compiled(q, k, v, score_mod=score_mod, block_mask=block_mask, enable_gqa=gqa)

    return prepared(request, q, k, v, tensors, attend)
