"""Philox4x32 in numpy, from its definition, and which weights dropout drops by it."""
import numpy as np

MULTIPLIERS, WEYL = (0xD2511F53, 0xCD9E8D57), (0x9E3779B9, 0xBB67AE85)
LOW = np.uint64(0xFFFFFFFF)


def philox(counter, key, rounds):
    """Word 0 to 3 of each counter, four arrays that broadcast; key: two numbers."""
    c = [np.asarray(word, np.uint64) for word in counter]
    k = [int(word) & 0xFFFFFFFF for word in key]
    for _ in range(rounds):
        low, high = [], []
        for n in (0, 1):
            product = c[2 * n] * np.uint64(MULTIPLIERS[n])
            low.append(product & LOW)
            high.append(product >> np.uint64(32))
        c = [high[1] ^ c[1] ^ np.uint64(k[0]), low[1], high[0] ^ c[3] ^ np.uint64(k[1]), low[0]]
        k = [(word + step) & 0xFFFFFFFF for word, step in zip(k, WEYL)]
    return c


def kept(p, batch, heads, q_len, kv_len, rng_state):
    """bool (batch, heads, q_len, kv_len): which weights stay."""
    b, h, q, kv = np.ogrid[:batch, :heads, :q_len, :kv_len]
    word = philox((q, kv, b, h), rng_state, 7)[0]
    return word.astype(np.float32) * np.float32(2.0 ** -32) >= np.float32(p)
