"""Engine, Attention and attention(): patterns to handles, arrays to results. Every shape is (batch, heads, length, dim)."""
import collections
import threading

from . import _core
from ._arrays import empty
from ._patterns import Pattern, index, pattern_of, program_text

KEPT = 512  # handles of an engine that are found again by their pattern


class Attention:
    """A compiled pattern of one head_dim and one element type; any lengths, batch and heads. Thread-safe."""

    __slots__ = ("core", "out_dtype", "softmax", "spec")

    def __init__(self, core, out_dtype, softmax=True, spec=None):
        self.core, self.out_dtype, self.softmax, self.spec = core, out_dtype, softmax, spec

    def run(self, q, k, v, bindings=None, *, out=None, lse=None, max_scores=None, sinks=None, k_scales=None, v_scales=None,
            block_mask=None, sequences=None):
        """out (batch, q_heads, q_len, v_head_dim), made where it is not given. q (batch, q_heads, q_len, head_dim), k and v
        (batch, kv_heads, kv_len, ...); lse and max_scores: float32 (batch, q_heads, q_len) to write to; bindings: {name: array
        or number}; k_scales, v_scales: of int8 or fp8 k and v; sequences: {"cu_seqlens_q": ..., "block_table": ...} as in docs/api.md. Raises flexjit.Error."""
        if out is None:
            out = empty(q, (*q.shape[:3], v.shape[3]), self.out_dtype)
        self.core.run(q=q, k=k, v=v, out=out, lse=lse, max_scores=max_scores, sinks=sinks, k_scales=k_scales, v_scales=v_scales,
                      bindings=bindings, block_mask=block_mask, sequences=sequences)
        return out

    __call__ = run

    def run_reference(self, q, k, v, bindings=None, *, out=None, lse=None, block_mask=None):
        """The same by naive fp64 attention, for comparing. Slow."""
        if out is None:
            out = empty(q, (*q.shape[:3], v.shape[3]), self.out_dtype)
        self.core.run_reference(q=q, k=k, v=v, out=out, lse=lse, bindings=bindings, block_mask=block_mask)
        return out

    def run_backward(self, q, k, v, out, lse, grad_out, bindings=None, *, grad_lse=None, buffers=(), wanted="qkv", block_mask=None,
                     sinks=None):
        """{"q": dq, "k": dk, "v": dv, name: its gradient} from what the forward call read and wrote. buffers: names of captured
        float arrays whose gradients are wanted; wanted: which of q, k and v."""
        given = {"out": grad_out, "lse": grad_lse}
        result = {}
        for name, array in (("q", q), ("k", k), ("v", v)):
            if name in wanted:
                given[name] = result[name] = empty(array, tuple(array.shape), _core.dtype_name(array))
        into = {name: empty(bindings[name], tuple(bindings[name].shape), _core.dtype_name(bindings[name])) for name in buffers}
        self.core.run_backward(given, into, q=q, k=k, v=v, out=out, lse=lse, bindings=bindings, block_mask=block_mask, sinks=sinks)
        return {**result, **into}

    def inspect(self, view, *, q_len=1024, kv_len=1024, backward=False):
        """One view of what this pattern became ("nest", "plan", "asm", ...; docs/inspector.md), as text."""
        return _core.inspect(view, q_len, kv_len, backward, **self.spec)[0]

    @property
    def text(self):
        """The pattern as a whole program."""
        spec = self.spec
        if spec["language"] == "c++":
            lambdas = [f"constexpr auto {name} = {spec[name]};\n" for name in ("score_mod", "mask_mod") if spec[name]]
            return spec["program"] or "".join(lambdas)
        return spec["program"] or program_text(spec["score_mod"], spec["mask_mod"], spec["buffers"], spec["params"])

    def _repr_html_(self):
        from .show.kernels import html

        return html(self)

    @property
    def warnings(self):
        """Findings about the texts, as text; "" for none."""
        return self.core.warnings

    @property
    def kernel_source(self):
        """"compiled", "memory", "disk" or "reference"."""
        return self.core.kernel_source

    @property
    def compile_ms(self):
        """Milliseconds of the compilation; 0 where the kernel was found."""
        return self.core.compile_ms


class Engine:
    """Compiles patterns and keeps their kernels. Options: threads, backend, target, cache_bytes, compiler_path, cache_dir,
    disk_cache_bytes, perf, gdb, as in include/flexjit/engine_options.h. Thread-safe."""

    def __init__(self, **options):
        self.core = _core.Engine(**options)
        self.known = collections.OrderedDict()
        self.lock = threading.Lock()

    def compile(self, score_mod=None, mask_mod=None, *, program=None, language=None, bindings=None, head_dim=64, dtype="f32", **flags):
        """A handle. score_mod, mask_mod: texts or Python functions; program: a whole *.flex text; language: "c++" where the texts
        are C++, as docs/cxx.md has it. bindings: arrays and numbers like those of later calls, from which names are declared. flags:
        v_head_dim, kv_dtype, out_dtype, scale, causal, window, softcap, alibi, key_lengths, key_mask, attention_mask, dropout,
        weights ("softmax", "sigmoid", "linear"), of linear weights feature_map, features, gate, normalised, eps (docs/variants.md).
        Raises flexjit.Error with all findings."""
        return self.handle(pattern_of(score_mod, mask_mod, program, bindings, language), head_dim=head_dim, dtype=dtype, **flags)

    def handle(self, pattern, **flags):
        """The handle of a Pattern, compiled at its first time."""
        key = (pattern.key, tuple(flags.items()))
        found = self.known.get(key)
        if found is not None:
            return found
        spec = {**pattern.keywords(), **flags}
        core = self.core.compile(**spec)
        found = Attention(core, flags.get("out_dtype") or flags.get("dtype", "f32"), flags.get("weights") in (None, "softmax"), spec)
        with self.lock:
            self.known[key] = found
            while len(self.known) > KEPT:
                self.known.popitem(last=False)
        return found

    def stats(self):
        """{"compiles", "memory_hits", "disk_hits", "cached_kernels", "cached_bytes"} since the engine was made."""
        return self.core.stats()

    def clear_cache(self):
        """Forgets all kernels and handles; handles that somebody holds keep theirs."""
        with self.lock:
            self.known.clear()
        self.core.clear_cache()


_default = None
_default_lock = threading.Lock()


def default_engine():
    """The engine of calls that name none; it takes OMP_NUM_THREADS threads, or one a processor."""
    global _default
    if _default is None:
        with _default_lock:
            if _default is None:
                _default = Engine()
    return _default


def compile(score_mod=None, mask_mod=None, **options):
    """As Engine.compile, by the default engine."""
    return default_engine().compile(score_mod, mask_mod, **options)


def types_of(q, k, v):
    names = [_core.dtype_name(array) for array in (q, k, v)]
    for array, name, what in zip((q, k, v), names, "qkv"):
        if not name or len(array.shape) != 4:
            raise TypeError(f"{what} is (batch, heads, length, dim) of float32, float64, float16 or bfloat16, not "
                            f"{tuple(getattr(array, 'shape', ()))} of {getattr(array, 'dtype', type(array).__name__)}")
    if names[1] != names[2]:
        raise TypeError(f"k has elements of {names[1]} and v of {names[2]}; they must be of one type")
    return names


def attention(q, k, v, score_mod=None, mask_mod=None, *, program=None, language=None, bindings=None, scale=None, block_mask=None,
              out=None, return_lse=False, sinks=None, k_scales=None, v_scales=None, sequences=None, engine=None, **flags):
    """softmax(mask(score_mod(scale q k^T))) v, as (batch, q_heads, q_len, v_head_dim); with return_lse also the log-sum-exp of
    each row, float32 (batch, q_heads, q_len). Mods are texts or Python functions; the other arguments are those of
    Engine.compile and Attention.run."""
    dtype, kv_dtype, _ = types_of(q, k, v)
    pattern = pattern_of(score_mod, mask_mod, program, bindings, language)
    handle = (engine or default_engine()).handle(pattern, dtype=dtype, kv_dtype=kv_dtype, head_dim=q.shape[3], v_head_dim=v.shape[3],
                                                 scale=scale, **flags)
    lse = empty(q, tuple(q.shape[:3]), "f64" if dtype == "f64" else "f32") if return_lse else None
    out = handle.run(q, k, v, pattern.bindings, out=out, lse=lse, sinks=sinks, k_scales=k_scales, v_scales=v_scales, block_mask=block_mask,
                     sequences=sequences)
    return (out, lse) if return_lse else out


def create_block_mask(mask_mod, q_len, kv_len, *, batch=1, heads=1, block_size=128, bindings=None, kv_heads=0, language=None,
                      engine=None):
    """The exact BlockMask of a text or a Python function. block_size: an int, or (q_block, kv_block)."""
    pattern = Pattern(None, mask_mod, None, bindings, language)
    handle = (engine or default_engine()).handle(pattern)
    q_block, kv_block = block_size if isinstance(block_size, tuple) else (block_size, block_size)
    sizes = (index(batch, "batch"), index(heads, "heads"), index(q_len, "q_len"), index(kv_len, "kv_len"), q_block, kv_block)
    return handle.core.create_block_mask(sizes, pattern.bindings, kv_heads)


def check(score_mod=None, mask_mod=None, **options):
    """Every finding about texts, rendered, without compiling them; "" for none."""
    given = [options.pop(name, None) for name in ("program", "bindings", "language")]
    return _core.check(**pattern_of(score_mod, mask_mod, *given).keywords(), **options)


def inspect(view, score_mod=None, mask_mod=None, *, program=None, language=None, bindings=None, q_len=1024, kv_len=1024,
            backward=False, **options):
    """One view of what becomes of a pattern ("simplified", "nest", "llvm", "asm", ...), as text: docs/inspector.md."""
    pattern = pattern_of(score_mod, mask_mod, program, bindings, language)
    return _core.inspect(view, q_len, kv_len, backward, **pattern.keywords(), **options)[0]


def merge_states(outs, lses, return_lse=True):
    """(out, lse) of all keys from those of disjoint sets of keys: lists of out and lse as attention() gives them."""
    out = empty(outs[0], tuple(outs[0].shape), _core.dtype_name(outs[0]))
    lse = empty(outs[0], tuple(lses[0].shape), "f32")
    _core.merge_states(list(outs), list(lses), out, lse)
    return (out, lse) if return_lse else out
