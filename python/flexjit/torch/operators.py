"""flex_attention as two operators that PyTorch records, compiles and differentiates: torch.ops.flexjit.attention and its backward.
A graph holds a pattern as a text, captured tensors as arguments, and the engine's block mask as an opaque object, or as lists."""
from typing import Optional

import torch
from torch._custom_class_base import CustomClassBase
from torch._library.opaque_object import register_custom_class
from torch.utils.weak import WeakTensorKeyDictionary

from .. import _core
from .._patterns import read
from .kernel import Kernel, reads_batch, results
from .vmap import batched, one_call


class Blocks(CustomClassBase):
    """An engine's block mask, `core`, which is None for none. A graph's argument: another mask compiles nothing again."""

    def __deepcopy__(self, memo):
        return self  # immutable


def blocks_of(core):
    blocks = Blocks()
    blocks.core = core  # not by __init__: torch.library.opcheck copies the arguments of constructors
    return blocks


register_custom_class(Blocks, typ="symbolic")
NO_BLOCKS = blocks_of(None)
_of_lists = WeakTensorKeyDictionary()  # kv_indices -> (versions of the lists, the engine's mask)


def mask_of_lists(lists, lengths, block_size):
    """The engine's mask of kv_num_blocks, kv_indices and, where there are full blocks, the same of these."""
    versions = [(id(x), x._version) for x in lists], lengths
    known = _of_lists.get(lists[1])
    if known is None or known[0] != versions:
        planes = (1,) * (4 - lists[1].dim()) + tuple(lists[1].shape[:-2])
        arrays = [x.to(torch.int32).contiguous().numpy() for x in lists] + [None] * (4 - len(lists))
        known = _of_lists[lists[1]] = versions, _core.BlockMask.from_lists((*planes[:2], *lengths, *block_size), *arrays)
    return known[1]


def engine_mask(q, k, blocks, lists, block_size):
    return mask_of_lists(lists, (q.size(2), k.size(2)), block_size) if lists else blocks.core


@torch.library.custom_op("flexjit::attention", mutates_args=(), device_types="cpu")
def attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, captured: list[torch.Tensor], pattern: str, blocks: Blocks,
              lists: list[torch.Tensor], block_size: list[int], scale: Optional[float],
              with_max: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(out, lse, max_scores), the last without elements unless with_max. pattern: Pattern.written(), of as many buffers as are
    captured. The mask's blocks are `blocks`, or where lists are given those, of block_size = (q_block, kv_block)."""
    kernel = Kernel(read(pattern), q, k, v, scale)
    return whole(q, kernel.forward(q, k, v, captured, engine_mask(q, k, blocks, lists, block_size), True, with_max))


@attention.register_fake
def _(q, k, v, captured, pattern, blocks, lists, block_size, scale, with_max):
    return whole(q, results(q, v, True, with_max))


def whole(q, results):
    return *results[:2], q.new_empty(0, dtype=torch.float32) if results[2] is None else results[2]


@torch.library.custom_op("flexjit::attention_backward", mutates_args=(), device_types="cpu")
def attention_backward(grad_out: Optional[torch.Tensor], grad_lse: Optional[torch.Tensor], q: torch.Tensor, k: torch.Tensor,
                       v: torch.Tensor, captured: list[torch.Tensor], out: torch.Tensor, lse: torch.Tensor, pattern: str, blocks: Blocks,
                       lists: list[torch.Tensor], block_size: list[int], scale: Optional[float], needed: list[bool]) -> list[torch.Tensor]:
    """Gradients by q, k, v and what is captured, without elements where `needed` does not ask for them."""
    grads = Kernel(read(pattern), q, k, v, scale).backward(q, k, v, captured, out, lse, grad_out, grad_lse,
                                                           engine_mask(q, k, blocks, lists, block_size), needed)
    return [q.new_empty(0) if grad is None else grad for grad in grads]


@attention_backward.register_fake
def _(grad_out, grad_lse, q, k, v, captured, out, lse, pattern, blocks, lists, block_size, scale, needed):
    return [torch.empty_like(x, memory_format=torch.contiguous_format) if exists else q.new_empty(0)
            for x, exists in zip((q, k, v, *captured), existing(pattern, needed))]


def existing(pattern, needed):
    """Which of the gradients that are needed exist: q's, k's, v's, and those of tensors that the score reads."""
    pattern = read(pattern)
    return [*needed[:3], *[need and name in pattern.traced_score for need, name in zip(needed[3:], pattern.buffers)]]


def setup_context(ctx, inputs, output):
    q, k, v, captured, pattern, blocks, lists, block_size, scale, _ = inputs
    ctx.save_for_backward(q, k, v, output[0], output[1], *captured, *lists)
    ctx.mark_non_differentiable(output[2])
    ctx.set_materialize_grads(False)
    ctx.captured, ctx.rest = len(captured), (pattern, blocks, block_size, scale)


def backward(ctx, grad_out, grad_lse, _):
    q, k, v, out, lse, *tensors = ctx.saved_tensors
    captured, lists = tensors[:ctx.captured], tensors[ctx.captured:]
    pattern, blocks, block_size, scale = ctx.rest
    needed = [*ctx.needs_input_grad[:3], *ctx.needs_input_grad[3]]
    grads = [None] * len(needed)
    if grad_out is not None or grad_lse is not None:
        exist = existing(pattern, needed)
        grads = attention_backward(grad_out, grad_lse, q, k, v, captured, out, lse, pattern, blocks, lists, block_size, scale, needed)
        grads = [grad if exists else None for grad, exists in zip(grads, exist)]
    return (*grads[:3], grads[3:], None, None, [None] * len(lists), None, None, None)


attention.register_autograd(backward, setup_context=setup_context)


def is_one_call(pattern, blocks, lists, of_captured):
    planes = lists[1].shape[:-2] if lists else blocks.core.sizes[:2] if blocks.core is not None else (1, 1)
    return one_call(reads_batch(read(pattern)), planes[0] if len(planes) == 2 else 1, of_captured)


@attention.register_vmap
def _(info, in_dims, q, k, v, captured, *rest):
    dims = [*in_dims[:3], *(in_dims[3] or [None] * len(captured))]
    rows = 3 if is_one_call(rest[0], rest[1], rest[2], [dim is not None for dim in dims[3:]]) else 0
    results, dims = batched(lambda q, k, v, *captured: attention(q, k, v, list(captured), *rest), info.batch_size, (q, k, v, *captured), dims, rows)
    return tuple(results), tuple(dims)


@attention_backward.register_vmap
def _(info, in_dims, grad_out, grad_lse, q, k, v, captured, out, lse, *rest):
    of_captured = in_dims[5] or [None] * len(captured)
    seen = [dim is not None or need for dim, need in zip(of_captured, existing(rest[0], rest[-1])[3:])]
    rows = 7 if is_one_call(rest[0], rest[1], rest[2], seen) else 0

    def call(q, k, v, out, lse, grad_out, grad_lse, *captured):
        return attention_backward(grad_out, grad_lse, q, k, v, list(captured), out, lse, *rest)

    tensors = (q, k, v, out, lse, grad_out, grad_lse, *captured)
    dims = (*in_dims[2:5], *in_dims[6:8], *in_dims[:2], *of_captured)
    return batched(call, info.batch_size, tensors, dims, rows)
