"""What the modules with FlashAttention's names have in common: arguments -> a call of the engine on new arrays of the caller's kind,
with gradients for torch's tensors."""
import math

from .. import _core
from .._arrays import empty, is_torch
from .._engine import default_engine
from .._patterns import Pattern

# Beside FlashAttention's own arguments, of every call:
EXTRA = """
    Also by name: score_mod, mask_mod (texts or Python functions, ANDed with the flags), bindings ({name: array or number} of texts),
    learnable_sink ((heads,), a logit that takes part in each softmax), engine, and where there is dropout rng_state (two ints)."""


SINK = "learnable sink"  # among the names of captured arrays, of which none has a space


class FlashAttentionError(_core.Error, RuntimeError):
    """What is wrong with a call, with every finding as its text and in `diagnostics`: a ValueError and, as FlashAttention's own
    errors are, a RuntimeError."""


def checked(function, *args, **keywords):
    try:
        return function(*args, **keywords)
    except FlashAttentionError:
        raise
    except _core.Error as error:
        raised = FlashAttentionError(str(error))
        raised.diagnostics = error.diagnostics
        raise raised from None


def in_rows(x):
    """As it is, or copied where its last dimension does not lie side by side."""
    if x is None:
        return None
    if is_torch(x):
        return x if x.dim() == 0 or x.stride(-1) == 1 or x.size(-1) == 1 else x.contiguous()
    strides, shape = getattr(x, "strides", None), getattr(x, "shape", ())
    if strides is None or not shape or shape[-1] == 1 or strides[-1] == x.itemsize:
        return x
    return x.copy(order="C")


def shape_of(x, name, rank, layout):
    shape = getattr(x, "shape", None)
    if shape is None or not _core.dtype_name(x):
        raise TypeError(f"{name} is an array of numpy or torch, {layout}, not a {type(x).__name__} of {getattr(x, 'dtype', 'something else')}")
    if len(shape) != rank:
        raise FlashAttentionError(f"{name} has {len(shape)} dimensions; it must have {rank}: {layout}")
    return tuple(shape)


def parts(packed, name, axis, count, layout):
    """The tensors that lie side by side in one, as views."""
    shape = shape_of(packed, name, len(layout.split(",")), layout)
    if shape[axis] != count:
        raise FlashAttentionError(f"{name} has {shape[axis]} parts in dimension {axis}; it must have {count}: {layout}")
    return packed.unbind(axis) if is_torch(packed) else tuple(packed[(slice(None),) * axis + (n,)] for n in range(count))


def lse_type(q):
    return "f64" if _core.dtype_name(q) == "f64" else "f32"


class Call:
    """A call without its tensors: forward and backward for numpy and torch alike. Tensors are q, k, v, and what `names` says."""

    def __init__(self, varlen, options, engine, score_mod=None, mask_mod=None, bindings=None, learnable_sink=None):
        self.varlen, self.engine = varlen, engine or default_engine()
        pattern = Pattern(score_mod, mask_mod, None, bindings)
        self.options = {**options, "score_mod": pattern.score_mod, "mask_mod": pattern.mask_mod}
        arrays = {name: x for name, x in pattern.bindings.items() if not isinstance(x, (bool, int, float))}
        self.numbers = {name: x for name, x in pattern.bindings.items() if name not in arrays}
        self.names, self.extra = list(arrays), list(arrays.values())
        if learnable_sink is not None:
            self.names.append(SINK)
            self.extra.append(learnable_sink)
        self.s_dmask = b""

    def keywords(self, tensors):
        """Those of the tensors and options in the engine's call."""
        q, k, v, *extra = tensors
        bound = dict(zip(self.names, extra))
        sink = bound.pop(SINK, None)
        return {**self.options, "q": q, "k": k, "v": v, "bindings": {**self.numbers, **bound}, "learnable_sink": sink}

    def read(self):
        return self.options.values()

    def forward(self, tensors):
        q, v = tensors[0], tensors[2]
        out = empty(q, (*q.shape[:-1], v.shape[-1]), _core.dtype_name(q))
        *lengths, heads, _ = q.shape
        lse = empty(q, (heads, *lengths) if self.varlen else (lengths[0], heads, lengths[1]), lse_type(q))
        if self.varlen and "seqused_q" in self.options:  # rows that are of no sequence are not written
            out[...], lse[...] = 0, -math.inf
        call = _core.flash_attn_varlen_func if self.varlen else _core.flash_attn_func
        self.s_dmask = checked(call, self.engine.core, out=out, softmax_lse=lse, **self.keywords(tensors))
        return out, lse

    def backward(self, tensors, out, lse, dout, dlse, needed):
        gradients = [empty(x, tuple(x.shape), _core.dtype_name(x)) if need else None for x, need in zip(tensors, needed)]
        dq, dk, dv, *extra = gradients
        of = dict(zip(self.names, extra))
        sink = of.pop(SINK, None)
        buffers = {name: gradient for name, gradient in of.items() if gradient is not None}
        keywords = {**self.keywords(tensors), "return_attn_probs": False}
        call = _core.flash_attn_varlen_backward if self.varlen else _core.flash_attn_backward
        checked(call, self.engine.core, out=out, softmax_lse=lse, dout=dout, dlse=dlse, dq=dq, dk=dk, dv=dv, dsink=sink,
                buffers=buffers, **keywords)
        return gradients

    def run(self, q, k, v):
        tensors = [*(in_rows(x) for x in (q, k, v)), *self.extra]
        if not is_torch(q):
            return self.forward(tensors)
        from ._gradients import attend

        return attend(self, tensors)


def written(*arrays):
    """Tells torch that these were written to, so that a backward pass which needs what they held before is refused."""
    for x in arrays:
        if is_torch(x):
            import torch

            torch.autograd.graph.increment_version(x)


def weights_of(call, q, max_seqlen_q, batch):
    """The array of return_attn_probs, float32 (batch, heads, longest seqlen_q, longest seqlen_k), negative where dropout drops."""
    import numpy

    heads = q.shape[-2]
    flat = numpy.frombuffer(bytearray(call.s_dmask), numpy.float32)
    rows = batch * heads * max_seqlen_q
    shape = (batch, heads, max_seqlen_q, flat.size // rows if rows else 0)
    if not is_torch(q):
        return flat.reshape(shape)
    import torch

    return torch.from_numpy(flat).reshape(shape)


def draw(like, most=2**31 - 1):
    """Two numbers for dropout, from the generator of the library that the array is of: torch.manual_seed and np.random.seed repeat them."""
    if is_torch(like):
        import torch

        return tuple(torch.randint(most, (2,)).tolist())
    import numpy

    return tuple(numpy.random.randint(0, most, 2).tolist())
