"""The patterns of `flexjit bench` as FlexAttention's score_mod and mask_mod, by the same names.

A pattern is (score_mod or None, mask_mod or None, additive): additive says that score_mod adds a bias that does not depend on the
score, so that engines which take a bias tensor can do it.
"""
import math

import torch


def causal_mask(b, h, q, k):
    return q >= k


def sliding_window(t):
    return None, lambda b, h, q, k: (q >= k) & (q - k <= 256), True


def document(t):
    q_doc, kv_doc = t["q_doc"], t["kv_doc"]
    return None, lambda b, h, q, k: q_doc[q] == kv_doc[k], True


def document_causal(t):
    q_doc, kv_doc = t["q_doc"], t["kv_doc"]
    return None, lambda b, h, q, k: (q_doc[q] == kv_doc[k]) & (q >= k), True


def alibi_score(t):
    slope = t["slope"]
    return lambda score, b, h, q, k: score + slope[h] * (k - q)


def relative_bias(t):
    bias, last = t["bias"], t["kv_len"] - 1
    return lambda score, b, h, q, k: score + bias[h, q - k + last], None, True


def t5_buckets(t):
    bias, half, exact, max_distance = t["bias"], 16, 8, 128

    def score_mod(score, b, h, q, k):
        d = k - q
        n = torch.abs(d)
        ratio = torch.log(torch.clamp(n, min=1).to(torch.float32) / exact) / math.log(max_distance / exact)
        far = torch.clamp(exact + (ratio * (half - exact)).to(torch.int32), max=half - 1)
        bucket = torch.where(d > 0, half, 0) + torch.where(n < exact, n, far)
        return score + bias[bucket, h]

    return score_mod, None, True


def softcap_score(t):
    return lambda score, b, h, q, k: 30.0 * torch.tanh(score / 30.0)


def full_bias(t):
    bias = t["bias"]
    return lambda score, b, h, q, k: score + bias[b, h, q, k], None, True


PATTERNS = {
    "full": lambda t: (None, None, True),
    "causal": lambda t: (None, causal_mask, True),
    "sliding_window": sliding_window,
    "document": document,
    "document_causal": document_causal,
    "alibi": lambda t: (alibi_score(t), causal_mask, True),
    "alibi_dense": lambda t: (alibi_score(t), None, True),
    "relative_bias": relative_bias,
    "t5_buckets": t5_buckets,
    "softcap": lambda t: (softcap_score(t), causal_mask, False),
    "softcap_dense": lambda t: (softcap_score(t), None, False),
    "full_bias": full_bias,
}


def dense_bias(pattern, tensors, heads, q_len, kv_len):
    """What SDPA and OpenVINO take as attn_mask: None, a boolean (q_len, kv_len) or an fp32 (heads, q_len, kv_len)."""
    score_mod, mask_mod, additive = PATTERNS[pattern](tensors)
    if not additive:
        raise NotImplementedError("the pattern is no additive bias")
    if heads * q_len * kv_len > 1 << 28:
        raise NotImplementedError("a dense mask of this size is not what anyone would use")
    q = torch.arange(q_len)[:, None]
    k = torch.arange(kv_len)[None, :]
    mask = None if mask_mod is None else mask_mod(0, 0, q, k)
    if score_mod is None:
        return mask
    h = torch.arange(heads)[:, None, None]
    bias = score_mod(torch.zeros(()), torch.zeros((), dtype=torch.long), h, q, k).to(torch.float32)
    bias = bias.expand(heads, q_len, kv_len).contiguous()
    return bias if mask is None else bias.masked_fill(~mask, -math.inf)
