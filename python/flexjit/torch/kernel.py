"""A compiled pattern as PyTorch's operators and autograd use it: tensors in, new tensors out."""
import re

import torch

from .. import _core
from .._engine import default_engine

BATCH = re.compile(r"\bb\b")


def reads_batch(pattern):
    """Whether a mod may depend on the batch index."""
    return bool(BATCH.search(pattern.score_mod) or BATCH.search(pattern.mask_mod))


class Kernel:
    """handle: the engine's. names: of the captured tensors, in their order. of_score: those whose gradients exist."""

    __slots__ = ("handle", "names", "of_score")

    def __init__(self, pattern, q, k, v, scale):
        dtype = _core.dtype_name(q)
        kv_dtype = dtype if k.dtype == q.dtype else _core.dtype_name(k)
        self.handle = default_engine().handle(pattern, dtype=dtype, kv_dtype=kv_dtype, head_dim=q.size(3), v_head_dim=v.size(3), scale=scale)
        self.names, self.of_score = tuple(pattern.buffers), pattern.traced_score

    def forward(self, q, k, v, captured, block_mask, with_lse, with_max):
        """(out, lse, max_scores): out (batch, q_heads, q_len, v_head_dim) like q, the others float32 (batch, q_heads, q_len), lse
        float64 beside a float64 q, None where they are not wanted. block_mask: the engine's, or None."""
        out, lse, most = results(q, v, with_lse, with_max)
        self.handle.core.run(q=q, k=k, v=v, out=out, lse=lse, max_scores=most, bindings=dict(zip(self.names, captured)), block_mask=block_mask)
        return out, lse, most

    def backward(self, q, k, v, captured, out, lse, grad_out, grad_lse, block_mask, needed):
        """Gradients by q, k, v and each captured tensor, None for those that are not in `needed` or do not exist."""
        given = {"out": in_rows(grad_out), "lse": None if grad_lse is None else grad_lse.float()}  # the engine takes fp32 alone
        wanted = [torch.empty_like(x, memory_format=torch.contiguous_format) if need else None for x, need in zip((q, k, v), needed)]
        given.update({name: grad for name, grad in zip("qkv", wanted) if grad is not None})
        into = {name: torch.empty(x.shape, dtype=x.dtype) for name, x, need in zip(self.names, captured, needed[3:]) if need and name in self.of_score}
        self.handle.core.run_backward(given, into, q=q, k=k, v=v, out=out, lse=lse, bindings=dict(zip(self.names, captured)), block_mask=block_mask)
        return (*wanted, *[into.get(name) for name in self.names])


def results(q, v, with_lse, with_max):
    """Tensors for what a call gives, of any kind of tensor that q is."""
    return q.new_empty((*q.shape[:3], v.shape[3])), *statistics(q, with_lse, with_max)


def statistics(q, with_lse, with_max):
    """Tensors for lse and max_scores, None for what is not wanted."""
    rows = q.shape[:3]
    lse = q.new_empty(rows, dtype=torch.float64 if q.dtype == torch.float64 else torch.float32) if with_lse else None
    return lse, q.new_empty(rows, dtype=torch.float32) if with_max else None


def autocast(*tensors):
    """The tensors as torch.autocast wants them, as they are without it."""
    if not torch.is_autocast_enabled("cpu"):
        return tensors
    to = torch.get_autocast_dtype("cpu")
    return tuple(x.to(to) if x.dtype in (torch.float32, torch.float16, torch.bfloat16) else x for x in tensors)


def in_rows(x):
    """x, or a copy whose rows lie dense, as the engine needs them; a single repeated number is taken as it is."""
    if x is None or x.stride(-1) == 1 or x.size(-1) == 1 or not any(x.stride()):
        return x
    return x.contiguous()
