"""flex_attention with PyTorch's arguments, and its gradients by q, k, v and every captured float tensor."""
from typing import Any, Dict, NamedTuple, Optional

import torch

from .._patterns import pattern_of
from ..trace import is_traced
from . import compiled
from .autograd import Call, attend
from .block_mask import sliced_mask_mod
from .kernel import autocast, in_rows
from .known import call_again, remember
from .operators import NO_BLOCKS

FlexKernelOptions = Dict[str, Any]  # of PyTorch's kernels; they mean nothing here


class AuxRequest(NamedTuple):
    """Which outputs are wanted besides: the log-sum-exp of each row, its largest score."""

    lse: bool = False
    max_scores: bool = False


class AuxOutput(NamedTuple):
    """What AuxRequest asked for, float32 (batch, heads, q_len); None for the rest."""

    lse: Optional[torch.Tensor] = None
    max_scores: Optional[torch.Tensor] = None


def checked(query, key, value, block_mask, enable_gqa):
    for name, x in (("query", query), ("key", key), ("value", value)):
        if not isinstance(x, torch.Tensor):
            raise TypeError(f"{name} is a torch.Tensor, not a {type(x).__name__}")
        if x.dim() != 4:
            raise NotImplementedError(f"query, key, and value must be 4D tensors; {name} has shape {tuple(x.shape)}")
        if x.device.type != "cpu":
            raise ValueError(f"flexjit runs on the processor, and {name} is on {x.device}; move it by .cpu()")
    if key.dtype != value.dtype or query.dtype != key.dtype and query.dtype != torch.float32:
        raise ValueError(f"Expected query, key, and value to have the same dtype, but got {query.dtype}, {key.dtype} and {value.dtype}")
    heads, kv_heads = query.size(1), key.size(1)
    if not enable_gqa and heads != kv_heads:
        raise ValueError(f"Expect query and key/value to have the same number of heads but got Hq={heads} and Hkv={kv_heads}. "
                         "Try setting enable_gqa=True for GQA.")
    if heads % kv_heads != 0:
        raise ValueError(f"Expect number of query heads to be a multiple of kv heads for GQA but got Hq={heads} and Hkv={kv_heads}.")
    if query.size(0) != key.size(0) and not (block_mask is not None and key.size(0) == 1):
        raise ValueError(f"Expect query and key/value to have the same batch size, but got Bq={query.size(0)}, Bkv={key.size(0)}")


def prepared(query, key, value, block_mask, enable_gqa):
    """The tensors of a call as the engine takes them: of autocast's element type, of one batch, their rows dense."""
    query, key, value = autocast(query, key, value)
    checked(query, key, value, block_mask, enable_gqa)
    if block_mask is not None and block_mask.mask_mod is sliced_mask_mod:
        raise RuntimeError("Cannot use mask_mod from a sliced BlockMask")
    if key.size(0) != query.size(0):
        key, value = key.expand(query.size(0), -1, -1, -1), value.expand(query.size(0), -1, -1, -1)
    return in_rows(query), in_rows(key), in_rows(value)


def checked_mask(block_mask, query, key):
    lengths = (query.size(-2), key.size(-2))
    if lengths != block_mask.seq_lengths:
        small = lengths[0] > block_mask.seq_lengths[0] or lengths[1] > block_mask.seq_lengths[1]
        raise RuntimeError(f"block_mask was created for {'smaller' if small else 'larger'} lengths {block_mask.seq_lengths} than those it is used "
                           f"for, {lengths}: create a new block mask for these")


def in_graph(query, key, value, score_mod, block_mask, scale, with_lse, with_max):
    """The call while Dynamo traces it. Lengths are not looked at, so that others are no other graph; the engine compares them."""
    compiled.known_to_dynamo()
    score, mask, mask_mod = None, None, compiled.every_pair
    blocks, lists, block_size = NO_BLOCKS, [], (0, 0)
    if block_mask is not None:
        (blocks, lists), block_size, mask_mod = block_mask.operands(), block_mask.BLOCK_SIZE, block_mask.mask_mod
    else:
        mask = ""
    if isinstance(mask_mod, str):
        mask, mask_mod = mask_mod, compiled.every_pair
    if score_mod is None or isinstance(score_mod, str):
        score, score_mod = score_mod or "", compiled.same_score
    options = {"score": score, "mask": mask, "with_max": with_max}
    return compiled.attention(query, key, value, score_mod, (blocks, tuple(lists), tuple(block_size), mask_mod), scale, options)


def at_once(query, key, value, score_mod, block_mask, scale, with_lse, with_max):
    mask_mod, blocks, lists, block_size = None, NO_BLOCKS, [], [0, 0]
    if block_mask is not None:
        checked_mask(block_mask, query, key)
        mask_mod, (blocks, lists), block_size = block_mask.mask_mod, block_mask.operands(), list(block_mask.BLOCK_SIZE)
    again = is_traced(score_mod) and is_traced(mask_mod)
    pattern = pattern_of(score_mod, mask_mod)
    results = attend(Call(pattern, blocks, lists, block_size, scale, with_max), query, key, value, *pattern.bindings.values(),
                     with_lse=with_lse)
    if again and not results[0].requires_grad:
        remember(query, key, value, score_mod, block_mask, scale, pattern)
    return results


def flex_attention(query, key, value, score_mod=None, block_mask=None, scale=None, enable_gqa=False, return_lse=False, kernel_options=None, *,
                   return_aux=None):
    """softmax(mask(score_mod(scale query key^T))) value. query (B, Hq, L, E), key (B, Hkv, S, E), value (B, Hkv, S, Ev), all of
    float32, float64, bfloat16 or float16; out (B, Hq, L, Ev). score_mod: a function of (score, b, h, q_idx, kv_idx) or a text.
    With return_lse (out, lse), with return_aux (out, AuxOutput). kernel_options are those of other kernels and mean nothing
    here. Differentiable once, by lse too. Raises flexjit.TraceError for mods that cannot be traced."""
    if return_lse and return_aux is not None:
        raise ValueError("Cannot specify both return_lse and return_aux; return_aux=AuxRequest(lse=True) is enough")
    with_lse, with_max = (return_lse, False) if return_aux is None else return_aux
    tracing = torch.compiler.is_dynamo_compiling()
    results = None if tracing else call_again(query, key, value, score_mod, block_mask, scale, enable_gqa, with_lse, with_max)
    if results is None:
        call = in_graph if tracing else at_once
        tensors = prepared(query, key, value, block_mask, enable_gqa)
        results = call(*tensors, score_mod, block_mask, None if scale is None else float(scale), with_lse, with_max)
    out, lse, most = results
    if return_aux is not None:
        return out, AuxOutput(lse if with_lse else None, most if with_max else None)
    return (out, lse) if return_lse else out
