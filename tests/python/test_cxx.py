"""Texts in C++: the same results as the same texts in the language."""
import numpy as np
import pytest
from oracle import attention, close, inputs

import flexjit

PROGRAM = """
float score_mod(float score, int h, int q_idx, int kv_idx, [[flexjit::extents("num_heads")]] const float* slope) {
  return score - slope[h] * (q_idx - kv_idx);
}
bool mask_mod(int q_idx, int kv_idx, int window = 9) { return q_idx >= kv_idx && q_idx - kv_idx < window; }
"""
SCORE = "[](float score, int h, int q_idx, int kv_idx, const float* slope) { return score - slope[h] * (q_idx - kv_idx); }"
MASK = "[](int q_idx, int kv_idx, int window) { return q_idx >= kv_idx && q_idx - kv_idx < window; }"
SLOPE = np.linspace(0.1, 0.4, 4, dtype=np.float32)


def expected(q, k, v, window):
    return attention(q, k, v, lambda s, b, h, i, j: s - SLOPE[h] * (i - j), lambda b, h, i, j: (i >= j) & (i - j < window))[0]


def test_programs_and_lambdas_equal_the_definition():
    q, k, v = inputs(kv_heads=2, v_dim=24)
    close(flexjit.attention(q, k, v, program=PROGRAM, language="c++", bindings={"slope": SLOPE}), expected(q, k, v, 9))
    bindings = {"slope": SLOPE, "window": 5}
    close(flexjit.attention(q, k, v, SCORE, MASK, language="c++", bindings=bindings), expected(q, k, v, 5))
    handle = flexjit.compile(SCORE, MASK, language="c++", head_dim=q.shape[3], v_head_dim=24)
    close(handle.run(q, k, v, bindings), expected(q, k, v, 5))
    assert handle.text == f"constexpr auto score_mod = {SCORE};\nconstexpr auto mask_mod = {MASK};\n"


def test_one_kernel_for_both_languages():
    options = {"bindings": {"window": 5}}
    cxx = flexjit.inspect("simplified", None, MASK, language="c++", **options)
    assert cxx == flexjit.inspect("simplified", None, "q_idx >= kv_idx && q_idx - kv_idx < window", **options)


def test_block_masks():
    cxx = flexjit.create_block_mask(MASK, 512, 512, bindings={"window": 200}, language="c++")
    flex = flexjit.create_block_mask("q_idx >= kv_idx && q_idx - kv_idx < window", 512, 512, bindings={"window": 200})
    assert np.array_equal(cxx.kinds(), flex.kinds())


def test_findings():
    assert flexjit.check(SCORE, MASK, language="c++") == ""
    assert "1:32: error: use of undeclared identifier 'kv'" in flexjit.check(None, "[](int q_idx) { return q_idx > kv; }", language="c++")
    with pytest.raises(flexjit.Error, match="1:24: error: this loop does not end within 1024 turns"):
        flexjit.compile(None, "[](int q_idx, int n) { for (int i = 0; i < n; ++i) if (i == q_idx) return true; return false; }", language="c++")
    with pytest.raises(ValueError, match="language is 'flex' or 'c\\+\\+', not 'c'"):
        flexjit.compile(None, MASK, language="c")
    with pytest.raises(TypeError, match="score_mod is a text, not a function"):
        flexjit.compile(lambda s, b, h, i, j: s, language="c++")
