"""varlen_attn with the arguments of torch.nn.attention.varlen, each sequence beside attention by its definition."""
import inspect

import pytest

torch = pytest.importorskip("torch", reason="no torch here")

import torch.nn.attention.varlen as theirs  # noqa: E402

import flexjit  # noqa: E402
from flexjit.torch import AuxRequest, varlen_attn, varlen_attn_out  # noqa: E402

Q_LENS, K_LENS = [5, 0, 17, 1], [9, 4, 17, 30]


def lengths(values):
    return torch.tensor([0, *values]).cumsum(0).to(torch.int32)


def inputs(heads=4, kv_heads=4, dim=16, v_dim=16, dtype=torch.float32, grad=False):
    torch.manual_seed(3)
    return [torch.randn(n, h, d, dtype=dtype, requires_grad=grad)
            for n, h, d in ((sum(Q_LENS), heads, dim), (sum(K_LENS), kv_heads, dim), (sum(K_LENS), kv_heads, v_dim))]


def one(q, k, v, window=(-1, -1), scale=None):
    """(out, lse) of a sequence by the definition: (length, heads, dim) tensors, the diagonal ends in the last query and key."""
    repeat = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(repeat, 1), v.repeat_interleave(repeat, 1)
    scores = torch.einsum("qhd,khd->hqk", q, k) * (q.shape[-1] ** -0.5 if scale is None else scale)
    offset = torch.arange(len(k)) - (torch.arange(len(q)) + len(k) - len(q))[:, None]
    allowed = ((window[0] < 0) | (offset >= -window[0])) & ((window[1] < 0) | (offset <= window[1]))
    scores = scores.masked_fill(~allowed, -float("inf"))
    weights = torch.where(allowed.any(-1)[:, None], scores, 0).softmax(-1) * allowed
    return torch.einsum("hqk,khd->qhd", weights, v), scores.logsumexp(-1)


def all_of(q, k, v, keys=None, **options):
    parts = [one(a, b[:n], c[:n], **options) for a, b, c, n in zip(q.split(Q_LENS), k.split(K_LENS), v.split(K_LENS), keys or K_LENS)]
    return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts], -1)


ARGUMENTS = lengths(Q_LENS), lengths(K_LENS), 17, 30


def test_the_signatures_are_theirs():
    for ours, other in ((varlen_attn, theirs.varlen_attn), (varlen_attn_out, theirs.varlen_attn_out)):
        parameters = [[(p.name, p.kind, p.default) for p in inspect.signature(f).parameters.values()] for f in (ours, other)]
        assert parameters[0] == parameters[1]


@pytest.mark.parametrize("window", [(-1, -1), (-1, 0), (3, 0), (2, 4), (-1, 1)])
@pytest.mark.parametrize("kv_heads", [4, 2])
def test_windows_and_groups(window, kv_heads):
    q, k, v = inputs(kv_heads=kv_heads, v_dim=8)
    options = {"window_size": window, "enable_gqa": kv_heads != 4, "scale": 0.3}
    out, lse = varlen_attn(q, k, v, *ARGUMENTS, return_aux=AuxRequest(lse=True), **options)
    expected = all_of(q, k, v, window=window, scale=0.3)
    torch.testing.assert_close((out, lse), expected)
    assert lse.shape == (4, sum(Q_LENS))
    room = torch.full_like(out, float("nan"))
    assert varlen_attn_out(room, q, k, v, *ARGUMENTS, **options) is room
    assert torch.equal(room, out)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.bfloat16, 2e-2), (torch.float16, 3e-3)])
def test_element_types(dtype, tolerance):
    q, k, v = inputs(dtype=dtype)
    out = varlen_attn(q, k, v, *ARGUMENTS, window_size=(-1, 0))
    expected = all_of(*[x.double() for x in (q, k, v)], window=(-1, 0))[0].to(dtype)
    torch.testing.assert_close(out, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("window", [(-1, -1), (-1, 0), (2, 1)])
def test_gradients(window):
    given = inputs(kv_heads=2, dtype=torch.float64, grad=True)
    again = [x.detach().clone().requires_grad_() for x in given]
    results = (varlen_attn(*given, *ARGUMENTS, window_size=window, enable_gqa=True, return_aux=AuxRequest(lse=True)),
               all_of(*again, window=window))
    for out, lse in results:
        (out * torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view(out.shape)).sum().backward(retain_graph=True)
        lse[lse.isfinite()].square().sum().backward()
    for x, y in zip(given, again):
        torch.testing.assert_close(x.grad, y.grad, rtol=1e-5, atol=1e-6)  # dLSE passes through float32


def test_rows_of_no_sequence():
    q, k, v = (torch.nn.functional.pad(x, (0, 0, 0, 0, 0, 3), value=float("nan")).requires_grad_() for x in inputs())
    out, lse = varlen_attn(q, k, v, *ARGUMENTS, return_aux=AuxRequest(lse=True))
    assert (out[-3:] == 0).all() and (lse[:, -3:] == -float("inf")).all() and out.isfinite().all()
    out.square().sum().backward()
    for x in (q, k, v):
        assert x.grad.isfinite().all() and (x.grad[-3:] == 0).all()


def test_seqused_k():
    q, k, v = inputs(grad=True)
    used = [4, 0, 17, 22]
    out = varlen_attn(q, k, v, *ARGUMENTS, window_size=(-1, 0), seqused_k=torch.tensor(used, dtype=torch.int32))
    torch.testing.assert_close(out, all_of(q, k, v, used, window=(-1, 0))[0])
    out.sum().backward()
    assert (k.grad[4:9] == 0).all() and k.grad[:4].abs().sum() > 0


def test_pages():
    q, k, v = inputs(kv_heads=2)
    size, pages, table = 8, [], torch.full((4, 4), -1, dtype=torch.int32)
    for n, (keys, values) in enumerate(zip(k.split(K_LENS), v.split(K_LENS))):
        for at in range(0, len(keys), size):
            table[n, at // size] = len(pages)
            pages.append([torch.nn.functional.pad(x[at:at + size], (0, 0, 0, 0, 0, size - len(x[at:at + size])), value=float("nan")) for x in (keys, values)])
    key, value = (torch.stack(part).flip(0) for part in zip(*pages))
    table = torch.where(table < 0, table, len(pages) - 1 - table)
    used = torch.tensor(K_LENS, dtype=torch.int32)
    options = {"seqused_k": used, "block_table": table, "enable_gqa": True, "window_size": (-1, 0)}
    out = varlen_attn(q, key, value, ARGUMENTS[0], None, 17, 30, num_splits=1, **options)
    torch.testing.assert_close(out, all_of(q, k, v, window=(-1, 0))[0])
    with pytest.raises(RuntimeError, match="block_table is for inference"):
        varlen_attn(q.requires_grad_(), key, value, ARGUMENTS[0], None, 17, 30, **options)


def test_compiled_and_checked_by_torch():
    given, again = inputs(grad=True), inputs(grad=True)

    def attend(q, k, v, cu_q, cu_k):
        return varlen_attn(q * 2, k, v, cu_q, cu_k, 17, 30, window_size=(-1, 0))

    torch._dynamo.reset()
    out = torch.compile(attend, fullgraph=True, backend="aot_eager")(*given, *ARGUMENTS[:2])
    expected = attend(*again, *ARGUMENTS[:2])
    torch.testing.assert_close(out, expected)
    for x in (out, expected):
        x.square().sum().backward()
    for x, y in zip(given, again):
        torch.testing.assert_close(x.grad, y.grad)
    tensors = [x.detach() for x in given]
    torch.library.opcheck(torch.ops.flexjit.varlen_attention.default, (*given, *ARGUMENTS[:2], None, [-1, 0], None, None))
    torch.library.opcheck(torch.ops.flexjit.varlen_attention_out.default, (torch.empty_like(tensors[0]), *tensors, *ARGUMENTS[:2], None, [2, -1], None, None))
    room, lse = torch.ops.flexjit.varlen_attention(*tensors, *ARGUMENTS[:2], None, [-1, 0], None, None)
    torch.library.opcheck(torch.ops.flexjit.varlen_attention_backward.default, (room, None, *tensors, room, lse, *ARGUMENTS[:2], None, [-1, 0], None))


def test_autocast():
    q, k, v = inputs(grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        out = varlen_attn(q, k, v, *ARGUMENTS)
    assert out.dtype == torch.bfloat16
    out.sum().backward()
    assert q.grad.dtype == torch.float32


def test_wrong_arguments():
    q, k, v = inputs(kv_heads=2)
    with pytest.raises(ValueError, match="enable_gqa"):
        varlen_attn(q, k, v, *ARGUMENTS)
    q, k, v = inputs()
    with pytest.raises(ValueError, match="scale must be greater than 0"):
        varlen_attn(q, k, v, *ARGUMENTS, scale=-1.0)
    with pytest.raises(ValueError, match="max_q is 3"):
        varlen_attn(q, k, v, *ARGUMENTS[:2], 3, 30)
    with pytest.raises(ValueError, match="block_table needs seqused_k"):
        varlen_attn(q, k.view(6, 10, 4, 16), v.view(6, 10, 4, 16), ARGUMENTS[0], None, 17, 30, block_table=torch.zeros(4, 2, dtype=torch.int32))
    with pytest.raises(flexjit.Error, match="cu_seqlens_q"):
        varlen_attn(q, k, v, lengths([5, 0, 17, 9]), *ARGUMENTS[1:])
    with pytest.raises(ValueError, match="is \\(total, heads, dim\\)"):
        varlen_attn(q[None], k, v, *ARGUMENTS)
