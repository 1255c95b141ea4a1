"""flex_attention with PyTorch's arguments, and its gradients by q, k, v and every captured float tensor."""
from typing import NamedTuple, Optional

import torch

from .. import _core
from .._engine import default_engine
from .._patterns import pattern_of
from .block_mask import sliced_mask_mod


class AuxRequest(NamedTuple):
    """Which outputs are wanted besides: the log-sum-exp of each row, its largest score."""

    lse: bool = False
    max_scores: bool = False


class AuxOutput(NamedTuple):
    """What AuxRequest asked for, float32 (batch, heads, q_len); None for the rest."""

    lse: Optional[torch.Tensor] = None
    max_scores: Optional[torch.Tensor] = None


class Call:
    """What the tensors of a call are used with: a handle, a block mask, names of captured tensors, which come as arguments; of_score
    are those whose gradients exist."""

    __slots__ = ("handle", "block_mask", "names", "want_max", "of_score")

    def bindings(self, captured):
        return dict(zip(self.names, captured))

    def forward(self, q, k, v, captured):
        out = q.new_empty((*q.shape[:3], v.shape[3]))
        statistics = torch.float64 if q.dtype == torch.float64 else torch.float32
        lse = torch.empty(q.shape[:3], dtype=statistics)
        most = torch.empty(q.shape[:3], dtype=statistics) if self.want_max else None
        self.handle.core.run(q=q, k=k, v=v, out=out, lse=lse, max_scores=most, bindings=self.bindings(captured), block_mask=self.block_mask)
        return out, lse, most if most is not None else lse.new_empty(0)

    def backward(self, q, k, v, captured, out, lse, grad_out, grad_lse, needed):
        given = {"out": grad_out, "lse": None if grad_lse is None else grad_lse.float()}  # the engine takes fp32 alone
        wanted = [torch.empty_like(x, memory_format=torch.contiguous_format) if need else None for x, need in zip((q, k, v), needed)]
        given.update({name: grad for name, grad in zip("qkv", wanted) if grad is not None})
        into = {name: torch.empty(x.shape, dtype=x.dtype) for name, x, need in zip(self.names, captured, needed[3:]) if need and name in self.of_score}
        self.handle.core.run_backward(given, into, q=q, k=k, v=v, out=out, lse=lse, bindings=self.bindings(captured), block_mask=self.block_mask)
        return (*wanted, *[into.get(name) for name in self.names])


def one_by_one(function):
    """A vmap rule: the calls one after the other, since a mod sees the batch index of its own call."""

    def vmap(info, in_dims, call, *tensors):
        rows = [function.apply(call, *[x if dim is None else x.select(dim, n) for x, dim in zip(tensors, in_dims[1:])])
                for n in range(info.batch_size)]
        columns = tuple(None if column[0] is None else torch.stack(column) for column in zip(*rows))
        return columns, tuple(None if column is None else 0 for column in columns)

    return staticmethod(vmap)


class Backward(torch.autograd.Function):
    """Gradients by q, k, v and what is captured; a function of its own for torch.func."""

    @staticmethod
    def forward(call, q, k, v, out, lse, grad_out, grad_lse, *captured):
        return call[0].backward(q, k, v, captured, out, lse, grad_out, grad_lse, call[1])

    @staticmethod
    def setup_context(ctx, inputs, outputs):
        pass

    @staticmethod
    def backward(ctx, *grads):
        raise RuntimeError("flex_attention can be differentiated once; a second derivative does not exist")


Backward.vmap = one_by_one(Backward)


class FlexAttention(torch.autograd.Function):
    @staticmethod
    def forward(call, q, k, v, *captured):
        return call.forward(q, k, v, captured)

    @staticmethod
    def setup_context(ctx, inputs, outputs):
        ctx.call = inputs[0]
        ctx.save_for_backward(*inputs[1:], *outputs[:2])
        ctx.mark_non_differentiable(outputs[2])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx, grad_out, grad_lse, _):
        q, k, v, *captured, out, lse = ctx.saved_tensors
        if grad_out is None and grad_lse is None:
            return (None,) * (4 + len(captured))
        if grad_out is not None and grad_out.stride(-1) != 1 and any(grad_out.stride()):
            grad_out = grad_out.contiguous()
        return (None, *Backward.apply((ctx.call, ctx.needs_input_grad[1:]), q, k, v, out, lse, grad_out, grad_lse, *captured))


FlexAttention.vmap = one_by_one(FlexAttention)


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


def mask_of(block_mask, query, key):
    """(the mask's text or function, the engine's block mask), both None for no mask."""
    if block_mask is None:
        return None, None
    if block_mask.mask_mod is sliced_mask_mod:
        raise RuntimeError("Cannot use mask_mod from a sliced BlockMask")
    lengths = (query.size(-2), key.size(-2))
    if lengths != block_mask.seq_lengths:
        small = lengths[0] > block_mask.seq_lengths[0] or lengths[1] > block_mask.seq_lengths[1]
        raise RuntimeError(f"block_mask was created for {'smaller' if small else 'larger'} lengths {block_mask.seq_lengths} than those it is used "
                           f"for, {lengths}: create a new block mask for these")
    return block_mask.mask_mod, block_mask.engine_mask()


def in_rows(x):
    return x if x.stride(-1) == 1 or x.size(-1) == 1 else x.contiguous()


@torch.compiler.disable
def flex_attention(query, key, value, score_mod=None, block_mask=None, scale=None, enable_gqa=False, return_lse=False, kernel_options=None, *,
                   return_aux=None):
    """softmax(mask(score_mod(scale query key^T))) value. query (B, Hq, L, E), key (B, Hkv, S, E), value (B, Hkv, S, Ev), all of
    float32, float64, bfloat16 or float16; out (B, Hq, L, Ev). score_mod: a function of (score, b, h, q_idx, kv_idx) or a text.
    With return_lse (out, lse), with return_aux (out, AuxOutput). kernel_options are those of other kernels and mean nothing
    here. Differentiable once, by lse too. Raises flexjit.TraceError for mods that cannot be traced."""
    if torch.is_autocast_enabled("cpu"):
        to = torch.get_autocast_dtype("cpu")
        query, key, value = (x.to(to) if x.dtype in (torch.float32, torch.float16, torch.bfloat16) else x for x in (query, key, value))
    checked(query, key, value, block_mask, enable_gqa)
    if return_lse and return_aux is not None:
        raise ValueError("Cannot specify both return_lse and return_aux; return_aux=AuxRequest(lse=True) is enough")
    mask_mod, engine_mask = mask_of(block_mask, query, key)
    if key.size(0) != query.size(0):
        key, value = key.expand(query.size(0), -1, -1, -1), value.expand(query.size(0), -1, -1, -1)
    query, key, value = in_rows(query), in_rows(key), in_rows(value)

    pattern = pattern_of(score_mod, mask_mod)
    call = Call()
    dtype = _core.dtype_name(query)
    kv_dtype = dtype if key.dtype == query.dtype else _core.dtype_name(key)
    call.handle = default_engine().handle(pattern, dtype=dtype, kv_dtype=kv_dtype, head_dim=query.size(3), v_head_dim=value.size(3),
                                          scale=None if scale is None else float(scale))
    call.block_mask = engine_mask
    call.want_max = return_aux is not None and return_aux.max_scores
    call.names, call.of_score = tuple(pattern.bindings), pattern.traced_score
    captured = tuple(pattern.bindings.values())
    tensors = (query, key, value, *captured)
    tracked = torch.is_grad_enabled() and any(isinstance(x, torch.Tensor) and x.requires_grad for x in tensors)
    if tracked or torch._C._functorch.peek_interpreter_stack() is not None:
        out, lse, most = FlexAttention.apply(call, *tensors)
    else:
        out, lse, most = call.forward(query, key, value, captured)
    if return_aux is not None:
        return out, AuxOutput(lse if return_aux.lse else None, most if return_aux.max_scores else None)
    return (out, lse) if return_lse else out
