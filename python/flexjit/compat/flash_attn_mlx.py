"""The interface of Flash Attention for MLX (flash_attn.flash_attn_mlx) on flexjit, for numpy and torch:

    from flexjit.compat.flash_attn_mlx import flash_attn_func, flash_attn_with_kvcache, update_paged_kv_cache

As flexjit.compat.flash_attn, and besides: dropout drops the same weights in every call, unless rng_state says otherwise; attention
probabilities are real ones; windows below -1 are refused; lengths may be lists. FLASH_ATTENTION_MLX_REF=1 in the environment, or
reference=True in a call, takes the naive fp64 reference in the place of compiled kernels, for every feature, gradients among them.
"""
import functools
import os
import threading

from .. import _core
from .._arrays import is_torch
from .._engine import Engine, default_engine
from . import flash_attn
from ._flash import EXTRA, FlashAttentionError, checked, written

__all__ = ["FlashAttentionError", "check_mlx_requirements", "flash_attn_func", "flash_attn_kvpacked_func", "flash_attn_qkvpacked_func",
           "flash_attn_varlen_func", "flash_attn_varlen_kvpacked_func", "flash_attn_varlen_qkvpacked_func", "flash_attn_with_kvcache",
           "update_paged_kv_cache", "validate_paged_kv_params"]

RNG_STATE = (0x1BF58, 0x1D4B49)
LENGTHS = ("cu_seqlens", "cu_seqlens_q", "cu_seqlens_k", "cache_seqlens", "block_table")  # may be lists
_reference = None
_lock = threading.Lock()


def reference_engine():
    global _reference
    with _lock:
        if _reference is None:
            _reference = Engine(backend="reference")
    return _reference


def wants_reference():
    return os.environ.get("FLASH_ATTENTION_MLX_REF", "0").lower() in ("1", "true", "yes")


def engine_of(engine, reference):
    return reference_engine() if reference or reference is None and wants_reference() else engine or default_engine()


def ints(x):
    """int32 arrays as they are, lists and other ints as new ones."""
    if x is None or isinstance(x, int) or _core.dtype_name(x) == "i32":
        return x
    if is_torch(x):
        if x.is_floating_point() or x.is_complex():
            raise TypeError(f"lengths are ints, not {x.dtype}")
        return x.int()
    import numpy

    given = numpy.asarray(x)
    if given.dtype.kind not in "iu":
        raise TypeError(f"lengths are ints, not {given.dtype}")
    return given.astype(numpy.int32)


def same_as(function):
    """FlashAttention's function with what MLX's has besides."""
    places = {name: n for n, name in enumerate(function.__code__.co_varnames[: function.__code__.co_argcount])}

    @functools.wraps(function)
    def call(*args, engine=None, reference=None, **keywords):
        args = list(args)
        for name in LENGTHS:
            if name in keywords:
                keywords[name] = ints(keywords[name])
            elif places.get(name, len(args)) < len(args):
                args[places[name]] = ints(args[places[name]])
        window = args[places["window_size"]] if places["window_size"] < len(args) else keywords.get("window_size", (-1, -1))
        if min(window, default=-1) < -1:
            raise FlashAttentionError(f"window_size {tuple(window)}: give -1 for no bound, or 0 and more")
        if function is not flash_attn.flash_attn_with_kvcache:
            keywords = {"rng_state": RNG_STATE, "always_probs": True, **keywords}
        return function(*args, engine=engine_of(engine, reference), **keywords)

    call.__doc__ += ", and reference: True for the fp64 reference, False for kernels whatever the environment says."
    return call


flash_attn_func = same_as(flash_attn.flash_attn_func)
flash_attn_qkvpacked_func = same_as(flash_attn.flash_attn_qkvpacked_func)
flash_attn_kvpacked_func = same_as(flash_attn.flash_attn_kvpacked_func)
flash_attn_varlen_func = same_as(flash_attn.flash_attn_varlen_func)
flash_attn_varlen_qkvpacked_func = same_as(flash_attn.flash_attn_varlen_qkvpacked_func)
flash_attn_varlen_kvpacked_func = same_as(flash_attn.flash_attn_varlen_kvpacked_func)
flash_attn_with_kvcache = same_as(flash_attn.flash_attn_with_kvcache)


def need_int32(name, x):
    if _core.dtype_name(x) != "i32":
        raise TypeError(f"{name} must be int32, not {getattr(x, 'dtype', type(x).__name__)}")


def validate_paged_kv_params(k_cache, v_cache, page_table, batch_size):
    """(page_size, pages of a sequence), once page_table, int32 (batch_size, pages), is seen to name pages of caches that are both
    (num_pages, page_size, heads_k, dim); an entry below 0 is no page. Raises TypeError for other elements, FlashAttentionError, a
    ValueError, for everything else."""
    need_int32("page_table", page_table)
    return checked(_core.validate_paged_kv_params, page_table, batch_size, k_cache, v_cache)


def update_paged_kv_cache(k_cache, v_cache, new_k, new_v, page_table, cache_seqlens):
    """Writes new_k and new_v (batch, seqlen_new, heads_k, dim) into the pages of each sequence, behind its cache_seqlens keys, int32
    (batch,), in place, and returns the lengths that they have then, as a new array. On an error the cache is as it was; more keys
    than the pages hold are one."""
    need_int32("cache_seqlens", cache_seqlens)
    for name, cache, new in (("k", k_cache, new_k), ("v", v_cache, new_v)):
        if _core.dtype_name(cache) != _core.dtype_name(new):
            of = [getattr(x, "dtype", type(x).__name__) for x in (new, cache)]
            raise TypeError(f"new_{name} has elements of {of[0]} and {name}_cache of {of[1]}; they must be of one type")
    lengths = checked(_core.update_paged_kv_cache, k_cache, v_cache, new_k, new_v, ints(page_table), cache_seqlens)
    written(k_cache, v_cache)
    if is_torch(cache_seqlens):
        import torch

        return torch.tensor(lengths, dtype=torch.int32)
    import numpy

    return numpy.array(lengths, numpy.int32)


def check_mlx_requirements():
    """Prints what the engine runs on, compiles and runs a small call, and says whether that worked."""
    import numpy

    print(f"processor: {_core.describe_host()}")
    one = numpy.ones((1, 1, 1, 8), numpy.float32)
    try:
        works = bool((flash_attn_func(one, one, one, reference=False) == one).all())
    except _core.Error as error:
        print(error)
        works = False
    print(f"compiled attention: {'works' if works else 'does not work'}")
    return works


__doc__ += EXTRA
