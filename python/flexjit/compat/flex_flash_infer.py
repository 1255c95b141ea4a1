"""FlexFlashInfer's interface on flexjit, for numpy and torch: a mask that is prepared once and attended with many times.

    from flexjit.compat.flex_flash_infer import FlexFlashInfer, get_mask_fn

Tensors are (length, heads, dim). `python -m flexjit.compat.flex_flash_infer --help` compares a mask with attention under a dense one.
"""
import argparse
import enum
import sys

from .. import _core
from .._arrays import empty
from .._engine import default_engine
from .._patterns import Pattern, index
from ._flash import shape_of

__all__ = ["FlexFlashInfer", "MaskType", "get_mask_fn"]


class MaskType(enum.Enum):
    CAUSAL = "causal"
    SLIDING_WINDOW = "sliding_window"
    ATTAMBA = "attamba"
    FULL = "full"


def get_mask_fn(mask_type, window_size=None, chunk_size=None):
    """The mask of a name or MaskType, a function of (q_idx, kv_idx) on numbers and arrays: causal; sliding_window, causal and
    q_idx - kv_idx <= window_size; attamba, causal and (kv_idx + 1) % chunk_size == 0 or q_idx - kv_idx < window_size; full. Its
    `text` is what a kernel has of it. Raises flexjit.Error, a ValueError, for other names and for missing sizes."""
    name = mask_type.value if isinstance(mask_type, MaskType) else mask_type
    text = _core.get_mask_fn(name, window_size, chunk_size)
    functions = {
        "causal": lambda q_idx, kv_idx: q_idx >= kv_idx,
        "sliding_window": lambda q_idx, kv_idx: (q_idx >= kv_idx) & (q_idx - kv_idx <= window_size),
        "attamba": lambda q_idx, kv_idx: (q_idx >= kv_idx) & (((kv_idx + 1) % chunk_size == 0) | (q_idx - kv_idx < window_size)),
        "full": lambda q_idx, kv_idx: (q_idx >= kv_idx) | (q_idx < kv_idx),
    }
    function = functions[name.lower()]
    function.text = text
    return function


def one_of(names, values, needed=True):
    """The value that an argument of two names has."""
    given = [value for value in values if value is not None]
    if len(given) > 1:
        raise TypeError(f"{' and '.join(names)} are one argument; give one of them")
    if not given and needed:
        raise ValueError(f"{names[0]} must be specified")
    return index(given[0], names[0]) if given else None


def dtype_name(dtype):
    return "f16" if dtype is None else str(getattr(dtype, "__name__", dtype)).removeprefix("torch.")


class FlexFlashInfer:
    """prepare() decides which blocks a mask leaves, a call attends with it. Calls may come from several threads."""

    def __init__(self, workspace_buffer=None, device=None, *, engine=None):
        """workspace_buffer is not needed, and not looked at."""
        if device is not None and str(device) != "cpu":
            raise ValueError(f"flexjit runs on the processor, not on {device}")
        self.core = _core.FlexFlashInfer((engine or default_engine()).core)
        self.sizes = None

    def prepare(self, mask_fn, num_qo_heads=None, seq_len_q=None, seq_len_kv=None, block_size_row=64, block_size_col=64, num_kv_heads=None,
                head_dim=None, dtype=None, *, num_heads=None, q_len=None, kv_len=None, score_mod=None, sm_scale=None):
        """mask_fn: a function of (q_idx, kv_idx), a text, or a name. num_heads, q_len and kv_len are other names of num_qo_heads,
        seq_len_q and seq_len_kv. num_kv_heads: num_qo_heads by default. Blocks are those of bsr(); lengths need not be multiples of
        them. dtype, of numpy or torch, is that of q, k, v and the result: float16 by default. score_mod: as of flexjit.attention."""
        lengths = [one_of(names, values) for names, values in ((("seq_len_q", "q_len"), (seq_len_q, q_len)), (("seq_len_kv", "kv_len"), (seq_len_kv, kv_len)))]
        heads = one_of(("num_qo_heads", "num_heads"), (num_qo_heads, num_heads))
        dim = one_of(("head_dim",), (head_dim,))
        mask = getattr(mask_fn, "text", mask_fn)
        if callable(mask):
            pairs = mask

            def mask(b, h, q_idx, kv_idx):
                return pairs(q_idx, kv_idx)

        pattern = Pattern(score_mod, mask)
        sizes = (*lengths, heads, 0 if num_kv_heads is None else index(num_kv_heads, "num_kv_heads"), dim)
        self.core.prepare(pattern.mask_mod, pattern.score_mod, sizes, (index(block_size_row, "block_size_row"), index(block_size_col, "block_size_col")),
                          dtype_name(dtype), sm_scale, pattern.bindings)
        self.sizes, self.block_size = sizes, (block_size_row, block_size_col)

    def forward(self, query, key, value, return_lse=False):
        """(seq_len_q, num_qo_heads, head_dim), with return_lse also float32 (seq_len_q, num_qo_heads), of base 2. Raises RuntimeError
        before prepare(), AssertionError for other lengths than were prepared, flexjit.Error for what else does not fit."""
        if self.sizes is None:
            raise RuntimeError("call prepare() before forward()")
        for name, x, expected in (("query", query, self.sizes[0]), ("key", key, self.sizes[1]), ("value", value, self.sizes[1])):
            length = shape_of(x, name, 3, "(length, heads, dim)")[0]
            if length != expected:
                raise AssertionError(f"{name} has a length of {length}; prepared was {expected}")
        out = empty(query, tuple(query.shape), _core.dtype_name(query))
        lse = empty(query, tuple(query.shape[:2]), "f32") if return_lse else None
        self.core.run(query, key, value, out, lse)
        return (out, lse) if return_lse else out

    __call__ = run = forward

    def bsr(self, head=0):
        """The mask as a BSR matrix of blocks block_size_row x block_size_col: indptr and indices, int32, and data, bool (nnz,
        block_size_row, block_size_col)."""
        import numpy

        indptr, indices, data = self.core.bsr(head)
        blocks = numpy.frombuffer(data, numpy.bool_).reshape(-1, *self.block_size)
        return numpy.frombuffer(indptr, numpy.int32), numpy.frombuffer(indices, numpy.int32), blocks


def dense_attention(q, k, v, allowed):
    """Attention by its definition, head by head, in float64."""
    import numpy

    out = numpy.zeros(q.shape)
    group = q.shape[1] // k.shape[1]
    for head in range(q.shape[1]):
        scores = q[:, head].astype(float) @ k[:, head // group].astype(float).T / q.shape[2] ** 0.5
        scores = numpy.where(allowed, scores, -numpy.inf)
        top = scores.max(1, keepdims=True)
        weights = numpy.exp(scores - numpy.where(numpy.isfinite(top), top, 0))
        out[:, head] = weights @ v[:, head // group].astype(float) / numpy.maximum(weights.sum(1, keepdims=True), 1e-300)
    return out


def parsed(arguments):
    parser = argparse.ArgumentParser(prog="python -m flexjit.compat.flex_flash_infer", description="Compares FlexFlashInfer with attention under a dense mask.")
    sizes = {"q_len": 1024, "kv_len": 1024, "num_qo_heads": 32, "num_kv_heads": None, "head_dim": 64, "block_size_row": 1, "block_size_col": 64}
    for name, default in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=default, help="default: " + ("as many as queries have" if default is None else "%(default)s"))
    parser.add_argument("--mask_type", default="causal", choices=[mask.value for mask in MaskType], help="default: %(default)s")
    parser.add_argument("--window_size", type=int, default=8, help="of sliding_window and attamba; default: %(default)s")
    parser.add_argument("--chunk_size", type=int, default=8, help="of attamba; default: %(default)s")
    options = parser.parse_args(arguments)
    if options.num_kv_heads is None:
        options.num_kv_heads = options.num_qo_heads
    return options


def main(arguments=None):
    """Exit status: 0 for PASSED."""
    import numpy

    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    options = parsed(arguments)
    print("FlexFlashInfer")
    for name, value in vars(options).items():
        print(f"  {name:<15} {value}")
    random = numpy.random.default_rng(0)
    lengths_and_heads = (options.q_len, options.num_qo_heads), (options.kv_len, options.num_kv_heads), (options.kv_len, options.num_kv_heads)
    mask_fn = get_mask_fn(options.mask_type, options.window_size, options.chunk_size)
    attention = FlexFlashInfer()
    try:
        attention.prepare(mask_fn, options.num_qo_heads, options.q_len, options.kv_len, options.block_size_row, options.block_size_col,
                          options.num_kv_heads, options.head_dim)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    q, k, v = (random.standard_normal((*sizes, options.head_dim)).astype(numpy.float16) for sizes in lengths_and_heads)
    print(f"  blocks          {attention.bsr()[1].size} of {-(-options.q_len // options.block_size_row) * -(-options.kv_len // options.block_size_col)}")
    allowed = mask_fn(*numpy.ogrid[: options.q_len, : options.kv_len])
    expected = dense_attention(q, k, v, allowed)
    difference = numpy.abs(attention(q, k, v) - expected)
    passed = bool((difference <= 5e-3 + 1e-3 * numpy.abs(expected)).all())
    print(f"  difference      {difference.max():.6f} at most")
    print(f"Test result: {'✅ PASSED' if passed else '❌ FAILED'}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
