"""Attention by its definition in numpy's float64: what the package's results are compared with."""
import numpy as np


def attention(q, k, v, score=None, allowed=None, scale=None):
    """(out, lse). score(s, b, h, i, j) and allowed(b, h, i, j) take arrays that broadcast to (batch, heads, q_len, kv_len)."""
    q, k, v = (np.asarray(x, np.float64) for x in (q, k, v))
    repeat = q.shape[1] // k.shape[1]
    k, v = np.repeat(k, repeat, 1), np.repeat(v, repeat, 1)
    s = np.einsum("bhqd,bhkd->bhqk", q, k) * (scale if scale is not None else q.shape[-1] ** -0.5)
    at = np.ogrid[: s.shape[0], : s.shape[1], : s.shape[2], : s.shape[3]]
    if score is not None:
        s = score(s, *at)
    if allowed is not None:
        s = np.where(allowed(*at), s, -np.inf)
    top = s.max(-1, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    e = np.exp(s - top)
    total = e.sum(-1, keepdims=True)
    with np.errstate(divide="ignore"):
        return np.where(total > 0, e, 0) / np.where(total > 0, total, 1) @ v, (np.log(total) + top)[..., 0]


def close(a, b, tolerance=2e-5):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    with np.errstate(invalid="ignore"):  # of equal infinities
        same = (a == b) | (np.abs(a - b) <= tolerance * (1 + np.abs(b)))
    assert same.all(), f"largest difference {np.nanmax(np.abs(a - b))} at {np.argwhere(~same)[0]}"


def inputs(batch=2, heads=4, kv_heads=None, q_len=70, kv_len=70, dim=16, v_dim=None, seed=0, dtype=np.float32):
    random = np.random.default_rng(seed)
    shapes = (heads, q_len, dim), (kv_heads or heads, kv_len, dim), (kv_heads or heads, kv_len, v_dim or dim)
    return [random.standard_normal((batch, *shape)).astype(dtype) for shape in shapes]
