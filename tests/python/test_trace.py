"""Python functions as texts: what is traced, when again, and what is said where it cannot be. numpy alone."""
import functools
import gc
import math

import numpy as np
import pytest
from oracle import attention, close, inputs

import flexjit


def run(score=None, mask=None, expected_score=None, expected_mask=None, **sizes):
    q, k, v = inputs(**sizes)
    close(flexjit.attention(q, k, v, score, mask), attention(q, k, v, expected_score or score, expected_mask or mask)[0])


def test_texts():
    assert flexjit.text_of(lambda b, h, q, k: q >= k) == "mask = (q_idx >= kv_idx)\n"
    slope = np.ones(4, np.float32)
    assert flexjit.text_of(lambda s, b, h, q, k: s * slope[h]) == "buffer s0 : f32[?]\nscore = (score * s0[h])\n"
    assert flexjit.text_of(lambda s, b, h, q, k: (q - k) * (q - k) + s) == "let x0 = (q_idx - kv_idx)\nscore = (float((x0 * x0)) + score)\n"


WORDS = [
    lambda b, h, q, k: (q >= k) & (q - k < 9) | (k < 2),
    lambda b, h, q, k: ~((q // 8 == k // 8) ^ (h % 2 == 0)),
    lambda b, h, q, k: (q >> 2) + (k << 1) > 3 * (k & 7) - 2,
    lambda b, h, q, k: np.abs(q - k) <= np.where(h < 2, 5, 11),
    lambda b, h, q, k: np.logical_or(np.equal(q % 7, k % 7), np.logical_not(q > k)),
    lambda b, h, q, k: -q + 20 <= -k + 30,
    lambda b, h, q, k: (q + 1) / (k + 1) > 0.8,
    lambda b, h, q, k: np.isin(k, [0, 1, 5]) | (abs(q - k) < 3),
    lambda b, h, q, k: np.minimum(q, k) > np.clip(k - 5, 0, 40) - 8,
]


@pytest.mark.parametrize("number", range(len(WORDS)))
def test_masks(number):
    run(None, WORDS[number])


SCORES = [
    lambda s, b, h, q, k: s + 0.1 * np.exp(-np.abs(q - k) / 16.0),
    lambda s, b, h, q, k: 5 * np.tanh(s / 5),
    lambda s, b, h, q, k: s - np.log1p(abs(q - k)),
    lambda s, b, h, q, k: np.where(q >= k, s, -np.inf) if h is not None else s,
    lambda s, b, h, q, k: s * s - s ** 3 * 0.01,
    lambda s, b, h, q, k: s * np.float32(0.5) + np.sqrt(k + 1.0) * 0.01 + math.pi,
    lambda s, b, h, q, k: s + np.exp2(-(h + 1) * 8.0 / 4) * (k - q),
    lambda s, b, h, q, k: s + ((q ^ k) & 255) * 0.001,
    lambda s, b, h, q, k: s + np.floor((q - k) / 3) * 0.01 + np.sin(q * 0.1) * np.cos(k * 0.1),
    lambda s, b, h, q, k: s + (q > k) * 0.5 + np.maximum(s, 0.0) * (k % 3 == 1),
]


@pytest.mark.parametrize("number", range(len(SCORES)))
def test_scores(number):
    run(SCORES[number])


def test_captured_arrays():
    random = np.random.default_rng(3)
    doc = np.sort(random.integers(0, 6, 70))
    table, full = random.standard_normal((4, 139)).astype("f4"), random.standard_normal((2, 4, 70, 70)).astype("f4")
    rank = np.array([2, 0, 1, 3, 5, 4], np.int32)
    one = np.float32(0.25)
    run(None, lambda b, h, q, k: doc[q] == doc[k])
    run(lambda s, b, h, q, k: s + table[h, q - k + 69])
    run(lambda s, b, h, q, k: s + table[h][q - k], expected_score=lambda s, b, h, q, k: s + table[h, q - k])  # from the end below 0
    run(lambda s, b, h, q, k: s + full[b][h][q, k] * one, expected_score=lambda s, b, h, q, k: s + full[b, h, q, k] * one)
    run(None, lambda b, h, q, k: rank[doc[q]] >= rank[doc[k]])
    spans = np.stack([np.arange(70) // 10 * 10, np.arange(70) // 10 * 10 + 12], 1).astype(np.int32)
    run(None, lambda b, h, q, k: (k >= spans[q, 0]) & (k < spans[q][1]),
        expected_mask=lambda b, h, q, k: (k >= spans[q, 0]) & (k < spans[q, 1]))


def test_inner_functions_partials_defaults_methods_and_loops():
    class Windows:
        def __init__(self, size):
            self.size, self.table = size, np.arange(4, dtype=np.int32)

        def mask(self, b, h, q, k):
            return abs(q - k) < self.size + self.table[h]

        def __call__(self, b, h, q, k):
            return self.mask(b, h, q, k)

    def wide(window, b, h, q, k, /, sinks=2):
        found = k < sinks
        for n in range(3):
            found = found | (q - k == n * window)
        return found | (q // 4 == k // 4)

    windows = Windows(5)
    run(None, windows.mask)
    run(None, windows)
    run(None, functools.partial(wide, 7))
    run(None, lambda b, h, q, k: windows.mask(b, h, q, k) & ~wide(3, b, h, q, k, sinks=1))
    windows.size = 9
    run(None, windows.mask)


def test_a_changed_closure_default_or_list_is_seen():
    size, sizes = 3, [4]

    def mask(b, h, q, k, extra=0):
        return abs(q - k) < size + sizes[0] + extra

    run(None, mask)
    size = 10
    run(None, mask)
    sizes[0] = 20
    run(None, mask)
    mask.__defaults__ = (5,)
    run(None, mask)
    first, second = (lambda b, h, q, k: q > k + 1), (lambda b, h, q, k: q > k + 2)
    assert flexjit.text_of(first) != flexjit.text_of(second)


def test_contents_need_no_new_trace_and_shapes_do():
    doc = np.arange(70) // 9
    mask = lambda b, h, q, k: doc[q] == doc[k]  # noqa: E731
    first = flexjit.trace(mask, "mask")
    doc[:] = np.arange(70) // 11
    assert flexjit.trace(mask, "mask") is first
    run(None, mask)
    doc = np.zeros((70, 2), int)
    with pytest.raises(flexjit.Error):
        flexjit.text_of(mask)


def refused(function, *words):
    with pytest.raises(flexjit.TraceError) as caught:
        flexjit.text_of(function)
    for word in (*words, "test_trace.py"):
        assert word in str(caught.value), str(caught.value)


def test_what_cannot_be_traced_is_named():
    refused(lambda b, h, q, k: q if q > k else k, "condition", "torch.where")
    refused(lambda b, h, q, k: 0 < q < k, "chained comparison")
    refused(lambda b, h, q, k: q > 1 and k > 1, "`and`", "&")
    refused(lambda b, h, q, k: not q > 1, "~")
    refused(lambda b, h, q, k: max(q, k) > 1, "max")
    refused(lambda s, b, h, q, k: s + math.exp(q), "torch.exp")
    refused(lambda s, b, h, q, k: s + int(q), "int()")
    refused(lambda s, b, h, q, k: s.item(), ".item()")
    refused(lambda s, b, h, q, k: np.linalg.norm(s), "norm")
    refused(lambda s, b, h, q, k: [1.0, 2.0][h] * s, "index", "capture")
    refused(lambda s, b, h, q, k: np.arange(3, dtype=np.uint16)[0] * np.cumsum(s), "cumsum")
    refused(lambda b, h, q, k: None, "returns nothing")
    words = np.arange(70, dtype=np.uint16)
    refused(lambda b, h, q, k: words[q] == words[k], "uint16", "convert")
    with pytest.raises(ZeroDivisionError):
        flexjit.text_of(lambda b, h, q, k: q > 1 // 0)
    with pytest.raises(TypeError, match="mask_mod"):
        flexjit.attention(*inputs(), lambda b, h, q, k: q > k)


def test_many_closures_leak_nothing():
    resource = pytest.importorskip("resource")

    def lap(times):
        for n in range(times):
            flexjit.trace((lambda m: lambda s, b, h, q, k: s * float(m % 50))(n), "score")
        gc.collect()

    lap(2000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lap(10000)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 4096
