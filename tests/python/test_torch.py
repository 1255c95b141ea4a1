"""What PyTorch's flex_attention promises beside its mods: arguments, aux outputs, autograd, autocast, torch.func, BlockMask's parts."""
import copy
import gc
import pickle
import weakref

import pytest

torch = pytest.importorskip("torch", reason="no torch here")

import torch.nn.attention.flex_attention as theirs  # noqa: E402
import torch.nn.functional as F  # noqa: E402

import flexjit  # noqa: E402
from flexjit.torch import (AuxRequest, BlockMask, and_masks, create_block_mask, create_mask, flex_attention, noop_mask,  # noqa: E402
                           or_masks)


def causal(b, h, q_idx, kv_idx):
    return q_idx >= kv_idx


def inputs(batch=2, heads=4, kv_heads=4, length=64, dim=16, dtype=torch.float32, grad=False):
    torch.manual_seed(0)
    shapes = (batch, heads, length, dim), (batch, kv_heads, length, dim), (batch, kv_heads, length, dim)
    return [torch.randn(shape, dtype=torch.float64).to(dtype).requires_grad_(grad) for shape in shapes]


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.float64, 1e-12), (torch.bfloat16, 2e-2), (torch.float16, 2e-3)])
def test_equals_sdpa(dtype, tolerance):
    q, k, v = inputs(kv_heads=2, dtype=dtype)
    mask = create_block_mask(causal, None, None, 64, 64)
    out = flex_attention(q, k, v, block_mask=mask, enable_gqa=True)
    assert out.dtype == dtype
    torch.testing.assert_close(out, F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True), rtol=tolerance, atol=tolerance)


def test_names_are_theirs():
    import inspect

    import flexjit.torch as ours

    assert set(theirs.__all__) <= set(dir(ours))
    for name in ("flex_attention", "create_block_mask", "create_mask", "and_masks", "or_masks", "noop_mask"):
        assert list(inspect.signature(getattr(ours, name)).parameters) == list(inspect.signature(getattr(theirs, name)).parameters)
    masks = [create(causal, 1, 2, 300, 300, "cpu") for create in (create_block_mask, theirs.create_block_mask)]
    public = [{name for name in dir(mask) if not name.startswith("_")} for mask in masks]
    assert public[1] <= public[0]
    for name in public[1]:
        mine, other = (getattr(mask, name) for mask in masks)
        if callable(other) and name != "mask_mod":
            assert list(inspect.signature(mine).parameters) == list(inspect.signature(other).parameters)
        elif isinstance(other, torch.Tensor):
            assert mine.dtype == other.dtype and mine.shape == other.shape
    torch.testing.assert_close(masks[0]._adjust(200, 130).to_dense(), masks[1]._adjust(200, 130).to_dense())
    torch.testing.assert_close(masks[0].to_dense(), masks[1].to_dense())
    assert masks[0].sparsity() == masks[1].sparsity() and masks[0].shape == masks[1].shape and masks[0].numel() == masks[1].numel()
    torch.testing.assert_close(create_mask(causal, 1, 2, 30, 40, "cpu"), theirs.create_mask(causal, 1, 2, 30, 40, "cpu"))


# What PyTorch's documentation and its article on flex_attention show, in our own words: each a score_mod, a mask_mod, and what both mean.
slopes, document = torch.exp2(-torch.arange(1, 9.0)), torch.arange(128) // 40
EXAMPLES = {
    "none": (lambda score, b, h, q_idx, kv_idx: score, None, lambda s, h, i, j: s),
    "relative positions": (lambda score, b, h, q_idx, kv_idx: score + (q_idx - kv_idx), None, lambda s, h, i, j: s + (i - j)),
    "ALiBi": (lambda score, b, h, q_idx, kv_idx: score + slopes[h] * (kv_idx - q_idx), causal,
              lambda s, h, i, j: torch.where(i >= j, s + slopes[h] * (j - i), -torch.inf)),
    "softcap": (lambda score, b, h, q_idx, kv_idx: 20 * torch.tanh(score / 20), None, lambda s, h, i, j: 20 * torch.tanh(s / 20)),
    "causal by score": (lambda score, b, h, q_idx, kv_idx: torch.where(q_idx >= kv_idx, score, -float("inf")), None,
                        lambda s, h, i, j: torch.where(i >= j, s, -torch.inf)),
    "sliding window": (None, and_masks(causal, lambda b, h, q_idx, kv_idx: q_idx - kv_idx <= 32),
                       lambda s, h, i, j: torch.where((i >= j) & (i - j <= 32), s, -torch.inf)),
    "prefix": (None, or_masks(causal, lambda b, h, q_idx, kv_idx: kv_idx < 50), lambda s, h, i, j: torch.where((i >= j) | (j < 50), s, -torch.inf)),
    "documents": (None, and_masks(causal, lambda b, h, q_idx, kv_idx: document[q_idx] == document[kv_idx]),
                  lambda s, h, i, j: torch.where((i >= j) & (document[i] == document[j]), s, -torch.inf)),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_documentation_examples(name):
    score_mod, mask_mod, meaning = EXAMPLES[name]
    query, key, value = inputs(1, 8, 8, 128, 64)
    block_mask = create_block_mask(mask_mod, None, None, 128, 128) if mask_mod else None
    out, aux = flex_attention(query, key, value, score_mod=score_mod, block_mask=block_mask, return_aux=AuxRequest(lse=True))
    h, i, j = torch.arange(8)[:, None, None], torch.arange(128)[:, None], torch.arange(128)
    scores = meaning(query @ key.mT / 8, h, i, j)
    torch.testing.assert_close(out, scores.softmax(-1) @ value, rtol=2e-5, atol=2e-5)
    torch.testing.assert_close(aux.lse, scores.logsumexp(-1))


def test_their_block_mask_is_taken_by_its_lists():
    query, key, value = inputs(1, 8, 8, 128, 64)
    block_mask = create_block_mask(causal, 1, 1, 128, 128, device="cpu")
    compact = theirs.create_block_mask(causal, 1, 1, 128, 128, device="cpu")
    torch.testing.assert_close(flex_attention(query, key, value, block_mask=_taken(compact)), flex_attention(query, key, value, block_mask=block_mask))


def _taken(other):
    return BlockMask.from_kv_blocks(other.kv_num_blocks, other.kv_indices, other.full_kv_num_blocks, other.full_kv_indices,
                                    BLOCK_SIZE=other.BLOCK_SIZE, mask_mod=other.mask_mod, seq_lengths=other.seq_lengths)


def test_aux_outputs():
    q, k, v = inputs()
    out, aux = flex_attention(q, k, v, return_aux=AuxRequest(lse=True, max_scores=True))
    scores = q @ k.mT / 4
    torch.testing.assert_close(aux.lse, scores.logsumexp(-1))
    torch.testing.assert_close(aux.max_scores, scores.amax(-1))
    assert flex_attention(q, k, v, return_aux=AuxRequest())[1] == (None, None)
    with pytest.raises(ValueError, match="both return_lse and return_aux"):
        flex_attention(q, k, v, return_lse=True, return_aux=AuxRequest(lse=True))


@pytest.mark.parametrize("dtype", [torch.float64])
def test_gradcheck(dtype):
    q, k, v = inputs(1, 2, 2, 6, 4, dtype, True)
    bias = torch.randn(2, 6, 6, dtype=dtype, requires_grad=True)
    mask = create_block_mask(causal, None, None, 6, 6)
    for slow in (False, True):
        def attend(q, k, v, bias):
            return flex_attention(q, k, v, lambda s, b, h, i, j: s * 1.5 + bias[h, i, j].tanh(), mask, return_lse=True)

        assert torch.autograd.gradcheck(attend, (q, k, v, bias), fast_mode=not slow)


def test_bfloat16_gradients():
    leaves = inputs(dtype=torch.bfloat16, grad=True)
    mask = create_block_mask(causal, None, None, 64, 64)
    flex_attention(*leaves, block_mask=mask).sum().backward()
    exact = [x.detach().float().requires_grad_() for x in leaves]
    F.scaled_dot_product_attention(*exact, is_causal=True).sum().backward()
    for one, other in zip(leaves, exact):
        assert one.grad.dtype == torch.bfloat16
        torch.testing.assert_close(one.grad.float(), other.grad, rtol=5e-2, atol=5e-2)


def test_what_was_changed_in_place_before_backward_raises():
    for which in range(5):
        q, k, v = (x * 1 for x in inputs(grad=True))
        table = torch.ones(4, requires_grad=True) * 1
        out = flex_attention(q, k, v, lambda s, b, h, i, j: s * table[h])
        (q, k, v, table, out)[which].add_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            out.sum().backward()


def test_double_backward_raises():
    q, k, v = inputs(grad=True)
    grad, = torch.autograd.grad(flex_attention(q, k, v).sum(), q, create_graph=True)
    with pytest.raises(RuntimeError):
        grad.sum().backward()


def test_torch_func():
    q, k, v = inputs()
    mod = lambda s, b, h, i, j: s - 0.1 * (i - j).abs()  # noqa: E731
    grads = torch.func.grad(lambda q, k, v: flex_attention(q, k, v, mod).square().sum(), (0, 1, 2))(q, k, v)
    leaves = [x.clone().requires_grad_() for x in (q, k, v)]
    flex_attention(*leaves, mod).square().sum().backward()
    for one, leaf in zip(grads, leaves):
        torch.testing.assert_close(one, leaf.grad)
    stacked = [torch.stack([x, 2 * x]) for x in (q, k, v)]
    both = torch.func.vmap(lambda *x: flex_attention(*x, mod))(*stacked)
    torch.testing.assert_close(both[1], flex_attention(2 * q, 2 * k, 2 * v, mod))


def test_autocast():
    q, k, v = inputs()
    with torch.autocast("cpu", torch.bfloat16):
        assert flex_attention(q, k, v.bfloat16()).dtype == torch.bfloat16
    with pytest.raises(ValueError, match="same dtype"):
        flex_attention(q, k, v.bfloat16())


def test_memory_and_cycles():
    q, k, v = inputs(grad=True)
    out = flex_attention(q, k, v)
    kept = weakref.ref(out)
    del out
    assert kept() is None  # without a collection: no cycle

    table = torch.ones(4)
    mod = lambda s, b, h, i, j: s * table[h]  # noqa: E731
    first = flex_attention(q, k, v, mod)
    kept = weakref.ref(table)
    del mod, table
    gc.collect()
    assert kept() is not None  # by the graph
    del first
    gc.collect()
    assert kept() is None


def test_layouts():
    q, k, v = inputs()
    expected = flex_attention(q, k, v)
    apart = [x.transpose(1, 2).contiguous().transpose(1, 2) for x in (q, k, v)]
    assert torch.equal(flex_attention(*apart), expected)
    assert torch.equal(flex_attention(*[x.mT.contiguous().mT for x in (q, k, v)]), expected)
    one = k[:1].expand(2, -1, -1, -1)
    torch.testing.assert_close(flex_attention(q, one, one), F.scaled_dot_product_attention(q, one, one))


def test_parameters_and_bool_masks_as_captures():
    q, k, v = inputs()
    weight, allowed = torch.nn.Parameter(torch.linspace(0.5, 1, 4)), torch.rand(64, 64) > 0.4
    mask = create_block_mask(lambda b, h, i, j: allowed[i, j] | (i == j), None, None, 64, 64)
    out = flex_attention(q, k, v, lambda s, b, h, i, j: s * weight[h], mask)
    expected = F.scaled_dot_product_attention(q * weight.detach()[:, None, None], k, v, attn_mask=allowed | torch.eye(64).bool())
    torch.testing.assert_close(out.detach(), expected)
    with torch.no_grad():
        assert not flex_attention(q, k, v, lambda s, b, h, i, j: s * weight[h], mask).requires_grad


def test_inside_torch_compile():
    q, k, v = inputs(grad=True)
    attend = torch.compile(lambda q, k, v: flex_attention(q * 2, k, v, lambda s, b, h, i, j: s - 0.1 * (i - j).abs()) + 1, backend="aot_eager")
    out = attend(q, k, v)
    torch.testing.assert_close(out, flex_attention(q * 2, k, v, lambda s, b, h, i, j: s - 0.1 * (i - j).abs()) + 1)
    out.sum().backward()
    assert q.grad.abs().sum() > 0


def test_wrong_arguments():
    q, k, v = inputs()
    with pytest.raises(ValueError, match="enable_gqa"):
        flex_attention(q, k[:, :2], v[:, :2])
    with pytest.raises(NotImplementedError, match="4D"):
        flex_attention(q[0], k, v)
    with pytest.raises(ValueError, match="processor"):
        flex_attention(q.to("meta"), k, v)
    with pytest.raises(RuntimeError, match="create a new block mask"):
        flex_attention(q, k, v, block_mask=create_block_mask(causal, None, None, 32, 64))
    with pytest.raises(flexjit.TraceError, match="test_torch.py"):
        flex_attention(q, k, v, lambda s, b, h, i, j: s if i > j else s * 2)
    with pytest.raises(TypeError, match="score_mod takes 5"):
        flex_attention(q, k, v, causal)
    with pytest.raises(AssertionError, match="mask_mod"):
        create_block_mask(lambda s, b, h, i, j: s, None, None, 8, 8)
    sparse = torch.eye(4).to_sparse()
    with pytest.raises((flexjit.Error, TypeError, RuntimeError)):
        flex_attention(q, k, v, lambda s, b, h, i, j: s + sparse[h, h])
    with pytest.raises(ZeroDivisionError):
        flex_attention(q, k, v, lambda s, b, h, i, j: s / (1 // 0))


def test_block_mask_parts():
    mask = create_block_mask(and_masks(causal, or_masks(lambda b, h, i, j: i - j < 40, lambda b, h, i, j: j < 5)), 2, 3, 300, 300, BLOCK_SIZE=(64, 32))
    assert mask.shape == (2, 3, 300, 300) and mask.kv_num_blocks.shape == (2, 3, 5) and mask.kv_indices.shape == (2, 3, 5, 10)
    part = mask[0, 1:, -1]
    assert part.shape == (1, 2, 300 - 256, 300) and torch.equal(part.kv_indices, mask.kv_indices[:1, 1:, -1:])
    with pytest.raises(RuntimeError, match="sliced BlockMask"):
        flex_attention(*inputs(), block_mask=create_block_mask(causal, None, None, 64, 64)[0])
    assert "sparsity" in repr(mask) and "█" in str(mask) and mask.numel() == 2 * 3 * 300 * 300
    again = pickle.loads(pickle.dumps(create_block_mask(causal, None, None, 64, 64)))
    assert torch.equal(again.kv_indices, create_block_mask(causal, None, None, 64, 64).kv_indices)
    copied = copy.deepcopy(mask)
    assert torch.equal(copied.full_kv_indices, mask.full_kv_indices)
    dense = create_mask(causal, 1, 2, 5, 7)
    assert dense.shape == (1, 2, 5, 7) and torch.equal(dense[0, 0], torch.ones(5, 7).tril().bool())
    assert create_mask(lambda s, b, h, i, j: torch.where(i > j, s, -float("inf")), 1, 1, 4, 4).sum() == 6
    assert create_block_mask(noop_mask, None, None, 256, 256).sparsity() == 0
    undecided = create_block_mask(causal, None, None, 256, 256, separate_full_blocks=False)
    assert undecided.full_kv_indices is None and undecided.kv_num_blocks.tolist() == [[[1, 2]]]


def test_lists_decide_which_blocks_are_visited():
    q, k, v = inputs(length=64)
    counts, indices = torch.ones(1, 1, 4, dtype=torch.int32), torch.arange(4, dtype=torch.int32).view(1, 1, 4, 1)
    mask = BlockMask.from_kv_blocks(counts, torch.cat([indices, indices.new_zeros(1, 1, 4, 3)], -1), BLOCK_SIZE=16)
    blocks = torch.block_diag(*[torch.ones(16, 16)] * 4).bool()
    torch.testing.assert_close(flex_attention(q, k, v, block_mask=mask), F.scaled_dot_product_attention(q, k, v, attn_mask=blocks))
    mask.mask_mod = causal
    torch.testing.assert_close(flex_attention(q, k, v, block_mask=mask), F.scaled_dot_product_attention(q, k, v, attn_mask=blocks.tril()))
    mask.kv_num_blocks[0, 0, 0] = 0
    assert (flex_attention(q, k, v, block_mask=mask)[:, :, :16] == 0).all()


def test_ours_beside_their_openmp():
    with open("/proc/self/maps") as maps:
        libraries = {line.split()[-1] for line in maps if ".so" in line}
    flexjit.attention(*inputs())
    with open("/proc/self/maps") as maps:
        assert {line.split()[-1] for line in maps if "omp" in line and ".so" in line} <= libraries
