"""flexjit.compat.flash_attn on numpy arrays: FlashAttention's functions, arguments and defaults against the definition."""
import inspect
import itertools

import numpy as np
import pytest
from flash_oracle import flash, heads_first, mask_of, tensors
from oracle import attention, close
from philox import kept, philox

import flexjit
from flexjit.compat import flash_attn
from flexjit.compat.flash_attn import (flash_attn_func, flash_attn_kvpacked_func, flash_attn_qkvpacked_func, flash_attn_varlen_func,
                                       flash_attn_varlen_kvpacked_func, flash_attn_varlen_qkvpacked_func, flash_attn_with_kvcache)

FLAGS = {"dropout_p": 0.0, "softmax_scale": None, "causal": False, "window_size": (-1, -1), "softcap": 0.0, "alibi_slopes": None,
         "deterministic": False, "return_attn_probs": False}
SIGNATURES = {
    "flash_attn_func": ("q k v", FLAGS),
    "flash_attn_qkvpacked_func": ("qkv", FLAGS),
    "flash_attn_kvpacked_func": ("q kv", FLAGS),
    "flash_attn_varlen_func": ("q k v cu_seqlens_q cu_seqlens_k max_seqlen_q max_seqlen_k", {**FLAGS, "block_table": None}),
    "flash_attn_varlen_qkvpacked_func": ("qkv cu_seqlens max_seqlen", FLAGS),
    "flash_attn_varlen_kvpacked_func": ("q kv cu_seqlens_q cu_seqlens_k max_seqlen_q max_seqlen_k", FLAGS),
    "flash_attn_with_kvcache": ("q k_cache v_cache", {
        "k": None, "v": None, "rotary_cos": None, "rotary_sin": None, "cache_seqlens": None, "cache_batch_idx": None, "cache_leftpad": None,
        "block_table": None, "softmax_scale": None, "causal": False, "window_size": (-1, -1), "softcap": 0.0, "rotary_interleaved": True,
        "alibi_slopes": None, "num_splits": 0, "return_softmax_lse": False}),
}


@pytest.mark.covers("D01")
@pytest.mark.parametrize("name", SIGNATURES)
def test_arguments_and_defaults_are_flash_attentions(name):
    positional, defaults = SIGNATURES[name]
    parameters = [p for p in inspect.signature(getattr(flash_attn, name)).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert [p.name for p in parameters] == positional.split() + list(defaults)
    assert {p.name: p.default for p in parameters if p.name in defaults} == defaults


@pytest.mark.covers("D10")
@pytest.mark.parametrize("options", [{}, {"causal": True}, {"softmax_scale": 0.1}, {"softmax_scale": 0.0, "causal": True}, {"softmax_scale": -0.3},
                                     {"softcap": 2.0, "causal": True}, {"softcap": -1.0}])
@pytest.mark.parametrize("q_len, kv_len", [(33, 50), (50, 33), (1, 40)])
def test_options(options, q_len, kv_len):
    q, k, v = tensors(q_len=q_len, kv_len=kv_len)
    out, lse, none = flash_attn_func(q, k, v, **options, return_attn_probs=True)
    expected = flash(q, k, v, options.get("softmax_scale"), options.get("causal", False), softcap=options.get("softcap", 0.0))
    close(out, expected[0], 1e-5)
    close(lse, expected[1], 1e-5)
    assert none.shape == (0,) and out.dtype == lse.dtype == np.float32


@pytest.mark.covers("D04")
def test_windows():
    for q_len, kv_len in ((5, 9), (9, 5), (7, 7)):
        q, k, v = tensors(1, q_len, kv_len, 2, 2, 8)
        sides = (-1, 0, 1, kv_len - 1, kv_len)
        for window_size, causal in itertools.product(itertools.product(sides, sides), (False, True)):
            close(flash_attn_func(q, k, v, causal=causal, window_size=window_size), flash(q, k, v, None, causal, window_size)[0], 1e-5)


@pytest.mark.covers("D07", "C6")
@pytest.mark.parametrize("shape", [(4,), (2, 4)])
@pytest.mark.parametrize("causal", [False, True])
def test_alibi(shape, causal):
    q, k, v = tensors()
    slopes = np.linspace(0.1, 0.8, int(np.prod(shape)), dtype=np.float32).reshape(shape)
    close(flash_attn_func(q, k, v, causal=causal, alibi_slopes=slopes), flash(q, k, v, None, causal, slopes=slopes)[0], 1e-5)


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-12), ("float16", 2e-3), ("bfloat16", 2e-2)])
def test_dtypes(dtype, tolerance):
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes", reason="no ml_dtypes here").bfloat16
    q, k, v = tensors(v_dim=24, dtype=dtype)
    out, lse, _ = flash_attn_func(q, k, v, causal=True, return_attn_probs=True)
    assert out.dtype == q.dtype and out.shape == (2, 33, 4, 24) and lse.shape == (2, 4, 33)
    close(out, flash(q, k, v, None, True)[0], tolerance)


@pytest.mark.covers("D12")
def test_strided_views_have_the_bits_of_copies():
    q, k, v = tensors()
    swapped = [np.ascontiguousarray(x.swapaxes(1, 2)).swapaxes(1, 2) for x in (q, k, v)]
    repeated = [np.broadcast_to(x[:1], x.shape) for x in (q, k, v)]
    sliced = [np.concatenate([x, x], -1)[..., : x.shape[-1]] for x in (q, k, v)]
    by_columns = [np.asfortranarray(x) for x in (q, k, v)]
    plain = flash_attn_func(q, k, v, causal=True)
    for views in (swapped, sliced, by_columns):
        assert (flash_attn_func(*views, causal=True) == plain).all()
    assert (flash_attn_func(*repeated, causal=True) == plain[:1]).all()


def test_packed_tensors_have_the_bits_of_views():
    random = np.random.default_rng(1)
    qkv = random.standard_normal((2, 20, 3, 4, 16)).astype(np.float32)
    parts = [qkv[:, :, n] for n in range(3)]
    assert (flash_attn_qkvpacked_func(qkv, causal=True) == flash_attn_func(*parts, causal=True)).all()
    assert (flash_attn_kvpacked_func(parts[0], qkv[:, :, 1:]) == flash_attn_func(*parts)).all()
    cu = np.array([0, 7, 20], np.int32)
    rows = [x[0] for x in parts]
    of_parts = flash_attn_varlen_func(*rows, cu, cu, 13, 13, causal=True)
    assert (flash_attn_varlen_qkvpacked_func(qkv[0], cu, 13, causal=True) == of_parts).all()
    assert (flash_attn_varlen_kvpacked_func(rows[0], qkv[0][:, 1:], cu, cu, 13, 13, causal=True) == of_parts).all()
    with pytest.raises(ValueError, match=r"3.*\(batch, seqlen, 3"):
        flash_attn_qkvpacked_func(qkv[:, :, :2])


LENGTHS = [(5, 20), (0, 3), (1, 64), (40, 40), (7, 0), (30, 9)]


@pytest.mark.covers("P37")
@pytest.mark.parametrize("options", [{}, {"causal": True}, {"window_size": (4, 2)}, {"softcap": 5.0, "causal": True}])
def test_packed_sequences_are_each_alone(options):
    random = np.random.default_rng(2)
    cu_q, cu_k = (np.cumsum([0, *(pair[n] for pair in LENGTHS)]).astype(np.int32) for n in (0, 1))
    q = random.standard_normal((cu_q[-1], 4, 16)).astype(np.float32)
    k, v = (random.standard_normal((cu_k[-1], 2, 16)).astype(np.float32) for _ in range(2))
    out, lse, _ = flash_attn_varlen_func(q, k, v, cu_q, cu_k, 40, 64, **options, return_attn_probs=True)
    assert lse.shape == (4, cu_q[-1])
    for b in range(len(LENGTHS)):
        queries, keys = slice(cu_q[b], cu_q[b + 1]), slice(cu_k[b], cu_k[b + 1])
        if cu_k[b] == cu_k[b + 1]:
            assert not out[queries].any() and (lse[:, queries] == -np.inf).all()
            continue
        expected = flash(q[None, queries], k[None, keys], v[None, keys], None, options.get("causal", False), options.get("window_size", (-1, -1)),
                         options.get("softcap", 0.0))
        close(out[queries], expected[0][0], 1e-5)
        close(lse[:, queries], expected[1][0], 1e-5)


@pytest.mark.covers("D33")
def test_parts_of_packed_sequences():
    q, k, v = (x[0] for x in tensors(1, 20, 20, 2, 2, 8))
    cu, used = np.array([0, 12, 20], np.int32), np.array([4, 8], np.int32)
    out = flash_attn_varlen_func(q, k, v, cu, cu, seqused_q=used, seqused_k=used, leftpad_k=np.array([1, 0], np.int32))
    close(out[:4], flash(q[None, :4], k[None, 1:4], v[None, 1:4])[0][0], 1e-5)
    close(out[12:], flash(q[None, 12:], k[None, 12:], v[None, 12:])[0][0], 1e-5)
    assert not out[4:12].any()


def test_philox_is_the_published_one():
    assert [int(word) for word in philox((0, 0, 0, 0), (0, 0), 10)] == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


@pytest.mark.parametrize("causal", [False, True])
def test_dropout_drops_what_philox_says(causal):
    q, k, v = tensors(q_len=40, kv_len=40)
    state = (11, 3)
    out, lse, probs = flash_attn_func(q, k, v, 0.3, causal=causal, return_attn_probs=True, rng_state=state)
    stays = kept(0.3, 2, 4, 40, 40, state)
    expected = flash(q, k, v, None, causal, drop=(0.3, stays))
    close(out, expected[0], 1e-5)
    close(lse, expected[1], 1e-5)
    assert (np.signbit(probs) == ~stays & mask_of(40, 40, causal)).all()
    close(np.abs(probs).sum(-1), 1, 1e-5)


def test_dropout_draws_from_numpys_generator():
    q, k, v = tensors()
    np.random.seed(5)
    first, second = (flash_attn_func(q, k, v, 0.3) for _ in range(2))
    np.random.seed(5)
    assert (flash_attn_func(q, k, v, 0.3) == first).all() and (first != second).any()
    assert (flash_attn_func(q, k, v, 0.0) == flash_attn_func(q, k, v)).all()


def test_texts_functions_and_sinks_beside_the_flags():
    q, k, v = tensors()
    bias = np.linspace(-1, 1, 50, dtype=np.float32)
    by_text = flash_attn_func(q, k, v, causal=True, score_mod="score + bias[kv_idx]", mask_mod="kv_idx % 3 != 1", bindings={"bias": bias})
    traced = flash_attn_func(q, k, v, causal=True, score_mod=lambda s, b, h, i, j: s + bias[j], mask_mod=lambda b, h, i, j: j % 3 != 1)
    expected, _ = attention(*(heads_first(x) for x in (q, k, v)), lambda s, b, h, i, j: s + bias[j], lambda b, h, i, j: (j % 3 != 1) & (j <= i + 17))
    close(by_text, expected.swapaxes(1, 2), 1e-5)
    close(traced, expected.swapaxes(1, 2), 1e-5)
    sink = np.array([0.5, -1.0, 2.0, 0.0], np.float32)
    out, lse = flash(q, k, v)
    share = np.exp(lse) / (np.exp(lse) + np.exp(sink)[:, None])
    close(flash_attn_func(q, k, v, learnable_sink=sink), out * share.swapaxes(1, 2)[..., None], 1e-5)


@pytest.mark.covers("P05")
@pytest.mark.parametrize("breakage, message", [
    (lambda q, k, v: (q[0], k, v), "q has 3 dimensions"),
    (lambda q, k, v: (q[:1], k, v), "batch"),
    (lambda q, k, v: (q, k, v[:, :9]), "kv_len"),
    (lambda q, k, v: (q, k, v[:, :, :1]), "heads"),
    (lambda q, k, v: (q[:, :, :3], k, v), "multiple"),
    (lambda q, k, v: (q[..., :16], k, v), "head_dim"),
    (lambda q, k, v: (q, k.astype(np.float16), v), "f16"),
])
def test_what_does_not_fit_is_named(breakage, message):
    with pytest.raises(RuntimeError, match=message) as raised:
        flash_attn_func(*breakage(*tensors()))
    assert isinstance(raised.value, ValueError) and isinstance(raised.value, flexjit.Error)


def test_what_is_no_option_is_named():
    q, k, v = tensors()
    for options, error, message in [({"dropout_p": 1.0}, ValueError, "dropout_p"), ({"window_size": 3}, TypeError, "window_size"),
                                    ({"causal": "yes"}, TypeError, "causal"), ({"alibi_slopes": np.ones(3, np.float32)}, ValueError, "alibi_slopes"),
                                    ({"alibi_slopes": np.ones(4)}, ValueError, "alibi_slopes"), ({"nonsense": 1}, TypeError, "nonsense"),
                                    ({"softcap": "big"}, TypeError, "softcap")]:
        with pytest.raises(error, match=message):
            flash_attn_func(q, k, v, **options)
    with pytest.raises(TypeError, match="q is an array"):
        flash_attn_func([[1.0]], k, v)
    cu = np.array([0, 20, 10], np.int32)
    with pytest.raises(RuntimeError, match=r"cu_seqlens_q\[2\] is 10"):
        flash_attn_varlen_func(q[0], k[0], v[0], cu, cu)
    with pytest.raises(RuntimeError, match="cu_seqlens_q is i64"):
        flash_attn_varlen_func(q[0], k[0], v[0], cu.astype(np.int64), cu)


def cache_of(batch=2, room=40, heads=2, dim=32, seed=3):
    random = np.random.default_rng(seed)
    return [random.standard_normal((batch, room, heads, dim)).astype(np.float32) for _ in range(2)]


@pytest.mark.covers("D14", "D22", "C17")
@pytest.mark.parametrize("lengths", [7, [7, 7], [3, 12]])
def test_cache_grows_in_place(lengths):
    q, k, v = tensors(q_len=5, kv_len=5)
    k_cache, v_cache = cache_of()
    before = k_cache.copy(), v_cache.copy()
    of_each = np.broadcast_to(lengths, 2)
    given = lengths if isinstance(lengths, int) else np.array(lengths, np.int32)
    out, lse, after = flash_attn_with_kvcache(q, k_cache, v_cache, k, v, cache_seqlens=given, causal=True, return_softmax_lse=True,
                                              return_cache_seqlens=True)
    assert (after == of_each + 5).all() and lse.shape == (2, 4, 5)
    for b, past in enumerate(of_each):
        for cache, old, new in ((k_cache, before[0], k), (v_cache, before[1], v)):
            assert (cache[b, past:past + 5] == new[b]).all()
            assert (cache[b, :past] == old[b, :past]).all() and (cache[b, past + 5:] == old[b, past + 5:]).all()
        expected = flash(q[b:b + 1], k_cache[b:b + 1, :past + 5], v_cache[b:b + 1, :past + 5], None, True)
        close(out[b], expected[0][0], 1e-5)
        close(lse[b], expected[1][0], 1e-5)


def test_cache_that_is_only_read():
    q = tensors(q_len=1)[0]
    k_cache, v_cache = cache_of()
    before = k_cache.copy()
    close(flash_attn_with_kvcache(q, k_cache, v_cache), flash(q, k_cache, v_cache)[0], 1e-5)
    close(flash_attn_with_kvcache(q, k_cache, v_cache, cache_seqlens=16), flash(q, k_cache[:, :16], v_cache[:, :16])[0], 1e-5)
    assert (k_cache == before).all()


@pytest.mark.covers("D17")
@pytest.mark.parametrize("interleaved", [True, False])
@pytest.mark.parametrize("causal", [True, False])
def test_rotary(interleaved, causal):
    q, k, v = tensors(q_len=3, kv_len=3)
    k_cache, v_cache = cache_of()
    angles = np.outer(np.arange(40), 10000.0 ** (-np.arange(8) / 8))
    cos, sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)

    def rotated(x, positions):
        y = x.astype(np.float64)
        first, second = (y[..., 0:16:2], y[..., 1:16:2]) if interleaved else (y[..., :8], y[..., 8:16])
        c, s = cos[positions][:, None].astype(float), sin[positions][:, None].astype(float)
        turned = first * c - second * s, second * c + first * s
        result = y.copy()
        if interleaved:
            result[..., 0:16:2], result[..., 1:16:2] = turned
        else:
            result[..., :8], result[..., 8:16] = turned
        return result

    out = flash_attn_with_kvcache(q, k_cache, v_cache, k, v, cos, sin, cache_seqlens=10, causal=causal, rotary_interleaved=interleaved)
    close(k_cache[:, 10:13], rotated(k, np.arange(10, 13)), 1e-6)
    assert (v_cache[:, 10:13] == v).all()
    at = np.arange(10, 13) if causal else np.full(3, 10)
    close(out, flash(rotated(q, at), k_cache[:, :13], v_cache[:, :13], None, causal)[0], 1e-5)


@pytest.mark.covers("D18", "D19")
def test_entries_of_the_cache_and_left_pads():
    q = tensors(q_len=2)[0]
    k_cache, v_cache = cache_of(batch=4)
    entries, pads, lengths = np.array([3, 1], np.int32), np.array([2, 0], np.int32), np.array([20, 9], np.int32)
    out = flash_attn_with_kvcache(q, k_cache, v_cache, cache_seqlens=lengths, cache_batch_idx=entries, cache_leftpad=pads, causal=True)
    for b in range(2):
        keys = slice(pads[b], lengths[b])
        close(out[b], flash(q[b:b + 1], k_cache[entries[b]:entries[b] + 1, keys], v_cache[entries[b]:entries[b] + 1, keys], None, True)[0][0], 1e-5)


@pytest.mark.covers("D21")
def test_num_splits_changes_no_bit():
    q = tensors(q_len=1)[0]
    k_cache, v_cache = cache_of(room=700)
    outs = [flash_attn_with_kvcache(q, k_cache, v_cache, num_splits=n) for n in (0, 1, 4, 128)]
    assert all((out == outs[0]).all() for out in outs)
    with pytest.raises(RuntimeError, match="num_splits"):
        flash_attn_with_kvcache(q, k_cache, v_cache, num_splits=129)


def test_a_call_that_is_refused_leaves_the_cache():
    q, k, v = tensors(q_len=5, kv_len=5)
    k_cache, v_cache = cache_of()
    before = k_cache.copy(), v_cache.copy()
    for options, message in [({"cache_seqlens": 36}, "hold"), ({"cache_seqlens": np.array([1, 41], np.int32)}, r"cache_seqlens\[1\]"),
                             ({}, "cache_seqlens"), ({"cache_seqlens": 2 ** 40}, "32 bits"), ({"cache_seqlens": 1, "softcap": "x"}, "softcap"),
                             ({"cache_seqlens": 1, "v": None}, "together")]:
        keywords = {"k": k, "v": v, **options}
        with pytest.raises((RuntimeError, TypeError, ValueError), match=message):
            flash_attn_with_kvcache(q, k_cache, v_cache, **keywords)
    k_cache.flags.writeable = False
    with pytest.raises((TypeError, BufferError), match="read-only"):
        flash_attn_with_kvcache(q, k_cache, v_cache, k, v, cache_seqlens=1)
    assert (k_cache == before[0]).all() and (v_cache == before[1]).all()


@pytest.mark.covers("E07")
def test_whole_windows_are_none():
    q, k, v = tensors()
    plain = flash_attn_func(q, k, v)
    assert (flash_attn_func(q, k, v, window_size=(50, 50)) == plain).all() and (flash_attn_func(q, k, v, window_size=(-1, -1)) == plain).all()
