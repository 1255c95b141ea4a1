"""What calls by other packages' names need of torch: one autograd function over calls that know their forward and backward, and
flex_mlx's module."""
import torch

from .flex_mlx import project_and_attend


class Attend(torch.autograd.Function):
    """apply(call, *tensors) -> (out, lse), where
    call.forward(tensors) -> (out, lse),
    call.backward(tensors, out, lse, dout, dlse, needed) -> a gradient, or None, for each of the tensors, and
    call.read() are other arrays that both read: they, too, must be as they were when backward comes."""

    @staticmethod
    def forward(ctx, call, *tensors):
        out, lse = call.forward(tensors)
        ctx.call = call
        ctx.count = len(tensors)
        ctx.save_for_backward(*tensors, out, lse, *[x for x in call.read() if isinstance(x, torch.Tensor)])
        ctx.set_materialize_grads(False)
        return out, lse

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dout, dlse):
        *tensors, out, lse = ctx.saved_tensors[: ctx.count + 2]
        if dout is None and dlse is None:
            return (None,) * (1 + len(tensors))
        if dout is not None and dout.stride(-1) != 1 and any(dout.stride()):
            dout = dout.contiguous()
        return (None, *ctx.call.backward(tensors, out, lse, dout, None if dlse is None else dlse.float(), ctx.needs_input_grad[1:]))


def attend(call, tensors):
    """(out, lse), with gradients where one of the tensors has one. Arrays of numpy among them become tensors on the same memory."""
    tensors = [x if isinstance(x, torch.Tensor) else torch.as_tensor(x) for x in tensors]
    if torch.is_grad_enabled() and any(x.requires_grad for x in tensors):
        return Attend.apply(call, *tensors)
    return call.forward(tensors)


class FlexAttentionModule(torch.nn.Module):
    """flex_mlx.FlexAttention as a module of torch, whose parameters start as the weights of that one."""

    def __init__(self, source):
        super().__init__()
        self.sizes = source
        for name, (inputs, outputs) in source.projections().items():
            linear, given = torch.nn.Linear(inputs, outputs, bias=source.use_bias), getattr(source, name)
            with torch.no_grad():
                linear.weight.copy_(torch.as_tensor(given.weight))
                if source.use_bias:
                    linear.bias.copy_(torch.as_tensor(given.bias))
            setattr(self, name, linear)

    def forward(self, x, score_mod_fn=None, mask_mod_fn=None, block_mask=None, mask=None, rng_state=None):
        return project_and_attend(self, self.sizes, x, score_mod_fn, mask_mod_fn, block_mask, mask, rng_state)
