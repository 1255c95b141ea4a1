"""flexjit.compat.flex_mlx on numpy arrays: FlexAttention for MLX's module, block masks and function against the definition."""
import itertools

import numpy as np
import pytest
from oracle import attention, close, inputs
from philox import kept

import flexjit
from flexjit.compat.flex_mlx import BlockMask, FlexAttention, create_block_mask, flex_attention


def relative_position_bias(score, batch_idx, head_idx, query_idx, key_idx):
    distance = query_idx - key_idx
    bias = 0.1 * np.exp(-abs(distance) / 16)
    return score + bias


def sliding_causal_mask(batch_idx, head_idx, query_idx, key_idx):
    is_causal = query_idx >= key_idx
    is_in_window = query_idx - key_idx <= 256
    return is_causal and is_in_window


def biased(s, b, h, i, j):
    return s + 0.1 * np.exp(-np.abs(i - j) / 16)


def window(b, h, i, j):
    return (i >= j) & (i - j <= 256)


def causal(b, h, i, j):
    return i >= j


def projected(module, x, score=None, allowed=None):
    """What the module is, in float64."""
    x = np.asarray(x, np.float64)
    project = lambda p, y: y @ p.weight.astype(np.float64).T + (0 if p.bias is None else p.bias.astype(np.float64))  # noqa: E731
    heads = lambda y, n: y.reshape(*x.shape[:2], n, module.head_dim).swapaxes(1, 2)  # noqa: E731
    q, k, v = heads(project(module.q_proj, x), module.num_heads), *(heads(project(p, x), module.num_kv_heads) for p in (module.k_proj, module.v_proj))
    out = attention(q, k, v, score, allowed)[0].swapaxes(1, 2)
    return project(module.o_proj, out.reshape(*x.shape[:2], -1))


def input_tensor(batch=1, length=1024, hidden=768):
    return np.random.default_rng(0).standard_normal((batch, length, hidden)).astype(np.float32)


@pytest.mark.covers("F10")
def test_module():
    attn = FlexAttention(hidden_size=768, num_heads=12, num_kv_heads=4, head_dim=64, dropout=0.1, use_bias=False)
    assert [getattr(attn, name).weight.shape for name in ("q_proj", "k_proj", "v_proj", "o_proj")] == [(768, 768), (256, 768), (256, 768), (768, 768)]
    assert attn.q_proj.bias is None and attn.scale == 64 ** -0.5
    x = input_tensor(length=200)
    np.random.seed(3)
    dropped = attn(x)
    assert dropped.shape == (1, 200, 768) and (attn(x) != dropped).any()
    np.random.seed(3)
    assert (attn(x) == dropped).all()
    close(attn.eval()(x), projected(attn, x), 1e-5)
    biases = FlexAttention(128, 4, use_bias=True)
    assert [getattr(biases, name).bias.shape for name in ("q_proj", "k_proj", "v_proj", "o_proj")] == [(128,)] * 4
    assert (biases.num_kv_heads, biases.head_dim, biases.block_size) == (4, 32, 128)
    y = input_tensor(2, 16, 128)
    close(biases(y), projected(biases, y), 1e-5)


@pytest.mark.covers("F01", "F02")
@pytest.mark.parametrize("batch, heads, length, dim", [(2, 4, 16, 32), (1, 12, 1024, 64)])
def test_relative_position_bias(batch, heads, length, dim):
    q, k, v = inputs(batch, heads, heads, length, length, dim)
    out = flex_attention(q, k, v, score_mod=relative_position_bias, layout="bhsd")
    close(out, attention(q, k, v, biased)[0], 1e-5)
    assert np.abs(out - flex_attention(q, k, v, layout="bhsd")).sum() > 0.01


def test_mods_of_the_module():
    attn = FlexAttention(hidden_size=768, num_heads=12, num_kv_heads=4, head_dim=64)
    x = input_tensor(length=512)
    close(attn(x, score_mod_fn=relative_position_bias), projected(attn, x, biased), 1e-5)
    close(attn(x, mask_mod_fn=sliding_causal_mask), projected(attn, x, None, window), 1e-5)
    block_mask = create_block_mask(sliding_causal_mask, batch_size=1, num_heads=12, q_len=512, kv_len=512, block_size=128)
    close(attn(x, block_mask=block_mask), projected(attn, x, None, window), 1e-5)


@pytest.mark.covers("F13", "F27", "F28")
@pytest.mark.parametrize("shape", [(2, 16, 128, 4, 4), (2, 8, 64, 2, 2), (2, 16, 128, 4, 2)])
@pytest.mark.parametrize("with_score, with_mask, with_block_mask", list(itertools.product([False, True], repeat=3)))
def test_mods_in_every_combination(shape, with_score, with_mask, with_block_mask):
    batch, length, hidden, heads, kv_heads = shape
    attn = FlexAttention(hidden, heads, kv_heads)
    x = input_tensor(batch, length, hidden)
    block_mask = create_block_mask(causal, 1, 1, length, length, 4) if with_block_mask else None
    masks = ([lambda b, h, i, j: (i + j) % 3 != 0] if with_mask else []) + ([causal] if with_block_mask else [])
    allowed = lambda b, h, i, j: np.all([mask(b, h, i, j) for mask in masks], 0) if masks else b == b  # noqa: E731
    out = attn(x, relative_position_bias if with_score else None, masks[0] if with_mask else None, block_mask)
    close(out, projected(attn, x, biased if with_score else None, allowed), 1e-5)
    added = np.where(np.tri(length, dtype=bool), 0.5, -np.inf).astype(np.float32)[None, None]
    below = lambda b, h, i, j: (i >= j) & allowed(b, h, i, j)  # noqa: E731
    for mask in (added, added[0, 0], np.tri(length, dtype=bool)):
        out = attn(x, relative_position_bias if with_score else None, masks[0] if with_mask else None, block_mask, mask)
        close(out, projected(attn, x, biased if with_score else None, below), 1e-5)


@pytest.mark.covers("C9")
def test_without_a_mask_all_is_seen():
    x = input_tensor(1, 16, 64)
    attn = FlexAttention(64, 2)
    close(attn(x), projected(attn, x), 1e-5)
    attn.default_mask = causal
    close(attn(x), projected(attn, x, None, causal), 1e-5)
    close(attn(x, mask_mod_fn=lambda b, h, i, j: i <= j), projected(attn, x, None, lambda b, h, i, j: i <= j), 1e-5)


@pytest.mark.covers("F08", "F14", "F15", "C10")
def test_block_masks_are_exact():
    mask = create_block_mask(sliding_causal_mask, batch_size=1, num_heads=12, q_len=1024, kv_len=1024, block_size=128)
    assert mask.shape == (1, 12, 8, 8)
    at = np.arange(1024)
    dense = window(0, 0, at[:, None], at)
    assert dense.sum() == 230272
    blocks = dense.reshape(8, 128, 8, 128)
    assert (np.asarray(mask) == blocks.any((1, 3))).all() and np.asarray(mask)[0, 0].sum() == 21
    assert mask.core.counts == (43, 14, 7) and blocks.all((1, 3)).sum() == 7
    small = create_block_mask(causal, 2, 4, 16, 16, block_size=4)
    assert small.shape == (2, 4, 4, 4)
    for q, k in itertools.product(range(4), repeat=2):
        assert small[1, 3, q, k] == (q >= k)
    assert create_block_mask(causal, 1, 1, 1000, 900, 128).shape == (1, 1, 8, 8)
    near = create_block_mask(lambda b, h, q, k: q >= k and q - k <= 8, 1, 1, 1024, 1024, 128)
    assert np.asarray(near).sum() == 15
    for size in (1, 7, 16, (4, 2)):
        rows, columns = size if isinstance(size, tuple) else (size, size)
        found = np.asarray(create_block_mask(causal, 1, 1, 16, 16, size))[0, 0]
        for r, c in np.ndindex(*found.shape):
            assert found[r, c] == (min(16, (r + 1) * rows) > c * columns)


def test_a_block_mask_is_computed_once():
    calls = 0

    def counted(b, h, i, j):
        nonlocal calls
        calls += 1
        return sliding_causal_mask(b, h, i, j)

    q, k, v = inputs(2, 4, 2, 1024, 1024, 16)
    mask = create_block_mask(counted, batch_size=1, num_heads=1, q_len=1024, kv_len=1024)
    ways = calls
    for n in range(3):
        q = q + np.float32(n)
        out = flex_attention(q, k, v, block_mask=mask, layout="bhsd")
        close(out, flex_attention(q, k, v, mask_mod=sliding_causal_mask, layout="bhsd"), 1e-6)
    assert calls == ways
    close(out, attention(q, k, v, None, window)[0], 1e-5)
    with pytest.raises(ValueError) as raised:
        flex_attention(q[:, :, :512], k, v, block_mask=mask, layout="bhsd")
    assert "512" in str(raised.value) and "1024" in str(raised.value)


@pytest.mark.covers("F17", "F18")
def test_function_in_both_layouts():
    query_tensor, key_tensor, value_tensor = inputs(1, 12, 12, 300, 300, 64)
    out = flex_attention(q=query_tensor, k=key_tensor, v=value_tensor, score_mod=relative_position_bias, mask_mod=sliding_causal_mask, block_size=128)
    assert out.shape == query_tensor.shape
    close(out, attention(query_tensor, key_tensor, value_tensor, biased, window)[0], 1e-5)
    turned = [x.swapaxes(1, 2) for x in (query_tensor, key_tensor, value_tensor)]
    for given in (turned, [np.ascontiguousarray(x) for x in turned]):
        by_length = flex_attention(*given, score_mod=relative_position_bias, mask_mod=sliding_causal_mask, block_size=64)
        assert (by_length.swapaxes(1, 2) == out).all()
    dropped = flex_attention(q=query_tensor, k=key_tensor, v=value_tensor, score_mod=relative_position_bias, mask_mod=sliding_causal_mask, dropout=0.1,
                             block_size=128)
    assert dropped.shape == out.shape and (dropped != out).any()
    _, lse = flex_attention(query_tensor, key_tensor, value_tensor, scale=0.2, return_lse=True)
    close(lse, attention(query_tensor, key_tensor, value_tensor, scale=0.2)[1], 1e-5)


@pytest.mark.covers("F17")
def test_fewer_tokens_than_heads():
    q, k, v = inputs(2, 8, 8, 4, 4, 16)
    expected = attention(q, k, v, None, causal)[0]
    close(flex_attention(q, k, v, mask_mod=causal, layout="bhsd"), expected, 1e-5)
    close(flex_attention(*(x.swapaxes(1, 2) for x in (q, k, v)), mask_mod=causal, layout="bshd").swapaxes(1, 2), expected, 1e-5)
    q, k, v = inputs(2, 8, 2, 4, 6, 16)  # what heads allow decides
    close(flex_attention(q, k, v), attention(q, k, v)[0], 1e-5)
    q, k, v = inputs(2, 6, 6, 4, 4, 16)  # and a block mask's lengths
    mask = create_block_mask(causal, 1, 1, 4, 4, 2)
    close(flex_attention(q, k, v, block_mask=mask), attention(q, k, v, None, causal)[0], 1e-5)
    with pytest.raises(ValueError, match="layout"):
        flex_attention(q, k, v, layout="sbhd")


@pytest.mark.covers("F19")
def test_what_mods_may_do():
    q, k, v = inputs(2, 4, 2, 40, 40, 16)
    slope, lengths = np.array([0.5, 0.25, 0.125, 0.0625], np.float32), np.array([7, 0], np.int32)
    run = lambda **mods: flex_attention(q, k, v, layout="bhsd", **mods)  # noqa: E731
    check = lambda out, score=None, allowed=None: close(out, attention(q, k, v, score, allowed)[0], 1e-5)  # noqa: E731
    check(run(score_mod=lambda s, b, h, i, j: s - slope[h] * abs(i - j)), lambda s, b, h, i, j: s - slope[h] * np.abs(i - j))
    check(run(mask_mod=lambda b, h, i, j: j < lengths[b] or i >= j), None, lambda b, h, i, j: (j < lengths[b]) | (i >= j))
    check(run(mask_mod=lambda b, h, i, j: h % 2 == b or not i < j), None, lambda b, h, i, j: (h % 2 == b) | (i >= j))
    finite = run(score_mod=lambda s, b, h, i, j: s + np.log(i - j + 1.0), mask_mod=causal)
    check(finite, lambda s, b, h, i, j: s + np.log(np.maximum(i - j + 1.0, 1.0)), causal)

    def stepped(score, b, h, i, j):
        if i - j > 8:
            return score - 1.0
        elif i < j:
            return score * 0.5 if h > 1 else score
        return score + min(i - j, 3)

    check(run(score_mod=stepped), lambda s, b, h, i, j: np.where(i - j > 8, s - 1, np.where(i < j, np.where(h > 1, s * 0.5, s), s + np.minimum(i - j, 3))))
    check(run(mask_mod=lambda b, h, i, j: 0 <= i - j < 8), None, lambda b, h, i, j: (i >= j) & (i - j < 8))
    check(run(score_mod="score * 0.5", mask_mod="q_idx >= kv_idx"), lambda s, b, h, i, j: s / 2, causal)


def test_too_many_ways_are_refused():
    def many(b, h, i, j):
        return sum(1 for n in range(9) if i > n and j < n) > 3

    q, k, v = inputs(1, 2, 2, 9, 9, 8)
    with pytest.raises(flexjit.TraceError, match="more than 64 ways"):
        flex_attention(q, k, v, mask_mod=many)
    with pytest.raises(flexjit.TraceError, match="condition on a value"):
        flexjit.attention(q, k, v, mask_mod=lambda b, h, i, j: i > j and i < 5)


@pytest.mark.covers("F26")
def test_what_does_not_fit_is_named():
    q, k, v = inputs(1, 4, 4, 8, 8, 8)
    mask = create_block_mask(causal, 1, 1, 8, 8, 4)
    for keywords, error, message in [({"score_mod": 5}, TypeError, "score_mod must be callable"), ({"mask_mod": 5}, TypeError, "mask_mod must be callable"),
                                     ({"block_mask": np.ones((1, 1, 2, 2))}, TypeError, "create_block_mask"), ({"block_size": 0}, ValueError, "block_size"),
                                     ({"block_size": 1.5}, TypeError, "block_size"), ({"score_mod": "score + unknown"}, ValueError, "unknown"),
                                     ({"dropout": 1.5}, ValueError, "dropout"), ({"mask": np.ones((1, 1, 8, 7), bool)}, ValueError, "attention_mask"),
                                     ({"mask_mod": "true", "block_mask": mask}, TypeError, "text")]:
        with pytest.raises(error, match=message):
            flex_attention(q, k, v, **keywords)
    with pytest.raises(ValueError, match="q has 3 dimensions"):
        flex_attention(q[0], k, v)
    with pytest.raises(ValueError, match="12.*5"):
        FlexAttention(768, 12, 5)
    with pytest.raises(ValueError, match="768"):
        FlexAttention(768, 12)(input_tensor(1, 8, 64))
    with pytest.raises(TypeError, match="mask_fn"):
        create_block_mask(None, 1, 1, 8, 8)
    for wrong in (0, (), (4, 4, 4)):
        with pytest.raises(ValueError, match="block"):
            create_block_mask(causal, 1, 1, 8, 8, wrong)
    assert isinstance(mask, BlockMask) and "sparsity=25.00%" in repr(mask)


@pytest.mark.covers("F12")
def test_dropout():
    q, k, v = inputs(1, 4, 2, 64, 64, 16)
    plain = flex_attention(q, k, v, layout="bhsd")
    assert (flex_attention(q, k, v, dropout=0.0, layout="bhsd") == plain).all()
    out, lse = flex_attention(q, k, v, dropout=0.25, layout="bhsd", rng_state=(3, 4), return_lse=True)
    eye = np.broadcast_to(np.eye(64), (1, 2, 64, 64))
    weights = np.where(kept(0.25, 1, 4, 64, 64, (3, 4)), attention(q, k, eye)[0], 0) / 0.75
    close(out, weights @ np.repeat(v.astype(float), 2, 1), 1e-5)
    close(lse, attention(q, k, v)[1], 1e-5)
