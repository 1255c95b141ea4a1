"""Queries, keys and values side by side in one array, as one projection makes them: they are read where they lie."""
import numpy as np

from flexjit.compat.flash_attn import flash_attn_func, flash_attn_kvpacked_func, flash_attn_qkvpacked_func


def main():
    random = np.random.default_rng(4)
    qkv = random.standard_normal((2, 512, 3, 8, 64)).astype(np.float16)  # (batch, seqlen, which, heads, dim)
    out = flash_attn_qkvpacked_func(qkv, causal=True)
    print(f"self-attention:  qkv {qkv.shape} -> {out.shape}")
    assert (out == flash_attn_func(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2], causal=True)).all()

    q = random.standard_normal((2, 128, 8, 64)).astype(np.float16)
    kv = random.standard_normal((2, 512, 2, 8, 64)).astype(np.float16)
    out = flash_attn_kvpacked_func(q, kv)
    print(f"cross-attention: q {q.shape}, kv {kv.shape} -> {out.shape}")
    assert (out == flash_attn_func(q, kv[:, :, 0], kv[:, :, 1])).all()


if __name__ == "__main__":
    main()
