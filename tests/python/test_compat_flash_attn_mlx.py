"""flexjit.compat.flash_attn_mlx on numpy arrays: pages, the reference, and what differs from FlashAttention."""
import inspect
import math

import numpy as np
import pytest
from flash_oracle import flash, tensors
from oracle import close
from philox import kept

import flexjit
from flexjit.compat import flash_attn, flash_attn_mlx
from flexjit.compat.flash_attn_mlx import (flash_attn_func, flash_attn_kvpacked_func, flash_attn_qkvpacked_func, flash_attn_varlen_func,
                                           flash_attn_varlen_kvpacked_func, flash_attn_with_kvcache, update_paged_kv_cache,
                                           validate_paged_kv_params)


def normal(*shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.mark.covers("P21")
def test_quick_start():
    batch, seqlen, nheads, headdim = 2, 2048, 16, 128
    q, k, v = (normal(batch, seqlen, nheads, headdim, dtype=np.float16, seed=n) for n in range(3))
    out = flash_attn_func(q, k, v, causal=True)
    assert out.shape == q.shape and out.dtype == np.float16
    one = slice(1, 2), slice(None), slice(5, 6)
    close(out[one], flash(q[one], k[one], v[one], None, True)[0], 2e-3)


@pytest.mark.covers("P28")
def test_creating_a_paged_cache():
    batch, nheads_k, headdim, page_size, max_seqlen = 2, 8, 128, 128, 4096
    max_pages_per_seq = math.ceil(max_seqlen / page_size)
    num_pages = batch * max_pages_per_seq
    k_cache = np.zeros((num_pages, page_size, nheads_k, headdim), np.float16)
    v_cache = np.zeros_like(k_cache)
    block_table = np.full((batch, max_pages_per_seq), -1, np.int32)
    for b in range(batch):
        base = b * max_pages_per_seq
        block_table[b] = np.arange(base, base + max_pages_per_seq)
    cache_seqlens = np.zeros((batch,), np.int32)
    new_k, new_v = (normal(batch, 256, nheads_k, headdim, dtype=np.float16, seed=n) for n in range(2))
    cache_seqlens = update_paged_kv_cache(k_cache, v_cache, new_k, new_v, block_table, cache_seqlens)
    assert cache_seqlens.tolist() == [256, 256] and cache_seqlens.dtype == np.int32
    q = normal(batch, 1, nheads_k, headdim, dtype=np.float16, seed=7)
    out, lse = flash_attn_with_kvcache(q, k_cache=k_cache, v_cache=v_cache, cache_seqlens=cache_seqlens, block_table=block_table, causal=True,
                                       return_softmax_lse=True)
    assert out.shape == (2, 1, 8, 128) and lse.shape == (2, 8, 1)
    expected = flash(q, new_k, new_v, None, True)
    close(out, expected[0], 2e-3)
    close(lse, expected[1], 1e-3)
    assert (max_pages_per_seq, num_pages) == (32, 64)
    assert validate_paged_kv_params(k_cache, v_cache, block_table, batch) == (128, 32)


def pages_of(dense, page_size, order, spare=2):
    """(batch, rows, heads, dim) in pages of a random order, and their table."""
    batch, rows, heads, dim = dense.shape
    each = -(-rows // page_size)
    pages = np.full((batch * each + spare, page_size, heads, dim), np.nan, dense.dtype)
    table = order.permutation(len(pages))[: batch * each].reshape(batch, each).astype(np.int32)
    padded = np.full((batch, each * page_size, heads, dim), np.nan, dense.dtype)
    padded[:, :rows] = dense
    pages[table] = padded.reshape(batch, each, page_size, heads, dim)
    return pages, table


@pytest.mark.covers("P25", "C14", "C16")
@pytest.mark.parametrize("page_size", [1, 4, 5, 6, 16, 24, 32, 128, 256])
def test_pages_of_every_size(page_size):
    for batch, dim in ((1, 32), (2, 64)):
        for length in (96, 32, 0, 1, page_size, page_size + 1):
            q = normal(batch, 2, 4, dim, seed=1)
            k, v = (normal(batch, max(length, 1), 2, dim, seed=n) for n in (2, 3))
            k_pages, table = pages_of(k, page_size, np.random.default_rng(page_size))
            v_pages, _ = pages_of(v, page_size, np.random.default_rng(page_size))
            lengths = np.full(batch, length, np.int32)
            out, lse = flash_attn_with_kvcache(q, k_pages, v_pages, cache_seqlens=lengths, block_table=table, causal=True, return_softmax_lse=True)
            if length == 0:
                assert not out.any() and (lse == -np.inf).all()
                continue
            plain = flash_attn_with_kvcache(q, k, v, cache_seqlens=lengths, causal=True)
            close(out, plain, 1e-5)
            close(out, flash(q, k[:, :length], v[:, :length], None, True)[0], 1e-5)


@pytest.mark.covers("P24")
def test_lengths_of_contiguous_caches():
    q = normal(3, 1, 4, 32)
    k, v = normal(3, 50, 2, 32, seed=1), normal(3, 50, 2, 32, seed=2)
    of_all = flash_attn_with_kvcache(q, k, v, cache_seqlens=20)
    close(of_all, flash(q, k[:, :20], v[:, :20])[0], 1e-5)
    for lengths in ([20, 7, 50], np.array([20, 7, 50], np.int32), np.array([20, 7, 50])):
        out = flash_attn_with_kvcache(q, k, v, cache_seqlens=lengths)
        for b, length in enumerate((20, 7, 50)):
            close(out[b], flash(q[b:b + 1], k[b:b + 1, :length], v[b:b + 1, :length])[0][0], 1e-5)


@pytest.mark.covers("P26", "C15")
def test_holes_are_keys_that_nobody_sees():
    q = normal(2, 1, 4, 32)
    k, v = normal(2, 40, 2, 32, seed=1), normal(2, 40, 2, 32, seed=2)
    k_pages, table = pages_of(k, 8, np.random.default_rng(3))
    v_pages, _ = pages_of(v, 8, np.random.default_rng(3))
    lengths = np.array([40, 33], np.int32)
    table[0, 1] = -1
    table[1, :] = -7
    out, lse = flash_attn_with_kvcache(q, k_pages, v_pages, cache_seqlens=lengths, block_table=table, return_softmax_lse=True)
    seen = np.ones(40, bool)
    seen[8:16] = False
    expected = flash(q[:1], k[:1], v[:1], allowed=seen)
    close(out[0], expected[0][0], 1e-5)
    close(lse[0], expected[1][0], 1e-5)
    assert not out[1].any() and (lse[1] == -np.inf).all()


@pytest.mark.covers("P27")
def test_pages_are_shared_and_used_again():
    q = normal(2, 1, 4, 32)
    pages_k, pages_v = normal(3, 8, 2, 32, seed=1), normal(3, 8, 2, 32, seed=2)
    shared = np.array([[0, 1], [0, 2]], np.int32)
    lengths = np.array([16, 12], np.int32)
    compiled = flexjit.Engine()
    out = flash_attn_with_kvcache(q, pages_k, pages_v, cache_seqlens=lengths, block_table=shared, engine=compiled)
    compiles = compiled.stats()["compiles"]
    copies = np.concatenate([pages_k, pages_k[:1]]), np.concatenate([pages_v, pages_v[:1]])
    own = np.array([[0, 1], [3, 2]], np.int32)
    assert (flash_attn_with_kvcache(q, *copies, cache_seqlens=lengths, block_table=own, engine=compiled) == out).all()
    again = np.array([[2, 1], [0, 2]], np.int32)
    out = flash_attn_with_kvcache(q, pages_k, pages_v, cache_seqlens=lengths, block_table=again, engine=compiled)
    close(out[0], flash(q[:1], pages_k[[2, 1]].reshape(1, 16, 2, 32), pages_v[[2, 1]].reshape(1, 16, 2, 32))[0][0], 1e-5)
    assert compiled.stats()["compiles"] == compiles


@pytest.mark.covers("P29", "P30")
@pytest.mark.parametrize("page_size, steps", [(4, (3, 5)), (6, (6, 3)), (4, (0, 8)), (1, (2, 2))])
def test_updates_cross_pages(page_size, steps):
    pages = -(-sum(steps) // page_size)
    table = np.arange(2 * pages, dtype=np.int32).reshape(pages, 2).T.copy()
    k_cache, v_cache = (np.zeros((2 * pages + 1, page_size, 2, 8), np.float32) for _ in range(2))
    by_call = k_cache.copy(), v_cache.copy()
    lengths = np.zeros(2, np.int32)
    written = []
    for n, step in enumerate(steps):
        new_k, new_v = normal(2, step, 2, 8, seed=n), normal(2, step, 2, 8, seed=10 + n)
        q = normal(2, max(step, 1), 4, 8, seed=20 + n)
        out, after = flash_attn_with_kvcache(q, *by_call, new_k, new_v, cache_seqlens=lengths, block_table=table, causal=True,
                                             return_cache_seqlens=True)
        given = lengths
        lengths = update_paged_kv_cache(k_cache, v_cache, new_k, new_v, table, lengths)
        assert (lengths == given + step).all() and (after == lengths).all() and lengths is not given
        written.append((new_k, new_v))
        assert (by_call[0] == k_cache).all() and (by_call[1] == v_cache).all()
        assert (out == flash_attn_with_kvcache(q, k_cache, v_cache, cache_seqlens=lengths, block_table=table, causal=True)).all()
    for cache, part in ((k_cache, 0), (v_cache, 1)):
        expected = np.concatenate([step[part] for step in written], 1)
        rows = cache[table].reshape(2, -1, 2, 8)
        assert (rows[:, : sum(steps)] == expected).all() and not rows[:, sum(steps):].any() and not cache[2 * pages].any()


@pytest.mark.covers("C15")
def test_more_keys_than_the_pages_hold_are_refused_whole():
    k_cache, v_cache = np.zeros((4, 4, 1, 8), np.float32), np.zeros((4, 4, 1, 8), np.float32)
    table, lengths = np.array([[0, 1], [2, 3]], np.int32), np.array([0, 6], np.int32)
    with pytest.raises(ValueError, match="8"):
        update_paged_kv_cache(k_cache, v_cache, np.ones((2, 3, 1, 8), np.float32), np.ones((2, 3, 1, 8), np.float32), table, lengths)
    assert not k_cache.any() and not v_cache.any() and lengths.tolist() == [0, 6]


@pytest.mark.covers("P33")
def test_incremental_decoding():
    k_cache, v_cache = (np.zeros((8, 4, 2, 32), np.float32) for _ in range(2))
    table = np.array([[5, 0, 3, -1], [2, 7, 1, -1]], np.int32)
    lengths = np.zeros(2, np.int32)
    q, k, v = tensors(2, 10, 10, 4, 2, 32)
    for step in range(0, 10, 2):
        rows = slice(step, step + 2)
        out, lse, lengths = flash_attn_with_kvcache(q[:, rows], k_cache, v_cache, k[:, rows], v[:, rows], cache_seqlens=lengths, block_table=table,
                                                    causal=True, return_softmax_lse=True, return_cache_seqlens=True)
        expected = flash(q[:, rows], k[:, : step + 2], v[:, : step + 2], None, True)
        close(out, expected[0], 1e-5)
        close(lse, expected[1], 1e-5)
    assert lengths.tolist() == [10, 10]


@pytest.mark.covers("P34")
@pytest.mark.parametrize("lengths", [[64, 32], [33, 17, 25], [128], [48, 0, 16]])
@pytest.mark.parametrize("page_size", [16, 32])
@pytest.mark.parametrize("causal", [False, True])
def test_packed_queries_on_pages(lengths, page_size, causal):
    cu = np.cumsum([0, *lengths])
    q, k, v = normal(cu[-1], 4, 32), normal(cu[-1], 2, 32, seed=1), normal(cu[-1], 2, 32, seed=2)
    each = -(-max(lengths) // page_size)
    kv = np.zeros((len(lengths) * each, page_size, 2, 2, 32), np.float32)
    table = np.random.default_rng(4).permutation(len(kv)).reshape(-1, each)
    for b, length in enumerate(lengths):
        for row in range(length):
            kv[table[b, row // page_size], row % page_size] = k[cu[b] + row], v[cu[b] + row]
    keywords = {"cu_seqlens_q": cu, "cu_seqlens_k": cu, "max_seqlen_q": max(lengths), "max_seqlen_k": max(lengths), "causal": causal}
    paged = flash_attn_varlen_func(q, kv[:, :, 0], kv[:, :, 1], block_table=table, **keywords)
    close(paged, flash_attn_varlen_func(q, k, v, **keywords), 1e-5)
    assert (flash_attn_varlen_kvpacked_func(q, kv, block_table=table.tolist(), **keywords) == paged).all()
    with pytest.raises(ValueError):  # more keys than there is room for
        flash_attn_varlen_func(q, kv[:1, :, 0], kv[:1, :, 1], block_table=table, **keywords)


@pytest.mark.covers("P32")
@pytest.mark.parametrize("breakage, error, message", [
    (lambda k, v, t: (k, v, t.astype(np.int64)), TypeError, "page_table must be int32"),
    (lambda k, v, t: (k, v, t[0]), ValueError, "block_table has 1 dimensions"),
    (lambda k, v, t: (k, v, t[:1]), ValueError, "block_table has sequences 1"),
    (lambda k, v, t: (k[0], v, t), ValueError, "k_cache has 3 dimensions"),
    (lambda k, v, t: (k, v[:2], t), ValueError, "num_pages 2"),
    (lambda k, v, t: (k[:, :0], v[:, :0], t), ValueError, "page"),
    (lambda k, v, t: (k, v, t[:, :0]), ValueError, "block_table"),
    (lambda k, v, t: (k[:0], v[:0], t), ValueError, "num_pages|block_table|page"),
    (lambda k, v, t: (k, v, t + 3), ValueError, r"block_table\[1, 1\] is 4"),
])
def test_what_pages_must_be(breakage, error, message):
    k, v = np.zeros((4, 4, 2, 8), np.float32), np.zeros((4, 4, 2, 8), np.float32)
    table = np.array([[0, -1], [-1, 1]], np.int32)
    assert validate_paged_kv_params(k, v, table, 2) == (4, 2)
    with pytest.raises(error, match=message):
        validate_paged_kv_params(*breakage(k, v, table), 2)


def test_what_updates_must_be():
    k, v, table = np.zeros((4, 4, 2, 8), np.float32), np.zeros((4, 4, 2, 8), np.float32), np.array([[0, 1]], np.int32)
    new, lengths = np.ones((1, 2, 2, 8), np.float32), np.zeros(1, np.int32)
    for arguments, error, message in [((new.astype(np.float16), new, table, lengths), TypeError, "new_k"), ((new, new, table, np.zeros(1)), TypeError, "int32"),
                                      ((new, new[:, :1], table, lengths), ValueError, "new_v"), ((new[..., :4], new[..., :4], table, lengths), ValueError, "dim"),
                                      ((new, new, table, np.zeros(2, np.int32)), ValueError, "block_table|batch|sequences")]:
        with pytest.raises(error, match=message):
            update_paged_kv_cache(k, v, *arguments)
    assert not k.any() and not v.any()


@pytest.mark.covers("P22")
def test_the_reference_takes_every_feature(monkeypatch):
    q, k, v = tensors(q_len=9, kv_len=12)
    table = np.array([[0, 1, 2], [3, 4, 5]], np.int32)
    k_pages, v_pages = k.reshape(6, 4, 2, 32), v.reshape(6, 4, 2, 32)
    slopes = np.array([0.5, 0.25, 0.125, 0.1], np.float32)
    cu_q, cu_k = [0, 9, 18], [0, 12, 24]
    qkv = np.stack([q[:, :, :2], q[:, :, 2:], q[:, :, 1:3]], 2)
    calls = [lambda **r: flash_attn_func(q, k, v, causal=True, window_size=(5, 0), **r),
             lambda **r: flash_attn_func(q, k, v, 0.2, softcap=3.0, alibi_slopes=slopes, **r),
             lambda **r: flash_attn_qkvpacked_func(qkv, causal=True, **r),
             lambda **r: flash_attn_kvpacked_func(q, np.stack([k, v], 2), **r),
             lambda **r: flash_attn_varlen_func(q.reshape(18, 4, 32), k.reshape(24, 2, 32), v.reshape(24, 2, 32), cu_q, cu_k, 9, 12, causal=True, **r),
             lambda **r: flash_attn_with_kvcache(q, k_pages, v_pages, cache_seqlens=[11, 12], block_table=table, causal=True, **r)]
    for call in calls:
        compiled, reference = call(reference=False), call(reference=True)
        assert (compiled != reference).any()  # in the last bits
        close(compiled, reference, 1e-5)
        monkeypatch.setenv("FLASH_ATTENTION_MLX_REF", "1")
        assert (call() == reference).all() and (call(reference=False) == compiled).all()
        monkeypatch.setenv("FLASH_ATTENTION_MLX_REF", "0")
        assert (call() == compiled).all()
        monkeypatch.delenv("FLASH_ATTENTION_MLX_REF")


@pytest.mark.covers("C11")
def test_dropout_is_the_same_in_every_call():
    q, k, v = tensors(q_len=64, kv_len=64)
    out, _, probs = flash_attn_func(q, k, v, dropout_p=0.1, return_attn_probs=True)
    assert (flash_attn_func(q, k, v, dropout_p=0.1) == out).all()
    stays = kept(0.1, 2, 4, 64, 64, (0x1BF58, 0x1D4B49))
    assert (np.signbit(probs) == ~stays).all() and (~stays[0, 0]).sum() == 451
    close(out, flash(q, k, v, drop=(0.1, stays))[0], 1e-5)
    rows = [x.reshape(128, *x.shape[2:]) for x in (q, k, v)]
    one = flash_attn_varlen_func(*(x[:64] for x in rows), [0, 64], [0, 64], 64, 64, dropout_p=0.1)
    assert (one == out[0]).all()


def test_probabilities_are_real_ones():
    q, k, v = tensors()
    out, lse, probs = flash_attn_func(q, k, v, causal=True, return_attn_probs=True)
    assert probs.shape == (2, 4, 33, 50) and lse.shape == (2, 4, 33)
    close((probs @ np.repeat(v, 2, 2).swapaxes(1, 2)).swapaxes(1, 2), out, 1e-5)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("window_size", [(-1, -1), (8, -1), (4, 4), (-1, 8), (3, -1), (2, 1)])
def test_windows(window_size, causal):
    q, k, v = tensors(q_len=20, kv_len=20)
    close(flash_attn_func(q, k, v, causal=causal, window_size=window_size), flash(q, k, v, None, causal, window_size)[0], 1e-5)
    close(flash_attn_with_kvcache(q, k, v, causal=causal, window_size=window_size), flash(q, k, v, None, causal, window_size)[0], 1e-5)
    with pytest.raises(ValueError, match="-2"):
        flash_attn_func(q, k, v, window_size=(-2, 4))


@pytest.mark.covers("P04")
def test_arguments_are_those_of_flash_attention():
    for name in flash_attn.__all__[1:]:
        assert inspect.signature(getattr(flash_attn_mlx, name)) == inspect.signature(getattr(flash_attn, name))
    assert "reference" in flash_attn_func.__doc__


def test_requirements_are_printed(capsys):
    assert flash_attn_mlx.check_mlx_requirements()
    assert "compiled attention: works" in capsys.readouterr().out
