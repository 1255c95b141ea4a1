"""What notebooks and people are shown: masks as SVG and figures, handles as HTML, what the parts of a pattern cost."""
import re
import xml.etree.ElementTree as xml

import numpy as np
import pytest

import flexjit


def window():
    return flexjit.create_block_mask("q_idx >= kv_idx && q_idx - kv_idx < 300 + 128 * h - b", 1024, 1024, batch=2, heads=3)


def area(svg, colour):
    """Pixels of one plane's rectangles of a colour."""
    first = svg[svg.index("<g"):svg.index("</g>")]
    return sum(float(w) * float(h) for w, h in re.findall(r'width="([\d.]+)" height="([\d.]+)" fill="' + colour, first))


def test_a_mask_draws_itself():
    """The shares of the picture's area are the shares of the blocks."""
    mask = window()
    svg = mask._repr_svg_()
    xml.fromstring(svg)
    empty, partial, full = np.bincount(np.frombuffer(mask.kinds(), np.uint8)[:64])
    assert area(svg, "#1f4e79") == pytest.approx(1024 * full, rel=0.01) and full > 0
    assert area(svg, "#8fb8de") == pytest.approx(1024 * partial, rel=0.01) and partial > 0
    assert svg.count("<g ") == 4 and "the first 4 of 6 planes" in svg and f"{mask.counts[0]} empty" in svg
    wide = flexjit.create_block_mask("kv_idx < 70000", 64, 100000)._repr_svg_()
    xml.fromstring(wide)
    assert len(wide) < 20000


def test_a_torch_mask_draws_itself():
    pytest.importorskip("torch", reason="no torch here")
    from flexjit.torch import create_block_mask

    mask = create_block_mask(lambda b, h, q, k: (q >= k) & (q - k < 300 + 128 * h - b), 2, 3, 1024, 1024)
    assert mask._repr_svg_() == window()._repr_svg_()


def test_a_figure_has_the_masks_cells():
    matplotlib = pytest.importorskip("matplotlib", reason="no matplotlib here")
    matplotlib.use("Agg")
    mask = window()
    ax = flexjit.figure(mask, b=1, h=2)
    cells = np.asarray(ax.images[0].get_array())
    assert (cells == np.frombuffer(mask.kinds(), np.uint8).reshape(2, 3, 8, 8)[1, 2]).all()
    assert ax.get_xlim() == (0, 1024) and ax.get_ylim() == (1024, 0)
    assert flexjit.figure(mask, ax=ax) is ax


def test_a_handle_shows_its_text_and_loops():
    slope = np.ones(4, np.float32)
    handle = flexjit.compile("score - slope[h] * (q_idx - kv_idx)", lambda b, h, q, k: q >= k, bindings={"slope": slope}, head_dim=32, softcap=20.0)
    page = handle._repr_html_()
    xml.fromstring(page)
    assert "buffer slope : f32[?]" in page and "mask = (q_idx &gt;= kv_idx)" in page and "softcap = 20.0" in page
    assert page.count("<details>") == 4
    assert handle.inspect("nest") == flexjit.inspect("nest", "score - slope[h] * (q_idx - kv_idx)", "(q_idx >= kv_idx)", bindings={"slope": slope},
                                                     head_dim=32, softcap=20.0)
    assert flexjit.check(program=handle.text) == ""
    with pytest.raises(ValueError, match="no view 'nests'"):
        handle.inspect("nests")


def test_a_whole_text_keeps_lets_apart():
    """Score and mask of one traced pattern both name their values x0."""
    def score(s, b, h, i, j):
        d = i - j
        return s + d * d

    def mask(b, h, i, j):
        d = i - j
        return (d >= 0) & (d < 9)

    handle = flexjit.compile(score, mask)
    assert handle.text.count("let ") >= 2 and flexjit.check(program=handle.text) == ""
    q = np.random.default_rng(0).standard_normal((1, 2, 40, 64), np.float32)
    assert (flexjit.attention(q, q, q, program=handle.text) == flexjit.attention(q, q, q, score, mask)).all()


def test_explain_finds_what_costs():
    """A part that does a hundred times the work of the rest costs most of the run, and one that is hoisted nothing."""
    table = np.zeros((8, 300), np.float32)

    def score(s, b, h, i, j):
        heavy = s
        for n in range(12):
            heavy = np.sin(heavy + n)
        return heavy + table[h, 7]

    told = flexjit.explain(score, "q_idx >= kv_idx", shape=(1, 2, 512, 16), seconds=0.5)
    assert 0.3 < told.blocks[0] / sum(told.blocks) < 0.5
    sines = [part["percent"] for part in told.parts if part["role"] == "score"]
    assert sines and sines[0] > 30
    assert any("read once a" in line for line in told.lines()) and "sin" in str(told) and "<table>" in told._repr_html_()
    assert [read["buffer"] for read in told.reads] == ["s0"]
    with pytest.raises(flexjit.Error, match="unknown name|not defined|no such"):
        flexjit.explain("score + nothing")
