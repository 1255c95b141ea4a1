"""The interface of FlexAttention for MLX on flexjit, for numpy and torch: a module with projections, block masks, a function.

    from flexjit.compat.flex_mlx import FlexAttention, create_block_mask, flex_attention

Mods are Python functions of (score, batch, head, query, key) and (batch, head, query, key), which may use `and`, `if` and min as
functions of Python's numbers do, or texts. Masks are exact: block masks skip blocks, and pairs inside the others are masked one by
one. Without a mask every pair is attended to.
"""
import math

from .. import _core
from .._arrays import empty, is_torch
from .._engine import default_engine
from .._patterns import Pattern, index
from ..trace import trace
from ._flash import draw, in_rows, lse_type, shape_of

__all__ = ["BlockMask", "FlexAttention", "Linear", "create_block_mask", "flex_attention"]


def text_and_captured(mod, name):
    """A mod as a text, with the arrays that it reads."""
    if mod is None or isinstance(mod, str):
        return mod, {}
    if not callable(mod):
        raise TypeError(f"{name} must be callable, or a text; got {type(mod).__name__}")
    traced = trace(mod, "score" if name.startswith("score") else "mask", branches=True)
    return traced.text, traced.captured


class BlockMask:
    """Which blocks of (batch, heads, query blocks, key blocks) hold a pair that mask_fn allows. np.asarray and an index give bools;
    lengths, block_size and mask_fn are as they were given."""

    def __init__(self, core, planes, mask_fn, text, captured):
        self.core, self.mask_fn, self.text, self.captured = core, mask_fn, text, captured
        _, _, self.q_len, self.kv_len, *self.block_size = core.sizes
        self.shape = (*planes, -(-self.q_len // self.block_size[0]), -(-self.kv_len // self.block_size[1]))

    def __array__(self, dtype=None, copy=None):
        import numpy

        batch, heads = self.core.sizes[:2]
        kinds = numpy.frombuffer(self.core.kinds(), numpy.uint8).reshape(batch, heads, *self.shape[2:])
        return numpy.broadcast_to(kinds != 0, self.shape).astype(dtype or bool)

    def __getitem__(self, at):
        return self.__array__()[at]

    def __repr__(self):
        return (f"BlockMask(shape={self.shape}, lengths=({self.q_len}, {self.kv_len}), block_size={tuple(self.block_size)}, "
                f"sparsity={self.core.sparsity:.2f}%)")


def create_block_mask(mask_fn, batch_size, num_heads, q_len, kv_len, block_size=128):
    """The exact BlockMask of mask_fn, found by interval analysis without a look at each pair. block_size: an int, or (query, key)."""
    text, captured = text_and_captured(mask_fn, "mask_fn")
    if text is None:
        raise TypeError("mask_fn must be callable, or a text; got None")
    sizes = [index(x, name) for x, name in ((batch_size, "batch_size"), (num_heads, "num_heads"), (q_len, "q_len"), (kv_len, "kv_len"))]
    block = tuple(block_size) if isinstance(block_size, (tuple, list)) else (block_size, block_size)
    if len(block) != 2:
        raise ValueError(f"block_size is an int, or (query, key), not {block_size}")
    block = tuple(index(x, "block_size") for x in block)
    handle = default_engine().handle(Pattern(None, text, None, captured))
    return BlockMask(handle.core.create_block_mask((*sizes, *block), captured), sizes[:2], mask_fn, text, captured)


class Call:
    """A call without its tensors, (batch, heads, length, dim), those that mods read coming last."""

    def __init__(self, handle, names, bindings, block_mask, length_first):
        self.handle, self.names, self.bindings, self.block_mask, self.length_first = handle, names, bindings, block_mask, length_first

    def keywords(self, tensors):
        q, k, v, *captured = tensors
        return {"q": q, "k": k, "v": v, "bindings": {**self.bindings, **dict(zip(self.names, captured))}, "block_mask": self.block_mask}

    def read(self):
        return self.bindings.values()

    def new(self, like, shape):
        """An array in the caller's order of dimensions, seen heads first."""
        batch, heads, length, dim = shape
        if not self.length_first:
            return empty(like, shape, _core.dtype_name(like))
        return exchanged(empty(like, (batch, length, heads, dim), _core.dtype_name(like)))

    def forward(self, tensors):
        q, v = tensors[0], tensors[2]
        out, lse = self.new(q, (*q.shape[:3], v.shape[3])), empty(q, tuple(q.shape[:3]), lse_type(q))
        self.handle.core.run(out=out, lse=lse, **self.keywords(tensors))
        return out, lse

    def backward(self, tensors, out, lse, dout, dlse, needed):
        names = ["q", "k", "v", *self.names]
        gradients = {name: self.new(x, x.shape) if name in "qkv" else empty(x, tuple(x.shape), _core.dtype_name(x))
                     for name, x, need in zip(names, tensors, needed) if need}
        given = {"out": dout, "lse": dlse, **{name: gradients[name] for name in "qkv" if name in gradients}}
        buffers = {name: gradients[name] for name in self.names if name in gradients}
        self.handle.core.run_backward(given, buffers, out=out, lse=lse, **self.keywords(tensors))
        return [gradients.get(name) for name in names]


def exchanged(x):
    """(batch, length, heads, dim) as (batch, heads, length, dim), or back, as a view."""
    return x.transpose(1, 2) if is_torch(x) else x.transpose(0, 2, 1, 3)


def lengths_first(q, k, v, block_mask):
    """Whether dimension 1 is the length, where the caller does not say: as a block mask's lengths have it, else as the heads of q and
    k allow, else as FlexAttention for MLX guesses, that there are fewer heads than tokens."""
    at = [(q.shape[n], k.shape[n]) for n in (1, 2)]
    possible = [heads[1] and heads[0] % heads[1] == 0 for heads in reversed(at)]
    if block_mask is not None:
        possible = [one and lengths == (block_mask.q_len, block_mask.kv_len) for one, lengths in zip(possible, at)]
    if possible[0] != possible[1]:
        return possible[0]
    return not (q.shape[1] == k.shape[1] and q.shape[1] < q.shape[2])


def both_masks(one, other):
    return lambda b, h, q, k: one(b, h, q, k) & other(b, h, q, k)


def flex_attention(q, k, v, score_mod=None, mask_mod=None, block_mask=None, scale=None, dropout=0.0, block_size=128, mask=None, *,
                   layout=None, rng_state=None, return_lse=False, engine=None):
    """softmax(mask(score_mod(scale q k^T))) v, in the order of dimensions of q. q, k, v (batch, length, heads, dim), layout "bshd",
    or (batch, heads, length, dim), "bhsd"; without layout the shapes decide, and where both are possible the smaller of the two
    counts as heads. Heads of k may be a divisor of those of q. block_mask: of create_block_mask, for these lengths; beside mask_mod
    both hold. mask: (batch, heads, q_len, kv_len) or its last dimensions, bools, or numbers that are added to scores, -inf masking.
    dropout of weights draws from the generator of numpy or torch unless rng_state gives its two ints. block_size changes no result:
    the engine has blocks of its own. With return_lse also float32 (batch, heads, q_len). torch tensors have gradients."""
    for name, x in (("q", q), ("k", k), ("v", v)):
        shape_of(x, name, 4, "(batch, length, heads, dim) or (batch, heads, length, dim)")
    if mask is not None and not _core.dtype_name(mask):
        raise TypeError(f"mask is an array of bools or floats, not a {type(mask).__name__}")
    if block_mask is not None and not isinstance(block_mask, BlockMask):
        raise TypeError(f"block_mask is what create_block_mask gives, not a {type(block_mask).__name__}")
    if layout not in (None, "bshd", "bhsd"):
        raise ValueError(f"layout is 'bshd', (batch, length, heads, dim), or 'bhsd', (batch, heads, length, dim), not {layout!r}")
    if index(block_size, "block_size") < 1:
        raise ValueError(f"block_size is {block_size}; it must be 1 or more")
    length_first = layout == "bshd" or layout is None and lengths_first(q, k, v, block_mask)
    tensors = [in_rows(exchanged(x) if length_first else x) for x in (q, k, v)]
    call, captured = prepared(tensors, score_mod, mask_mod, block_mask, scale, dropout, mask, rng_state, engine, length_first)
    if is_torch(q):
        from ._gradients import attend

        out, lse = attend(call, [*tensors, *captured])
    else:
        out, lse = call.forward([*tensors, *captured])
    out = exchanged(out) if length_first else out
    return (out, lse) if return_lse else out


def prepared(tensors, score_mod, mask_mod, block_mask, scale, dropout, mask, rng_state, engine, length_first):
    """(Call, the arrays that its mods read)."""
    q, k, v = tensors
    core = None
    if block_mask is not None and mask_mod is not None:
        mask_mod = both_masks(function_of(block_mask.mask_fn), function_of(mask_mod))
    elif block_mask is not None:
        core = block_mask.core
    score_text, score_captured = text_and_captured(score_mod, "score_mod")
    mask_text, mask_captured = (block_mask.text, block_mask.captured) if core is not None else text_and_captured(mask_mod, "mask_mod")
    captured = {**score_captured, **mask_captured}
    bindings = {}
    flags = {"scale": scale}
    if mask is not None:
        flags["attention_mask"] = (_core.dtype_name(mask), len(mask.shape))
        bindings["attention_mask"] = mask
    if dropout:
        flags["dropout"] = float(dropout)
        bindings["dropout_seed"], bindings["dropout_offset"] = rng_state or draw(q)
    handle = (engine or default_engine()).handle(Pattern(score_text, mask_text, None, captured), dtype=_core.dtype_name(q),
                                                 kv_dtype=_core.dtype_name(k), head_dim=q.shape[3], v_head_dim=v.shape[3], **flags)
    return Call(handle, list(captured), bindings, core, length_first), list(captured.values())


def function_of(mask):
    if isinstance(mask, str):
        raise TypeError("a mask that is a text cannot be joined with another; write both as functions")
    return mask


class Linear:
    """x weight^T + bias over the last dimension: weight (out, in), bias (out,) or None, arrays of numpy or torch that may be replaced."""

    def __init__(self, inputs, outputs, bias):
        import numpy

        bound = 1 / math.sqrt(inputs)
        self.weight = numpy.random.uniform(-bound, bound, (outputs, inputs)).astype(numpy.float32)
        self.bias = numpy.random.uniform(-bound, bound, outputs).astype(numpy.float32) if bias else None

    def __call__(self, x):
        weight, bias = like(x, self.weight), like(x, self.bias)
        y = x @ (weight.transpose(0, 1) if is_torch(weight) else weight.T)
        return y if bias is None else y + bias


def like(x, parameter):
    """A parameter of numpy as the tensor that torch computes with, on the same memory."""
    if parameter is None or is_torch(parameter) or not is_torch(x):
        return parameter
    import torch

    return torch.from_numpy(parameter)


class FlexAttention:
    """Attention with projections: x (batch, length, hidden_size) -> the same shape. q_proj, k_proj, v_proj and o_proj are Linear, with
    weights (num_heads * head_dim, hidden_size), twice (num_kv_heads * head_dim, hidden_size), (hidden_size, num_heads * head_dim),
    drawn by numpy.random. num_kv_heads: num_heads by default; head_dim: hidden_size // num_heads. Dropout of attention weights ends
    with eval(). default_mask: a mask_mod where a call has no mask. to_torch() gives a torch.nn.Module with these weights to train."""

    def __init__(self, hidden_size, num_heads, num_kv_heads=None, head_dim=None, dropout=0.0, use_bias=False, block_size=128, *, default_mask=None):
        self.hidden_size, self.num_heads, self.num_kv_heads = hidden_size, num_heads, num_kv_heads or num_heads
        self.head_dim = head_dim or hidden_size // num_heads
        if num_heads % self.num_kv_heads:
            raise ValueError(f"num_heads is {num_heads}, which is no multiple of num_kv_heads, {self.num_kv_heads}")
        self.dropout, self.use_bias, self.block_size, self.default_mask = dropout, use_bias, block_size, default_mask
        self.scale, self.training = self.head_dim ** -0.5, True
        for name, (inputs, outputs) in self.projections().items():
            setattr(self, name, Linear(inputs, outputs, use_bias))

    def projections(self):
        """{name: (inputs, outputs)}."""
        queries, keys = self.num_heads * self.head_dim, self.num_kv_heads * self.head_dim
        return {"q_proj": (self.hidden_size, queries), "k_proj": (self.hidden_size, keys), "v_proj": (self.hidden_size, keys),
                "o_proj": (queries, self.hidden_size)}

    def train(self, mode=True):
        self.training = mode
        return self

    def eval(self):
        return self.train(False)

    def to_torch(self):
        from ._gradients import FlexAttentionModule

        return FlexAttentionModule(self)

    def __call__(self, x, score_mod_fn=None, mask_mod_fn=None, block_mask=None, mask=None, rng_state=None):
        """mods, block_mask, mask and rng_state as of flex_attention, in any combination."""
        return project_and_attend(self, self, x, score_mod_fn, mask_mod_fn, block_mask, mask, rng_state)


def project_and_attend(module, sizes, x, score_mod_fn, mask_mod_fn, block_mask, mask, rng_state):
    """What a module computes: it has the four projections and `training`, `sizes` the rest."""
    if shape_of(x, "x", 3, f"(batch, length, {sizes.hidden_size})")[2] != sizes.hidden_size:
        raise ValueError(f"x is (batch, length, {sizes.hidden_size}), not {tuple(x.shape)}")
    if mask_mod_fn is None and block_mask is None and mask is None:
        mask_mod_fn = sizes.default_mask
    batch, length, _ = x.shape
    q = module.q_proj(x).reshape(batch, length, sizes.num_heads, sizes.head_dim)
    k, v = (project(x).reshape(batch, length, sizes.num_kv_heads, sizes.head_dim) for project in (module.k_proj, module.v_proj))
    out = flex_attention(q, k, v, score_mod_fn, mask_mod_fn, block_mask, sizes.scale, sizes.dropout if module.training else 0.0, sizes.block_size, mask,
                         layout="bshd", rng_state=rng_state)
    return module.o_proj(out.reshape(batch, length, sizes.num_heads * sizes.head_dim))
