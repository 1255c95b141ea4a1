"""The modules of FlexAttention-Examples on flexjit, by their names and arguments, for torch and numpy: torch.nn.Modules with gradients
where torch is installed, else plain objects.

    from flexjit.compat.attention_ops import LongformerAttention
    out = LongformerAttention(window_size=32, global_positions={0, 1})(Q, K, V)     # (batch, heads, length, dim)

Where the examples do not compute what they say, these do: global positions are global, ALiBi's penalty grows with the distance.
SwinAttention with a shift keeps their order, rows of the rolled image; `rolled=False` is Swin's. Documents and prefixes of a batch may
differ."""
import importlib.util
import math

import numpy

from .. import _core, variants
from .._arrays import empty, is_torch
from .._engine import default_engine
from .._patterns import Pattern, index
from ._flash import in_rows, shape_of
from .flex_mlx import Call, flex_attention

__all__ = ["AlibiAttention", "CausalAttention", "DocumentMaskAttention", "LinformerAttention", "LongformerAttention",
           "NeighborhoodAttention", "PerformerAttention", "PrefixLMAttention", "RelativePositionalAttention",
           "SlidingWindowCausalAttention", "SoftCapAttention", "SwinAttention", "generate_doc_mask_mod", "get_alibi_slopes"]

if importlib.util.find_spec("torch") is not None:
    import torch

    Module = torch.nn.Module

    def constant(array):
        return torch.from_numpy(array)

    def parameter(array):
        return torch.nn.Parameter(constant(array))
else:
    class Module:
        def __call__(self, *arguments):
            return self.forward(*arguments)

        def to(self, *_, **__):
            return self

        def register_buffer(self, name, array):
            setattr(self, name, array)

    def constant(array):
        return array

    parameter = constant


def beside(x, weight):
    """A parameter as the kind of array that x is."""
    if is_torch(x) or not is_torch(weight):
        return weight
    return weight.detach().numpy()


def check_heads(Q, K, V, module):
    for x, name in ((Q, "Q"), (K, "K"), (V, "V")):
        if shape_of(x, name, 4, "(batch, heads, length, dim)")[1] != module.n_heads:
            raise ValueError(f"{name} has {x.shape[1]} heads, the module {module.n_heads}")


def check_length(module, what, length, *tensors):
    for x in tensors:
        if x.shape[2] != length:
            raise ValueError(f"the tensors have {x.shape[2]} tokens, but {what} of {type(module).__name__} is {length}")


def attend(call, tensors):
    """The output, with gradients where one of the tensors has one."""
    if any(is_torch(x) for x in tensors):
        from ._gradients import attend as with_gradients

        return with_gradients(call, tensors)[0]
    return call.forward(tensors)[0]


def run_program(program, Q, K, V, bindings=None, call=Call, **flags):
    """A whole text over (batch, heads, length, dim)."""
    bindings = bindings or {}
    tensors = [in_rows(x) for x in (Q, K, V)]
    handle = default_engine().handle(Pattern(None, None, program, bindings), dtype=_core.dtype_name(Q), kv_dtype=_core.dtype_name(K),
                                     head_dim=Q.shape[3], v_head_dim=V.shape[3], **flags)
    return attend(call(handle, [], bindings, None, False), tensors)


class LinearCall(Call):
    """Of linear weights, which have no lse."""

    def forward(self, tensors):
        q, v = tensors[0], tensors[2]
        out = self.new(q, (*q.shape[:3], v.shape[3]))
        self.handle.core.run(out=out, **self.keywords(tensors))
        return out, empty(q, (0,), "f32")

    def backward(self, tensors, out, lse, dout, dlse, needed):
        return super().backward(tensors, out, None, dout, None, needed)


class LinformerAttention(Module):
    """Keys and values projected along the sequence by E (seq_len, proj_len), or by E_K and E_V."""

    def __init__(self, dim, n_heads, seq_len, proj_len, shared_proj=True):
        super().__init__()
        self.n_heads, self.seq_len, self.proj_len, self.head_dim, self.shared_proj = n_heads, seq_len, proj_len, dim // n_heads, shared_proj
        for name in ("E",) if shared_proj else ("E_K", "E_V"):
            setattr(self, name, parameter(numpy.random.standard_normal((seq_len, proj_len)).astype(numpy.float32)))

    def forward(self, Q, K, V):
        check_heads(Q, K, V, self)
        check_length(self, "seq_len", self.seq_len, K, V)
        names = ("E", "E") if self.shared_proj else ("E_K", "E_V")
        keys, values = (self.projected(x, beside(x, getattr(self, name))) for x, name in zip((K, V), names))
        return flex_attention(Q, keys, values, layout="bhsd")

    def projected(self, x, e):
        return e.transpose(0, 1).to(x.dtype) @ x if is_torch(x) else e.T.astype(x.dtype) @ x


class PerformerAttention(Module):
    """Linear attention with the features exp(clamp(x W / sqrt(head_dim), -10, 10)), W (head_dim, feature_dim) of normal numbers.
    orthogonal: FAVOR+ (Choromanski et al. 2020) in the place of that, whose weights are those of softmax on average."""

    def __init__(self, dim, n_heads, feature_dim, *, orthogonal=False, seed=None):
        super().__init__()
        self.n_heads, self.head_dim, self.feature_dim, self.orthogonal = n_heads, dim // n_heads, feature_dim, orthogonal
        seed = int(numpy.random.randint(1 << 31)) if seed is None else seed
        w = variants.random_features(feature_dim, self.head_dim, seed=seed, orthogonal=orthogonal)
        self.proj_matrix = parameter(numpy.ascontiguousarray(w.T))

    def forward(self, Q, K, V):
        check_heads(Q, K, V, self)
        w = beside(Q, self.proj_matrix)
        if is_torch(Q) and torch.is_grad_enabled() and w.requires_grad:
            return self.with_features(Q, K, V, w)
        flags = {"weights": "linear", "features": self.feature_dim, "feature_map": "favor(W)" if self.orthogonal else "exp_clamp(W, -10, 10)"}
        rows = (w.detach() if is_torch(w) else w).T
        rows = rows.contiguous() if is_torch(rows) else numpy.ascontiguousarray(rows)
        return run_program("buffer W : f32[?, ?]\n", Q, K, V, {"W": rows}, LinearCall, **flags)

    def with_features(self, Q, K, V, w):
        """The same with features by torch, by which W has a gradient."""
        def features(x):
            along = x.float() @ w
            if not self.orthogonal:
                return torch.exp(torch.clamp(along / math.sqrt(self.head_dim), -10, 10))
            scale = self.head_dim ** -0.25
            return (torch.exp(scale * along - scale * scale / 2 * x.float().square().sum(-1, keepdim=True)) + 1e-4) / math.sqrt(self.feature_dim)

        out = run_program("", features(Q), features(K), V.float(), None, LinearCall, weights="linear", feature_map="identity")
        return out.to(Q.dtype)


class LongformerAttention(Module):
    """A band of window_size keys on each side, and global positions, which see all and are seen by all."""

    def __init__(self, window_size, global_positions=None):
        super().__init__()
        self.window_size, self.global_positions = window_size, set() if global_positions is None else global_positions

    def forward(self, Q, K, V):
        batch, _, length, _ = shape_of(Q, "Q", 4, "(batch, heads, length, dim)")
        tokens = numpy.zeros((batch, length), numpy.int32)
        tokens[:, [int(i) for i in self.global_positions if int(i) < length]] = 1
        return run_program(variants.longformer(self.window_size), Q, K, V, {"tokens": tokens})


class SwinAttention(Module):
    """Windows of an image in raster order. With a shift, rows are those of the rolled image and opposite borders meet, as in the
    examples; rolled=False: Swin's, rows in their own order and borders apart."""

    def __init__(self, dim, n_heads, H_img, W_img, window_size=7, shift_size=0, *, rolled=True):
        super().__init__()
        self.n_heads, self.dim, self.H_img, self.W_img, self.head_dim = n_heads, dim, H_img, W_img, dim // n_heads
        self.window_size, self.shift_size, self.rolled = window_size, shift_size, rolled

    def cyclic_shift(self, t):
        image = t.reshape(*t.shape[:2], self.H_img, self.W_img, t.shape[3])
        shift = (-self.shift_size, -self.shift_size)
        return (torch.roll(image, shift, (2, 3)) if is_torch(t) else numpy.roll(image, shift, (2, 3))).reshape(t.shape)

    def forward(self, Q, K, V):
        check_heads(Q, K, V, self)
        check_length(self, "H_img * W_img", self.H_img * self.W_img, Q, K, V)
        rolls = self.rolled and self.shift_size > 0
        if rolls:
            Q, K, V = (self.cyclic_shift(x) for x in (Q, K, V))
        return run_program(variants.swin(self.H_img, self.W_img, self.window_size, 0 if rolls else self.shift_size), Q, K, V)


class NeighborhoodAttention(Module):
    """Pixels at most `radius` rows and columns apart; natten=True: windows at borders are moved inwards instead of clipped."""

    def __init__(self, dim, n_heads, H_img, W_img, radius=2, *, natten=False):
        super().__init__()
        self.n_heads, self.dim, self.H_img, self.W_img, self.head_dim, self.radius, self.natten = n_heads, dim, H_img, W_img, dim // n_heads, radius, natten

    def forward(self, Q, K, V):
        check_heads(Q, K, V, self)
        check_length(self, "H_img * W_img", self.H_img * self.W_img, Q, K, V)
        return run_program(variants.neighborhood((self.H_img, self.W_img), 2 * self.radius + 1, clipped=not self.natten), Q, K, V)


def get_alibi_slopes(n_heads):
    """float32 (n_heads): powers of 2^(-8 / n), n the power of two below or at n_heads, then every second one of twice as many."""
    power = 1 << (n_heads.bit_length() - 1)
    slopes = [2 ** (-8 * (i + 1) / power) for i in range(power)]
    slopes += [2 ** (-8 * (2 * i + 1) / (2 * power)) for i in range(n_heads - power)]
    return constant(numpy.array(slopes, numpy.float32))


class AlibiAttention(Module):
    """score - slope |q - k| (Press et al. 2022). as_in_examples: their score + slope (q - k), by which far keys gain."""

    def __init__(self, n_heads, *, as_in_examples=False):
        super().__init__()
        self.n_heads, self.as_in_examples = n_heads, as_in_examples
        self.register_buffer("alibi_bias_slopes", get_alibi_slopes(index(n_heads, "n_heads")))

    def forward(self, Q, K, V):
        check_heads(Q, Q, Q, self)
        change = "+ slopes[h] * (q_idx - kv_idx)" if self.as_in_examples else "- slopes[h] * abs(q_idx - kv_idx)"
        return run_program(f"buffer slopes : f32[num_heads]\nscore = score {change}\n", Q, K, V, {"slopes": beside(Q, self.alibi_bias_slopes)})


class RelativePositionalAttention(Module):
    """score + (q - k)."""

    def forward(self, Q, K, V):
        return run_program("score = score + (q_idx - kv_idx)\n", Q, K, V)


class SoftCapAttention(Module):
    """softcap_value * tanh(score / softcap_value). With use_tanh_approximation a quotient of polynomials stands in the place of tanh, which
    differs from it by at most 1e-4 (the examples have one tanh for both)."""

    approximation = """
let x = clamp(score / {cap}, -4.97, 4.97)
let y = x * x
score = {cap} * x * (135135.0 + y * (17325.0 + y * (378.0 + y))) / (135135.0 + y * (62370.0 + y * (3150.0 + 28.0 * y)))
"""

    def __init__(self, softcap_value=20.0, use_tanh_approximation=False):
        super().__init__()
        self.softcap_value, self.use_tanh_approximation = softcap_value, use_tanh_approximation

    def forward(self, Q, K, V):
        if self.use_tanh_approximation:
            return run_program(self.approximation.format(cap=float(self.softcap_value)), Q, K, V)
        return run_program("", Q, K, V, softcap=float(self.softcap_value))


class CausalAttention(Module):
    """Keys up to the query's own position; of Q_LEN queries and KV_LEN keys, which calls have. B and H are any."""

    program = "mask = q_idx >= kv_idx\n"

    def __init__(self, Q_LEN, KV_LEN, B=None, H=None):
        super().__init__()
        self.Q_LEN, self.KV_LEN, self.B, self.H = Q_LEN, KV_LEN, B, H

    def forward(self, Q, K, V):
        check_length(self, "Q_LEN", self.Q_LEN, Q)
        check_length(self, "KV_LEN", self.KV_LEN, K, V)
        return run_program(self.program, Q, K, V)


class SlidingWindowCausalAttention(CausalAttention):
    """The query's own key and window_size before it."""

    def __init__(self, Q_LEN, KV_LEN, window_size, B=None, H=None):
        super().__init__(Q_LEN, KV_LEN, B, H)
        self.window_size = window_size
        self.program = f"mask = q_idx >= kv_idx && q_idx - kv_idx <= {index(window_size, 'window_size')}\n"


def ints(x, rank):
    """int32 of numpy, whatever it was."""
    array = numpy.ascontiguousarray(numpy.asarray(x.detach().cpu() if is_torch(x) else x), numpy.int32)
    if array.ndim not in rank:
        raise ValueError(f"an array of {' or '.join(map(str, rank))} dimensions is wanted, not of {array.ndim}")
    return array


class PrefixLMAttention(Module):
    """The first prefix_lengths[b] keys are seen by all, the rest is causal."""

    def forward(self, Q, K, V, prefix_lengths):
        program = "buffer prefix : i32[batch_size]\nmask = kv_idx < prefix[b] || q_idx >= kv_idx\n"
        return run_program(program, Q, K, V, {"prefix": ints(prefix_lengths, (1,))})


class DocumentMaskAttention(Module):
    """Tokens of one document see each other; document_id (length), or (batch, length)."""

    def forward(self, Q, K, V, document_id):
        document = ints(document_id, (1, 2))
        extents, first = ("q_len", "") if document.ndim == 1 else ("batch_size, q_len", "b, ")
        program = f"buffer document : i32[{extents}]\nmask = document[{first}q_idx] == document[{first}kv_idx]\n"
        return run_program(program, Q, K, V, {"document": document})


def generate_doc_mask_mod(inner_mask_mod, document_id):
    """inner_mask_mod inside each document of document_id (length), with positions that count from its first token."""
    document = ints(document_id, (1,))
    changes = numpy.flatnonzero(numpy.diff(document, prepend=document[:1] - 1))
    number = numpy.searchsorted(changes, numpy.arange(len(document)), side="right").astype(numpy.int32) - 1
    start = changes[number].astype(numpy.int32) if len(document) else number

    def doc_mask_wrapper(b, h, q_idx, kv_idx):
        return (document[q_idx] == document[kv_idx]) & inner_mask_mod(b, h, q_idx - start[q_idx], kv_idx - start[kv_idx])

    return doc_mask_wrapper
