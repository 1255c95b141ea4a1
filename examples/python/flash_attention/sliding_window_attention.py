"""Windows of keys around each query: how many keys are seen, and how much time that saves."""
import time

import numpy as np

from flexjit.compat.flash_attn import flash_attn_func

LENGTH = 2048


def keys_seen(window_size, causal):
    """How many keys each query has, from the definition."""
    distance = np.subtract.outer(np.arange(LENGTH), np.arange(LENGTH))  # to keys before the query
    left, right = (LENGTH if side < 0 else side for side in window_size)
    return ((distance <= left) & (-distance <= (0 if causal else right))).sum(1)


def main():
    random = np.random.default_rng(2)
    q, k, v = (random.standard_normal((1, LENGTH, 8, 64)).astype(np.float32) for _ in range(3))
    for window_size, causal in (((-1, -1), False), ((128, 128), False), ((128, 0), True)):
        out = flash_attn_func(q, k, v, causal=causal, window_size=window_size)
        begin = time.perf_counter()
        flash_attn_func(q, k, v, causal=causal, window_size=window_size)
        seen = keys_seen(window_size, causal)
        print(f"window_size={window_size!s:<10} causal={causal!s:<5} {out.shape}: up to {seen.max()} keys a query, {seen.sum()} pairs, "
              f"{1e3 * (time.perf_counter() - begin):.1f} ms")


if __name__ == "__main__":
    main()
