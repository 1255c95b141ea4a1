"""flexjit.compat on torch tensors: the results of numpy arrays, and gradients against those that torch finds for the definition."""
import numpy as np
import pytest
from flash_oracle import mask_of
from oracle import close
from philox import kept

torch = pytest.importorskip("torch", reason="no torch here")

from flexjit.compat.flash_attn import (flash_attn_func, flash_attn_kvpacked_func, flash_attn_qkvpacked_func, flash_attn_varlen_func,  # noqa: E402
                                       flash_attn_varlen_kvpacked_func, flash_attn_varlen_qkvpacked_func, flash_attn_with_kvcache)
from flexjit.compat import flash_attn_mlx  # noqa: E402
from flexjit.compat.flex_flash_infer import FlexFlashInfer, get_mask_fn  # noqa: E402
from flexjit.compat.flex_mlx import FlexAttention, create_block_mask, flex_attention  # noqa: E402


def normal(*shape, dtype=torch.float32, grad=True):
    return torch.randn(shape, dtype=torch.float64).to(dtype).requires_grad_(grad)


def definition(q, k, v, scale=None, causal=False, window_size=(-1, -1), softcap=0.0, slopes=None, stays=None, p=0.0, sink=None, score=None):
    """(out, lse) of (batch, seqlen, heads, dim) tensors in float64, of torch's own operations."""
    q, k, v = (x.double().transpose(1, 2) for x in (q, k, v))
    group, kv_len = q.shape[1] // k.shape[1], k.shape[2]
    k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
    s = q @ k.transpose(2, 3) * (q.shape[3] ** -0.5 if scale is None else scale)
    distance = torch.arange(q.shape[2])[:, None] + kv_len - q.shape[2] - torch.arange(kv_len)
    if softcap > 0:
        s = softcap * torch.tanh(s / softcap)
    if slopes is not None:
        s = s - slopes.double()[..., None, None] * distance.abs()
    if score is not None:
        s = score(s)
    s = s.masked_fill(~torch.from_numpy(mask_of(q.shape[2], kv_len, causal, window_size)), -torch.inf)
    if sink is not None:
        s = torch.cat([s, sink.double()[:, None, None].expand(*s.shape[:3], 1)], 3)
    lse = s.logsumexp(3)
    weights = (s - lse[..., None]).exp()[..., :kv_len]
    if stays is not None:
        weights = weights * torch.from_numpy(stays) / (1 - p)
    return (weights @ v).transpose(1, 2), lse


def same_gradients(tensors, outputs, expected, tolerance=2e-5):
    """Of a random combination of outputs."""
    combination = [torch.randn_like(x) for x in expected]
    found = torch.autograd.grad(sum((x * c).sum() for x, c in zip(outputs, combination)), tensors, retain_graph=True)
    right = torch.autograd.grad(sum((x * c).sum() for x, c in zip(expected, combination)), tensors, retain_graph=True)
    for one, other, tensor in zip(found, right, tensors):
        assert one.dtype == tensor.dtype and one.shape == tensor.shape
        close(one.double(), other.double(), tolerance)


OPTIONS = [{}, {"causal": True}, {"softmax_scale": 0.3}, {"window_size": (4, 2)}, {"causal": True, "window_size": (9, 0)}, {"softcap": 3.0, "causal": True}]


@pytest.mark.covers("E09", "P16")
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("heads, kv_heads", [(4, 4), (4, 2), (4, 1)])
def test_gradients(options, heads, kv_heads):
    torch.manual_seed(0)
    q, k, v = normal(2, 23, heads, 16), normal(2, 30, kv_heads, 16), normal(2, 30, kv_heads, 24)
    out, lse, _ = flash_attn_func(q, k, v, **options, return_attn_probs=True)
    same = {"scale" if name == "softmax_scale" else name: value for name, value in options.items()}
    expected = definition(q, k, v, **same)
    close(out.detach(), expected[0].detach(), 1e-5)
    close(lse.detach(), expected[1].detach(), 1e-5)
    same_gradients((q, k, v), (out, lse), expected)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-10), (torch.bfloat16, 4e-2), (torch.float16, 5e-3)])
def test_gradients_of_other_types(dtype, tolerance):
    torch.manual_seed(1)
    q, k, v = (normal(1, 20, 2, 32, dtype=dtype) for _ in range(3))
    out = flash_attn_func(q, k, v, causal=True)
    assert out.dtype == dtype
    same_gradients((q, k, v), (out,), definition(q, k, v, causal=True)[:1], tolerance)


def test_gradients_of_alibi_sinks_and_captured_tensors():
    torch.manual_seed(2)
    q, k, v, sink, bias = normal(2, 20, 4, 16), normal(2, 20, 2, 16), normal(2, 20, 2, 16), normal(4), normal(20)
    slopes = torch.tensor([0.5, 0.25, 0.125, 0.0625])
    out = flash_attn_func(q, k, v, causal=True, alibi_slopes=slopes, learnable_sink=sink, score_mod=lambda s, b, h, i, j: s + bias[j])
    expected, _ = definition(q, k, v, causal=True, slopes=slopes, sink=sink, score=lambda s: s + bias)
    same_gradients((q, k, v, sink, bias), (out,), (expected,), 5e-5)
    named = flash_attn_func(q, k, v, causal=True, alibi_slopes=slopes, learnable_sink=sink, score_mod="score + dq[kv_idx]", bindings={"dq": bias})
    same_gradients((q, k, v, sink, bias), (named,), (expected,), 5e-5)


def test_gradients_beside_dropout():
    torch.manual_seed(3)
    q, k, v = (normal(2, 24, 3, 16) for _ in range(3))
    state = (5, 6)
    stays = kept(0.3, 2, 3, 24, 24, state)
    out = flash_attn_func(q, k, v, 0.3, causal=True, rng_state=state)
    same_gradients((q, k, v), (out,), definition(q, k, v, causal=True, stays=stays, p=0.3)[:1])
    of_mlx = flash_attn_mlx.flash_attn_func(q, k, v, 0.3, causal=True)
    stays = kept(0.3, 2, 3, 24, 24, (0x1BF58, 0x1D4B49))
    same_gradients((q, k, v), (of_mlx,), definition(q, k, v, causal=True, stays=stays, p=0.3)[:1])


def test_dropout_draws_from_torchs_generator():
    q, k, v = (normal(1, 24, 2, 16, grad=False) for _ in range(3))
    torch.manual_seed(5)
    first, second = (flash_attn_func(q, k, v, 0.3) for _ in range(2))
    torch.manual_seed(5)
    assert torch.equal(flash_attn_func(q, k, v, 0.3), first) and not torch.equal(first, second)


def test_gradients_of_packed_tensors():
    torch.manual_seed(4)
    qkv, kv, q = normal(2, 20, 3, 2, 16), normal(2, 25, 2, 2, 16), normal(2, 20, 2, 16)
    same_gradients((qkv,), (flash_attn_qkvpacked_func(qkv, causal=True),), definition(*qkv.unbind(2), causal=True)[:1])
    same_gradients((q, kv), (flash_attn_kvpacked_func(q, kv),), definition(q, *kv.unbind(2))[:1])


@pytest.mark.covers("P16")
@pytest.mark.parametrize("causal", [False, True])
def test_gradients_of_packed_sequences(causal):
    torch.manual_seed(5)
    lengths = [(5, 9), (0, 4), (12, 12), (7, 0), (1, 3)]
    cu_q, cu_k = (torch.tensor([0, *np.cumsum([pair[n] for pair in lengths])], dtype=torch.int32) for n in (0, 1))
    q, k, v = normal(25, 4, 16), normal(28, 2, 16), normal(28, 2, 16)
    expected = torch.cat([definition(*(x[None] for x in (q[a:b], k[c:d], v[c:d])), causal=causal and b - a > 1)[0][0] if d > c else 0 * q[a:b].double()
                          for a, b, c, d in zip(cu_q[:-1], cu_q[1:], cu_k[:-1], cu_k[1:])])
    out = flash_attn_varlen_func(q, k, v, cu_q, cu_k, 12, 12, causal=causal)
    same_gradients((q, k, v), (out,), (expected,))
    kv = torch.stack([k, v], 1).detach().requires_grad_()
    same_gradients((q, kv), (flash_attn_varlen_kvpacked_func(q, kv, cu_q, cu_k, 12, 12),), (flash_attn_varlen_func(q, *kv.unbind(1), cu_q, cu_k),))
    qkv = normal(25, 3, 2, 8)
    same_gradients((qkv,), (flash_attn_varlen_qkvpacked_func(qkv, cu_q, 12, causal=causal),),
                   (flash_attn_varlen_func(*qkv.unbind(1), cu_q, cu_q, causal=causal),))
    reference = flash_attn_mlx.flash_attn_varlen_func(q, k, v, cu_q.tolist(), cu_k.tolist(), 12, 12, causal=causal, reference=True)
    same_gradients((q, k, v), (reference,), (expected,))


def test_only_what_is_asked_for_has_gradients():
    q, k, v = (normal(1, 8, 2, 8, grad=False) for _ in range(3))
    assert not flash_attn_func(q, k, v).requires_grad
    k.requires_grad_()
    with torch.no_grad():
        assert not flash_attn_func(q, k, v).requires_grad
    out = flash_attn_func(q, k, v)
    out.sum().backward()  # a gradient that is one number, expanded
    expected = torch.autograd.grad(definition(q, k, v)[0].sum(), k)[0]
    close(k.grad, expected, 1e-5)
    assert q.grad is None and v.grad is None
    (gradient,) = torch.autograd.grad(flash_attn_func(q, k, v).square().sum(), k, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable|differentiat"):
        gradient.sum().backward()


@pytest.mark.covers("E08")
def test_five_steps_of_training():
    torch.manual_seed(42)
    q, k, v, target = (torch.randn(1, 256, 4, 64) for _ in range(4))
    losses = []
    for _ in range(5):
        q = q.detach().requires_grad_()
        loss = ((flash_attn_func(q, k, v, causal=True).double() - target) ** 2).mean()
        (dq,) = torch.autograd.grad(loss, q)
        (right,) = torch.autograd.grad(((definition(q, k, v, causal=True)[0] - target) ** 2).mean(), q)
        assert (dq - right).abs().max() <= 1e-5 * right.abs().max()
        losses.append(loss.item())
        q = q - 0.01 * dq
    assert all(after < before for before, after in zip(losses, losses[1:]))


def test_caches_and_pages_of_tensors():
    q, k, v = (normal(2, 3, 4, 16, grad=False) for _ in range(3))
    k_cache, v_cache = torch.zeros(2, 10, 4, 16), torch.zeros(2, 10, 4, 16)
    out, lse, lengths = flash_attn_with_kvcache(q, k_cache, v_cache, k, v, cache_seqlens=torch.zeros(2, dtype=torch.int32), causal=True,
                                                return_softmax_lse=True, return_cache_seqlens=True)
    assert torch.equal(k_cache[:, :3], k) and torch.equal(v_cache[:, :3], v) and lengths.tolist() == [3, 3] and lse.shape == (2, 4, 3)
    close(out, definition(q, k, v, causal=True)[0], 1e-5)
    pages, table, before = torch.zeros(4, 4, 4, 16), torch.tensor([[0, 2], [3, 1]]), torch.tensor([0, 2], dtype=torch.int32)
    after = flash_attn_mlx.update_paged_kv_cache(pages, pages.clone(), k, v, table, before)
    assert after.dtype == torch.int32 and after.tolist() == [3, 5] and torch.equal(pages[0, :3], k[0]) and torch.equal(pages[1, 0], k[1, 2])
    assert flash_attn_mlx.validate_paged_kv_params(pages, pages, table.int(), 2) == (4, 2)


def test_layouts_of_tensors():
    x = normal(2, 3, 20, 4, 16, grad=False)
    q, k, v = x.unbind(1)
    plain = flash_attn_func(q.clone(), k.clone(), v.clone(), causal=True)
    assert torch.equal(flash_attn_func(q, k, v, causal=True), plain)
    columns = [y.transpose(1, 3).contiguous().transpose(1, 3) for y in (q, k, v)]
    assert columns[0].stride(-1) != 1 and torch.equal(flash_attn_func(*columns, causal=True), plain)
    assert torch.equal(flash_attn_func(*(y[:1].expand_as(y) for y in (q, k, v)), causal=True)[1], plain[0])


def test_flex_attention_has_gradients():
    torch.manual_seed(6)
    q, k, v, bias = normal(2, 20, 4, 16), normal(2, 20, 2, 16), normal(2, 20, 2, 16), normal(4, 20)

    def causal(b, h, i, j):
        return i >= j and i - j <= 9

    mask = create_block_mask(causal, 1, 1, 20, 20, 8)
    for masks in ({"mask_mod": causal}, {"block_mask": mask}):
        out, lse = flex_attention(q, k, v, score_mod=lambda s, b, h, i, j: s + bias[h, j], layout="bshd", return_lse=True, **masks)
        expected = definition(q, k, v, causal=True, window_size=(9, 0), score=lambda s: s + bias[:, None])
        close(out.detach(), expected[0].detach(), 1e-5)
        same_gradients((q, k, v, bias), (out, lse), expected, 5e-5)
    turned = flex_attention(*(x.transpose(1, 2) for x in (q, k, v)), mask_mod=causal, layout="bhsd").transpose(1, 2)
    same_gradients((q, k, v), (turned,), definition(q, k, v, causal=True, window_size=(9, 0))[:1])
    stays = kept(0.2, 2, 4, 20, 20, (1, 2))
    same_gradients((q, k, v), (flex_attention(q, k, v, dropout=0.2, layout="bshd", rng_state=(1, 2)),), definition(q, k, v, stays=stays, p=0.2)[:1])


@pytest.mark.covers("F10")
def test_the_module_with_parameters():
    torch.manual_seed(7)
    given = FlexAttention(hidden_size=128, num_heads=4, num_kv_heads=2, use_bias=True)
    module = given.to_torch()
    assert {name: tuple(p.shape) for name, p in module.named_parameters()} == {
        **{f"{name}.weight": shape for name, shape in (("q_proj", (128, 128)), ("k_proj", (64, 128)), ("v_proj", (64, 128)), ("o_proj", (128, 128)))},
        **{f"{name}.bias": (size,) for name, size in (("q_proj", 128), ("k_proj", 64), ("v_proj", 64), ("o_proj", 128))}}
    x = torch.randn(2, 16, 128)
    bias = lambda s, b, h, i, j: s + 0.1 * torch.exp(-abs(i - j) / 16)  # noqa: E731
    out = module(x, score_mod_fn=bias)
    close(out.detach(), given(x.numpy(), score_mod_fn=bias), 1e-5)
    close(out.detach(), given(x, score_mod_fn=bias), 1e-5)  # numpy's weights, torch's input

    def by_definition():
        heads = [getattr(module, f"{name}_proj")(x).double().view(2, 16, -1, 32) for name in "qkv"]
        added = 0.1 * torch.exp(-(torch.arange(16)[:, None] - torch.arange(16)).abs() / 16)
        context = definition(*heads, score=lambda s: s + added)[0].reshape(2, 16, 128)
        return context @ module.o_proj.weight.double().T + module.o_proj.bias

    same_gradients(tuple(module.parameters()), (out,), (by_definition(),), 5e-5)
    with_dropout = FlexAttention(64, 2, dropout=0.5).to_torch()
    x = torch.randn(1, 8, 64)
    assert not torch.equal(with_dropout(x), with_dropout(x))
    with_dropout.eval()
    assert torch.equal(with_dropout(x), with_dropout(x))


def test_flex_flash_infer_with_tensors():
    flex_flash = FlexFlashInfer()
    mask_fn = get_mask_fn("sliding_window", window_size=16)
    flex_flash.prepare(mask_fn=mask_fn, seq_len_q=128, seq_len_kv=128, num_qo_heads=8, num_kv_heads=2, head_dim=64, dtype=torch.float16)
    q, k, v = torch.randn(128, 8, 64).half(), torch.randn(128, 2, 64).half(), torch.randn(128, 2, 64).half()
    output, lse = flex_flash(q, k, v, return_lse=True)
    assert output.dtype == torch.float16
    expected = definition(q[None], k[None], v[None], causal=True, window_size=(16, 0))
    close(output, expected[0][0], 2e-3)
    close(lse, expected[1][0].T / np.log(2), 1e-4)
    at = torch.arange(128)
    assert torch.equal(mask_fn(at[:, None], at), torch.from_numpy(mask_of(128, 128, True, (16, 0))))


@pytest.mark.parametrize("sizes", [(0, 5), (5, 0)])
def test_gradients_of_no_queries_and_no_keys(sizes):
    q, k, v = normal(2, sizes[0], 4, 8), normal(2, sizes[1], 2, 8), normal(2, sizes[1], 2, 8)
    out = flash_attn_func(q, k, v, causal=True)
    assert out.shape == q.shape and not out.any()
    for gradient, x in zip(torch.autograd.grad(out.sum(), (q, k, v)), (q, k, v)):
        assert gradient.shape == x.shape and not gradient.any()


def test_rows_of_no_sequence_have_no_part():
    torch.manual_seed(8)
    cu_q, cu_k = torch.tensor([0, 9, 20], dtype=torch.int32), torch.tensor([0, 12, 25], dtype=torch.int32)
    k, v = (torch.cat([normal(25, 2, 16, grad=False), torch.full((7, 2, 16), torch.nan)]).requires_grad_() for _ in range(2))
    q = normal(20, 4, 16)
    gradients = torch.autograd.grad(flash_attn_varlen_func(q, k, v, cu_q, cu_k, causal=True).square().sum(), (q, k, v))
    short = torch.autograd.grad(flash_attn_varlen_func(q, k[:25], v[:25], cu_q, cu_k, causal=True).square().sum(), (q, k, v))
    for one, other in zip(gradients, short):
        assert torch.equal(one, other)
    assert not gradients[1][25:].any() and not gradients[2][25:].any()


def test_a_captured_tensor_of_packed_sequences():
    torch.manual_seed(9)
    lengths = torch.tensor([33, 64, 5])
    cu = torch.tensor([0, 33, 97, 102], dtype=torch.int32)
    q, k, v = (normal(102, 2, 16) for _ in range(3))
    table = normal(64)
    out = flash_attn_varlen_func(q, k, v, cu, cu, score_mod=lambda s, b, h, i, j: s * 0.5 + table[j])
    expected = torch.cat([definition(*(x[None, a:a + n] for x in (q, k, v)), score=lambda s, n=n: s * 0.5 + table[:n])[0][0] for a, n in zip(cu, lengths)])
    same_gradients((q, k, v, table), (out,), (expected,), 5e-5)


@pytest.mark.parametrize("how", ["expanded", "sliced", "transposed"])
def test_gradients_that_come_in_lie_anyhow(how):
    torch.manual_seed(10)
    q, k, v = (normal(2, 20, 4, 16) for _ in range(3))
    out = flash_attn_func(q, k, v, causal=True)
    given = {"expanded": torch.randn(2, 20, 1, 1).expand_as(out), "sliced": torch.randn(2, 20, 4, 40)[..., 5:21],
             "transposed": torch.randn(2, 16, 4, 20).transpose(1, 3)}[how]
    dense = torch.autograd.grad(out, (q, k, v), given.clone(memory_format=torch.contiguous_format), retain_graph=True)
    for one, other in zip(torch.autograd.grad(out, (q, k, v), given), dense):
        assert torch.equal(one, other)


@pytest.mark.parametrize("layout", ["bshd", "bhsd"])
def test_as_many_heads_as_tokens(layout):
    torch.manual_seed(11)
    q, k, v = (normal(2, 16, 16, 8) for _ in range(3))
    turned = [x if layout == "bshd" else x.transpose(1, 2) for x in (q, k, v)]
    out = flex_attention(q, k, v, mask_mod=lambda b, h, i, j: i >= j, layout=layout)
    expected = definition(*turned, causal=True)[0]
    same_gradients((q, k, v), (out,), (expected if layout == "bshd" else expected.transpose(1, 2),))


@pytest.mark.parametrize("changed", ["q", "v", "slopes", "cu", "table"])
def test_what_changes_before_the_backward_pass_is_seen(changed):
    held = {"q": normal(10, 2, 8), "v": normal(10, 2, 8), "slopes": torch.ones(2), "cu": torch.tensor([0, 4, 10], dtype=torch.int32), "table": normal(10)}
    table = held["table"]
    out = flash_attn_varlen_func(held["q"], held["v"], held["v"], held["cu"], held["cu"], alibi_slopes=held["slopes"],
                                 score_mod=lambda s, b, h, i, j: s + table[j])
    with torch.no_grad():
        held[changed].add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


def test_an_append_to_a_cache_is_seen():
    k_cache, v_cache, k = torch.zeros(1, 8, 2, 8), torch.zeros(1, 8, 2, 8), normal(1, 1, 2, 8, grad=False)
    scale = torch.ones(1, requires_grad=True)
    used = (k_cache * scale).sum()
    flash_attn_with_kvcache(k, k_cache, v_cache, k, k, cache_seqlens=0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        used.backward()


def test_what_is_elsewhere_is_named():
    q = torch.empty(1, 8, 2, 8, device="meta")
    with pytest.raises(TypeError, match="q: not in the memory of the processor|q: no memory"):
        flash_attn_func(q, q, q)
