"""A prompt and tokens after it, with keys and values in a cache that calls append to in place."""
import numpy as np

from flexjit.compat.flash_attn import flash_attn_func, flash_attn_with_kvcache

DIM = 64


def normal(random, *shape):
    return random.standard_normal(shape).astype(np.float32)


def prompt_and_tokens():
    random = np.random.default_rng(42)
    heads, room, prompt, steps = 8, 128, 8, 10
    k_cache, v_cache = np.zeros((1, room, heads, DIM), np.float32), np.zeros((1, room, heads, DIM), np.float32)
    q, k, v = (normal(random, 1, prompt + steps, heads, DIM) for _ in range(3))
    at_once = flash_attn_func(q, k, v, causal=True)  # what each token must get

    used = 0
    for begin, end in [(0, prompt), *[(n, n + 1) for n in range(prompt, prompt + steps)]]:
        out = flash_attn_with_kvcache(q[:, begin:end], k_cache, v_cache, k[:, begin:end], v[:, begin:end], cache_seqlens=used, causal=True)
        used = end
        assert np.allclose(out, at_once[:, begin:end], atol=1e-5)
        if begin == 0 or end in (prompt + 1, prompt + steps):
            print(f"{'prompt' if begin == 0 else 'token '}: output {out.shape}, {used} rows of the cache in use")
    assert (k_cache[:, :used] == k).all() and not k_cache[:, used:].any()
    print(f"cache in use: {used}/{room} ({100 * used / room:.1f}%)")


def fewer_key_heads():
    random = np.random.default_rng(456)
    heads, kv_heads, room = 8, 2, 64
    k_cache, v_cache = np.zeros((1, room, kv_heads, DIM), np.float32), np.zeros((1, room, kv_heads, DIM), np.float32)
    q, k, v = normal(random, 1, 4, heads, DIM), normal(random, 1, 4, kv_heads, DIM), normal(random, 1, 4, kv_heads, DIM)
    out = flash_attn_with_kvcache(q, k_cache, v_cache, k, v, cache_seqlens=0, causal=True)
    of_all_heads = k_cache.nbytes // kv_heads * heads
    print(f"{heads} heads of queries, {kv_heads} of keys: output {out.shape}, the cache saves {100 * (1 - k_cache.nbytes / of_all_heads):.0f}% of its memory")


def cache_that_is_read_only():
    random = np.random.default_rng(123)
    q, k_cache, v_cache = normal(random, 1, 1, 4, DIM), normal(random, 1, 16, 4, DIM), normal(random, 1, 16, 4, DIM)
    before = k_cache.copy()
    out = flash_attn_with_kvcache(q, k_cache, v_cache, cache_seqlens=16)
    assert (out == flash_attn_with_kvcache(q, k_cache, v_cache)).all() and (k_cache == before).all()
    assert np.allclose(out, flash_attn_func(q, k_cache, v_cache), atol=1e-6)
    print(f"a cache of {k_cache.shape[1]} keys without new ones: output {out.shape}")


if __name__ == "__main__":
    prompt_and_tokens()
    fewer_key_heads()
    cache_that_is_read_only()
