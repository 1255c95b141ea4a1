"""FlashAttention's calls by their definition in numpy's float64."""
import numpy as np
from oracle import attention


def heads_first(x):
    return np.asarray(x, np.float64).swapaxes(1, 2)


def mask_of(q_len, kv_len, causal=False, window_size=(-1, -1)):
    """What FlashAttention's flags allow, (q_len, kv_len); windows that leave one side open end there at a distance of kv_len."""
    left, right = (-1 if side >= kv_len else side for side in window_size)
    if causal and q_len > 1:
        right = 0
    at = np.arange(q_len)[:, None] + kv_len - q_len - np.arange(kv_len)
    if left < 0 and right < 0:
        return np.ones((q_len, kv_len), bool)
    if left < 0 and right == 0:
        return at >= 0
    return (at <= (kv_len if left < 0 else left)) & (-at <= (kv_len if right < 0 else right))


def flash(q, k, v, scale=None, causal=False, window_size=(-1, -1), softcap=0.0, slopes=None, drop=None, allowed=True):
    """(out, lse) of (batch, seqlen, heads, dim) arrays; drop: (p, which weights stay)."""
    q_len, kv_len = q.shape[1], k.shape[1]
    at = np.arange(q_len)[:, None] + kv_len - q_len - np.arange(kv_len)

    def score(s, b, h, i, j):
        if softcap > 0:
            s = softcap * np.tanh(s / softcap)
        if slopes is not None:
            s = s - np.broadcast_to(np.asarray(slopes, np.float64), (q.shape[0], q.shape[2]))[:, :, None, None] * np.abs(at)
        return s

    mask = mask_of(q_len, kv_len, causal and (q_len > 1 or slopes is not None), window_size) & allowed
    args = heads_first(q), heads_first(k), heads_first(v)
    out, lse = attention(*args, score, lambda b, h, i, j: mask, scale)
    if drop is not None:
        p, stays = drop
        eye = np.broadcast_to(np.eye(kv_len), (*k.shape[:1], k.shape[2], kv_len, kv_len))
        weights, _ = attention(args[0], args[1], eye, score, lambda b, h, i, j: mask, scale)
        out = np.where(stays, weights, 0) / (1 - p) @ np.repeat(args[2], q.shape[2] // k.shape[2], 1)
    return out.swapaxes(1, 2), lse


def tensors(batch=2, q_len=33, kv_len=50, heads=4, kv_heads=2, dim=32, v_dim=None, dtype=np.float32, seed=0):
    random = np.random.default_rng(seed)
    shapes = (batch, q_len, heads, dim), (batch, kv_len, kv_heads, dim), (batch, kv_len, kv_heads, v_dim or dim)
    return [random.standard_normal(shape).astype(dtype) for shape in shapes]
