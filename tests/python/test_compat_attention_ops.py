"""flexjit.compat.attention_ops on numpy and torch: the modules of FlexAttention-Examples against the definition, and gradients."""
import subprocess
import sys

import numpy as np
import pytest
from oracle import attention, close, inputs

import flexjit
from flexjit.compat import attention_ops as ops

torch = pytest.importorskip("torch")


def weights_of(module, name):
    return np.asarray(getattr(module, name).detach(), np.float64)


def projected(module, q, k, v, shared):
    e, f = (("E", "E") if shared else ("E_K", "E_V"))
    k, v = (np.einsum("bhnd,nm->bhmd", np.asarray(x, np.float64), weights_of(module, name)) for x, name in ((k, e), (v, f)))
    return attention(q, k, v)[0]


@pytest.mark.covers("X01")
@pytest.mark.parametrize("shared", [True, False])
def test_linformer(shared):
    module = ops.LinformerAttention(dim=64, n_heads=4, seq_len=70, proj_len=12, shared_proj=shared)
    q, k, v = inputs()
    expected = projected(module, q, k, v, shared)
    close(module(q, k, v), expected, 1e-4)
    tensors = [torch.tensor(x, requires_grad=True) for x in (q, k, v)]
    out = module(*tensors)
    close(out.detach(), expected, 1e-4)
    out.sum().backward()
    copies = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (q, k, v)]
    es = [weights_of(module, name) for name in (("E", "E") if shared else ("E_K", "E_V"))]
    es = [torch.tensor(x, requires_grad=True) for x in (es[:1] if shared else es)]
    keys, values = es[0].T @ copies[1], es[-1].T @ copies[2]
    (torch.softmax(copies[0] @ keys.transpose(2, 3) / 4, -1) @ values).sum().backward()
    for got, expected in zip([*(x.grad for x in tensors), *(x.grad for x in module.parameters())], [*(x.grad for x in copies), *(x.grad for x in es)]):
        close(got, expected, 1e-3)
    with pytest.raises(ValueError, match="70 tokens, but seq_len of LinformerAttention is 60"):
        ops.LinformerAttention(64, 4, 60, 12)(q, k, v)


def performed(q, k, v, w, orthogonal):
    def features(x):
        along = x @ w
        if not orthogonal:
            return torch.exp(torch.clamp(along / 4, -10, 10))
        return torch.exp(along / 2 - (x * x).sum(-1, keepdim=True) / 8) + 1e-4

    weights = features(q) @ features(k).transpose(2, 3)
    return weights @ v / weights.sum(-1, keepdim=True)


@pytest.mark.covers("X04", "X05")
@pytest.mark.parametrize("orthogonal", [False, True])
def test_performer(orthogonal):
    module = ops.PerformerAttention(dim=64, n_heads=4, feature_dim=32, orthogonal=orthogonal, seed=3)
    assert module.proj_matrix.shape == (16, 32)
    q, k, v = inputs()
    copies = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (q, k, v)]
    w = module.proj_matrix.detach().double().requires_grad_()
    expected = performed(*copies, w, orthogonal)
    close(module(q, k, v), expected.detach(), 1e-4)
    with torch.no_grad():
        close(module(*map(torch.tensor, (q, k, v))), expected, 1e-4)
    expected.sum().backward()
    tensors = [torch.tensor(x, requires_grad=True) for x in (q, k, v)]
    out = module(*tensors)
    close(out.detach(), expected.detach(), 1e-4)
    out.sum().backward()
    for got, x in zip([*(x.grad for x in tensors), module.proj_matrix.grad], [*(x.grad for x in copies), w.grad]):
        close(got, x, 2e-4)
    module.proj_matrix.requires_grad_(False)
    tensors = [torch.tensor(x, requires_grad=True) for x in (q, k, v)]
    module(*tensors).sum().backward()
    for got, x in zip(tensors, copies):
        close(got.grad, x.grad, 2e-4)
    with pytest.raises(ValueError, match="Q has 4 heads, the module 2"):
        ops.PerformerAttention(32, 2, 8)(q, k, v)


GRID = dict(n_heads=4, H_img=7, W_img=10)
DOCUMENTS = [0] * 9 + [4] * 40 + [2] * 21


def longformer(b, h, i, j):
    return (i < 2) | (j < 2) | (abs(i - j) <= 8)


def windows(shift):
    def part(x, extent):
        x = (x - shift) % (-(-extent // 5) * 5)
        return x // 5, shift and x >= -(-extent // 5) * 5 - shift

    def allowed(b, h, i, j):
        pairs = [(part(i // 10, 10), part(j // 10, 10)), (part(i % 10, 10), part(j % 10, 10))]
        return np.logical_and.reduce([(a[n] == c[n]) & np.ones_like(i == j) for a, c in pairs for n in (0, 1)])

    return allowed


def neighbours(b, h, i, j):
    return (abs(i // 10 - j // 10) <= 2) & (abs(i % 10 - j % 10) <= 2)


def documents(b, h, i, j):
    ids = np.array(DOCUMENTS)
    return ids[i] == ids[j]


def fast_tanh(x):
    """Lambert's continued fraction for tanh, cut after seven terms and at the place where that is 1."""
    x = np.clip(x, -4.97, 4.97)
    fraction = 0.0
    for odd in (13, 11, 9, 7, 5, 3, 1):
        fraction = x * x / (odd + fraction) if odd > 1 else x / (odd + fraction)
    return fraction


MASKS = {
    "longformer": ("X06 X07", ops.LongformerAttention(8, {0, 1}), (), longformer),
    "neighborhood": ("X10", ops.NeighborhoodAttention(dim=64, **GRID), (), neighbours),
    "causal": ("X11", ops.CausalAttention(70, 70), (), lambda b, h, i, j: i >= j),
    "window": ("X11", ops.SlidingWindowCausalAttention(70, 70, 16), (), lambda b, h, i, j: (i >= j) & (i - j <= 16)),
    "prefix": ("X11", ops.PrefixLMAttention(), (np.array([5, 40]),), lambda b, h, i, j: (j < np.array([5, 40])[b]) | (i >= j)),
    "documents": ("X11", ops.DocumentMaskAttention(), (np.array(DOCUMENTS),), documents),
    "documents of a batch": ("X11", ops.DocumentMaskAttention(), (np.array([DOCUMENTS, [1] * 70]),), lambda b, h, i, j: documents(b, h, i, j) | (b == 1)),
}
SCORES = {
    "alibi": ("X11", ops.AlibiAttention(4), lambda s, b, h, i, j: s - 2.0 ** (-2 * (h + 1)) * abs(i - j)),
    "alibi of the examples": ("X11", ops.AlibiAttention(4, as_in_examples=True), lambda s, b, h, i, j: s + 2.0 ** (-2 * (h + 1)) * (i - j)),
    "relative": ("X11", ops.RelativePositionalAttention(), lambda s, b, h, i, j: s + (i - j)),
    "softcap": ("X11 X13", ops.SoftCapAttention(), lambda s, b, h, i, j: 20 * np.tanh(s / 20)),
    "softcap of 30": ("X11", ops.SoftCapAttention(30.0), lambda s, b, h, i, j: 30 * np.tanh(s / 30)),
    "fast softcap": ("X13", ops.SoftCapAttention(1.5, True), lambda s, b, h, i, j: 1.5 * fast_tanh(s / 1.5)),
}
CASES = [pytest.param(module, more, None, mask, id=name, marks=pytest.mark.covers(*ids.split())) for name, (ids, module, more, mask) in MASKS.items()]
CASES += [pytest.param(module, (), score, None, id=name, marks=pytest.mark.covers(*ids.split())) for name, (ids, module, score) in SCORES.items()]


@pytest.mark.parametrize("module, more, score, mask", CASES)
def test_module(module, more, score, mask):
    q, k, v = inputs()
    expected = attention(q, k, v, score, mask)[0]
    close(module(q, k, v, *more), expected)
    tensors = [torch.tensor(x, requires_grad=True) for x in (q, k, v)]
    out = module(*tensors, *(torch.tensor(x) for x in more))
    close(out.detach(), expected)
    out.square().sum().backward()
    # The output is linear in v: the products of v and its gradient, and of the output and its own, are equal.
    close((tensors[2].grad * tensors[2]).sum().detach(), 2 * (expected ** 2).sum(), 1e-4)
    assert all(torch.isfinite(x.grad).all() and x.grad.abs().max() > 0 for x in tensors)


@pytest.mark.covers("X08", "X09")
@pytest.mark.parametrize("shift", [0, 2])
def test_swin(shift):
    grid = dict(dim=64, n_heads=4, H_img=10, W_img=10, window_size=5, shift_size=shift)
    q, k, v = inputs(q_len=100, kv_len=100)
    close(ops.SwinAttention(**grid, rolled=False)(q, k, v), attention(q, k, v, None, windows(shift))[0])
    roll = [np.roll(x.reshape(2, 4, 10, 10, 16), (-shift, -shift), (2, 3)).reshape(x.shape) for x in (q, k, v)]
    close(ops.SwinAttention(**grid)(q, k, v), attention(*roll, None, windows(0))[0])
    close(ops.SwinAttention(**grid)(*map(torch.tensor, (q, k, v))), attention(*roll, None, windows(0))[0])
    with pytest.raises(ValueError, match="H_img . W_img of SwinAttention is 110"):
        ops.SwinAttention(64, 4, 11, 10)(q, k, v)


@pytest.mark.covers("X13")
def test_fast_tanh():
    x = np.linspace(-20, 20, 100001)
    assert 1e-6 < abs(fast_tanh(x) - np.tanh(x)).max() < 1e-4  # the documented error
    q, k, v = inputs()
    fast, exact = (ops.SoftCapAttention(1.5, flag)(4 * q, k, v) for flag in (True, False))
    assert 0 < abs(fast - exact).max() < 1e-3


@pytest.mark.covers("X11")
def test_slopes():
    close(ops.get_alibi_slopes(8), 2.0 ** -np.arange(1, 9))
    close(ops.get_alibi_slopes(12)[8:], [.70711, .35355, .17678, .08839])
    close(ops.get_alibi_slopes(6), [.25, .0625, .015625, .00390625, .5, .125])
    with pytest.raises(ValueError, match="Q has 4 heads, the module 8"):
        ops.AlibiAttention(8)(*inputs())


@pytest.mark.covers("X12")
def test_documents_of_an_inner_mask():
    mod = ops.generate_doc_mask_mod(lambda b, h, i, j: i >= j, np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, 2]))
    mask = flexjit.trace(mod, "mask")
    handle = flexjit.compile(mask_mod=mod)
    q, k, v = inputs(1, 2, q_len=10, kv_len=10, dim=4)
    ids = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, 2])
    allowed = lambda b, h, i, j: (ids[i] == ids[j]) & (i >= j)  # noqa: E731
    close(flexjit.attention(q, k, v, mask_mod=mod), attention(q, k, v, None, allowed)[0])
    assert sum(int(allowed(0, 0, i, j)) for i in range(10) for j in range(10)) == 22
    assert "kv_idx" in mask.text and handle is not None
    # Positions count from each document's beginning, and documents may have any numbers.
    first = ops.generate_doc_mask_mod(lambda b, h, i, j: j < 2, np.array(DOCUMENTS))
    q, k, v = inputs()
    start = np.array([0] * 9 + [9] * 40 + [49] * 21)
    close(flexjit.attention(q, k, v, mask_mod=first), attention(q, k, v, None, lambda b, h, i, j: documents(b, h, i, j) & (j - start[j] < 2))[0])


@pytest.mark.covers("X20")
def test_a_new_variant_is_a_text():
    text = flexjit.variants.neighborhood((7, 10), (3, 5), causal=(True, False)).replace("mask = ", "mask = q_idx % 2 == 0 && ")
    q, k, v = inputs()
    out = flexjit.attention(q, k, v, program=text)
    assert (out[:, :, 1::2] == 0).all() and (out[:, :, ::2] != 0).any()


def test_variants_refuse():
    with pytest.raises(flexjit.Error, match=r"axes\[0\].kernel is 9; give 1 to 7"):
        flexjit.variants.neighborhood((7, 10), 9)
    with pytest.raises(flexjit.Error, match=r"window is -1"):
        flexjit.variants.longformer(-1)
    with pytest.raises(ValueError, match="'softmax', 'sigmoid' or 'linear'"):
        flexjit.compile(weights="cosine")


def test_without_torch():
    code = """
import sys
sys.modules["torch"] = None
import subprocess
import sys

import numpy as np
from flexjit.compat.attention_ops import *
x = np.random.default_rng(0).standard_normal((2, 4, 70, 16)).astype(np.float32)
for module in (LinformerAttention(64, 4, 70, 12), PerformerAttention(64, 4, 24).to("cpu"), LongformerAttention(8, {0}), AlibiAttention(4),
               SwinAttention(64, 4, 7, 10, 5, 2), NeighborhoodAttention(64, 4, 7, 10, natten=True)):
    out = module(x, x, x)
    assert out.shape == x.shape and np.isfinite(out).all(), module
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
