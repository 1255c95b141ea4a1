"""Query heads that share heads of keys and values: one for all of them, one for four, one for each."""
import numpy as np

from flexjit.compat.flash_attn import flash_attn_func

HEADS = 8


def main():
    random = np.random.default_rng(1)
    q = random.standard_normal((2, 512, HEADS, 64)).astype(np.float32)
    for kv_heads, name in ((1, "multi-query"), (2, "grouped-query"), (8, "multi-head")):
        k, v = (random.standard_normal((2, 512, kv_heads, 64)).astype(np.float32) for _ in range(2))
        out = flash_attn_func(q, k, v, causal=True)
        print(f"{name:<14} {HEADS} heads of queries, {kv_heads} of keys, ratio {HEADS // kv_heads}: {out.shape}")

        # What it means: query head h reads key head h // ratio.
        repeated = flash_attn_func(q, np.repeat(k, HEADS // kv_heads, 2), np.repeat(v, HEADS // kv_heads, 2), causal=True)
        assert (out == repeated).all()
    print("each has the bits of attention over repeated heads")


if __name__ == "__main__":
    main()
