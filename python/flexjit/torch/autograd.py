"""One call with tensors of any kind -> its results: the engine itself for plain ones, the operators for those that record what
is done with them, autograd's functions for gradients and torch.func."""
from typing import Any, NamedTuple, Optional

import torch

from . import operators
from .kernel import Kernel
from .vmap import batched

PLAIN = (torch.Tensor, torch.nn.Parameter)


class Call(NamedTuple):
    """What a call has besides its tensors, as torch.ops.flexjit.attention takes it. pattern: a Pattern or a Written one."""

    pattern: Any
    blocks: operators.Blocks
    lists: list
    block_size: list
    scale: Optional[float]
    with_max: bool

    def mask(self, q, k):
        return operators.engine_mask(q, k, self.blocks, self.lists, self.block_size)

    def forward(self, q, k, v, *captured, with_lse=True):
        if is_plain(q, k, v, *captured):
            return Kernel(self.pattern, q, k, v, self.scale).forward(q, k, v, captured, self.mask(q, k), with_lse, self.with_max)
        return operators.attention(q, k, v, as_tensors(captured), self.pattern.written(), *self[1:])

    def backward(self, q, k, v, out, lse, grad_out, grad_lse, captured, needed):
        if is_plain(q, k, v, out, lse, grad_out, grad_lse, *captured):
            kernel = Kernel(self.pattern, q, k, v, self.scale)
            return kernel.backward(q, k, v, captured, out, lse, grad_out, grad_lse, self.mask(q, k), needed)
        text = self.pattern.written()
        grads = operators.attention_backward(grad_out, grad_lse, q, k, v, as_tensors(captured), out, lse, text, *self[1:5], list(needed))
        return tuple(grad if exists else None for grad, exists in zip(grads, operators.existing(text, needed)))


def is_plain(*tensors):
    """Whether these have memory and nobody records what is done with them."""
    return torch._C._len_torch_dispatch_stack() == 0 and all(type(x) in PLAIN or not isinstance(x, torch.Tensor) for x in tensors)


def as_tensors(arrays):
    return [torch.as_tensor(x) for x in arrays]


class Backward(torch.autograd.Function):
    """Gradients by q, k, v and what is captured; a function of its own for torch.func."""

    @staticmethod
    def forward(call, needed, q, k, v, out, lse, grad_out, grad_lse, *captured):
        return call.backward(q, k, v, out, lse, grad_out, grad_lse, captured, needed)

    @staticmethod
    def setup_context(ctx, inputs, outputs):
        pass

    @staticmethod
    def backward(ctx, *grads):
        raise RuntimeError("flex_attention can be differentiated once; a second derivative does not exist")

    @staticmethod
    def vmap(info, in_dims, call, needed, *tensors):
        written = call.pattern.written()
        seen = [dim is not None or need for dim, need in zip(in_dims[9:], operators.existing(written, needed)[3:])]
        rows = 7 if operators.is_one_call(written, call.blocks, call.lists, seen) else 0
        results, dims = batched(lambda *x: Backward.apply(call, needed, *x), info.batch_size, tensors, in_dims[2:], rows)
        return tuple(results), tuple(dims)


class FlexAttention(torch.autograd.Function):
    @staticmethod
    def forward(call, q, k, v, *captured):
        return call.forward(q, k, v, *captured)

    @staticmethod
    def setup_context(ctx, inputs, outputs):
        ctx.call = inputs[0]
        ctx.save_for_backward(*inputs[1:], *outputs[:2])
        if outputs[2] is not None:
            ctx.mark_non_differentiable(outputs[2])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx, grad_out, grad_lse, _):
        q, k, v, *captured, out, lse = ctx.saved_tensors
        if grad_out is None and grad_lse is None:
            return (None,) * (4 + len(captured))
        return None, *Backward.apply(ctx.call, ctx.needs_input_grad[1:], q, k, v, out, lse, grad_out, grad_lse, *captured)

    @staticmethod
    def vmap(info, in_dims, call, *tensors):
        of_captured = [dim is not None for dim in in_dims[4:]]
        rows = 3 if operators.is_one_call(call.pattern.written(), call.blocks, call.lists, of_captured) else 0
        results, dims = batched(lambda *x: FlexAttention.apply(call, *x), info.batch_size, tensors, in_dims[1:], rows)
        return tuple(results), tuple(dims)


class Recorded(torch.autograd.Function):
    """FlexAttention outside of torch.func, faster: PyTorch looks at the signature of a function that has a setup_context each time."""

    @staticmethod
    def forward(ctx, *inputs):
        outputs = FlexAttention.forward(*inputs)
        FlexAttention.setup_context(ctx, inputs, outputs)
        return outputs

    backward = FlexAttention.backward


def attend(call, q, k, v, *captured, with_lse=True):
    """(out, lse, max_scores) of torch.ops.flexjit.attention; None or no elements for what is not wanted."""
    if torch._C._are_functorch_transforms_active():
        return FlexAttention.apply(call, q, k, v, *captured)
    tensors = (q, k, v, *captured)
    if is_plain(*tensors) and torch.is_grad_enabled() and any(isinstance(x, torch.Tensor) and x.requires_grad for x in tensors):
        return Recorded.apply(call, *tensors)
    return call.forward(*tensors, with_lse=with_lse)
