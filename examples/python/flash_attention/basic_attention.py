"""Full attention, causal attention, and attention with a scale of one's own, by FlashAttention's name."""
import numpy as np

from flexjit.compat.flash_attn import flash_attn_func


def main():
    random = np.random.default_rng(0)
    q, k, v = (random.standard_normal((2, 1024, 8, 64)).astype(np.float16) for _ in range(3))  # (batch, seqlen, heads, dim)

    full = flash_attn_func(q, k, v)
    causal = flash_attn_func(q, k, v, causal=True)
    scaled = flash_attn_func(q, k, v, softmax_scale=0.1)
    for name, out in (("full", full), ("causal", causal), ("softmax_scale=0.1", scaled)):
        print(f"{name:<18} {out.shape} {out.dtype}")

    # The first query sees the first key alone; the last one sees all of them.
    assert (causal[:, 0] == v[:, 0]).all()
    assert np.allclose(causal[:, -1], full[:, -1], atol=2e-3)
    print(f"a scale of 0.1 in the place of {64 ** -0.5} changes the output by {np.abs(scaled - full).max():.3f} at most")


if __name__ == "__main__":
    main()
