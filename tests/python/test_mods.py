"""Every mod of mods.py: forward and lse equal PyTorch's eager flex_attention, gradients those of dense attention by autograd."""
import pytest

torch = pytest.importorskip("torch", reason="no torch here")

import torch.nn.attention.flex_attention as theirs  # noqa: E402
from mods import BATCH, HEADS, INSTEAD, LENGTH, MADE  # noqa: E402
from torch._dynamo._trace_wrapped_higher_order_op import TransformGetItemToIndex  # noqa: E402

import flexjit.torch as ours  # noqa: E402

DIM = 16


def inputs(dtype=torch.float32, seed=7):
    made = torch.randn(4, BATCH, HEADS, LENGTH, DIM, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return [x.to(dtype) for x in made]


def dense(q, k, v, score_mod, mask_mod):
    """PyTorch's eager definition, with autograd: flex_attention itself refuses gradients on processors."""
    scores = q @ k.mT * DIM ** -0.5
    at = [torch.arange(n) for n in (BATCH, HEADS, LENGTH, LENGTH)]
    with TransformGetItemToIndex():
        if score_mod is not None:
            scores = theirs._vmap_for_bhqkv(score_mod, prefix=(0,))(scores, *at)
        if mask_mod is not None:
            allowed = theirs._vmap_for_bhqkv(mask_mod, prefix=())(*at)
            scores = torch.where(allowed, scores, -torch.inf)
    some = (scores > -torch.inf).any(-1, keepdim=True)
    scores = torch.where(some, scores, 0.0)
    weights = torch.where(some, torch.softmax(scores, -1), 0.0)
    return weights @ v, torch.where(some[..., 0], torch.logsumexp(scores, -1), -torch.inf)


def held(function, found=None):
    """The float tensors with gradients that a mod holds, wherever they are."""
    import functools

    found = {} if found is None else found
    if isinstance(function, functools.partial):
        for part in (function.func, *function.args, *function.keywords.values()):
            held(part, found)
    elif isinstance(function, torch.Tensor) and function.requires_grad:
        found[id(function)] = function
    elif isinstance(function, (tuple, list)):
        for part in function:
            held(part, found)
    elif isinstance(getattr(function, "__self__", None), torch.nn.Module):
        held(list(function.__self__.parameters()), found)
    for cell in getattr(function, "__closure__", None) or ():
        held(cell.cell_contents, found)
    return list(found.values())


def close(ours, theirs, what, tolerance=3e-5):
    same = (ours == theirs) | ((ours - theirs).abs() <= tolerance * (1 + theirs.abs().clamp(max=1e30)))
    assert same.all(), f"{what}: largest difference {(ours - theirs).abs().nan_to_num(0, 0, 0).max()}"


@pytest.mark.parametrize("name", MADE)
def test_mod(name):
    score_mod, mask_mod = MADE[name]()
    q, k, v, weight = inputs()
    block_mask = None if mask_mod is None else ours.create_block_mask(mask_mod, BATCH, HEADS, LENGTH, LENGTH, device="cpu", BLOCK_SIZE=16)
    theirs_mods = INSTEAD[name]() if name in INSTEAD else (score_mod, mask_mod)
    results = []
    for attend, mods in ((lambda *x: ours.flex_attention(*x, score_mod, block_mask, return_lse=True), (score_mod, mask_mod)),
                         (lambda *x: dense(*x, *theirs_mods), theirs_mods)):
        captured = held(mods)
        leaves = [x.clone().requires_grad_() for x in (q, k, v)]
        out, lse = attend(*leaves)
        loss = (out * weight).sum() + 0.1 * torch.where(lse > -torch.inf, lse, 0.0).sum()
        results.append((out.detach(), lse.detach(), torch.autograd.grad(loss, [*leaves, *captured], allow_unused=True)))
    (out, lse, grads), (their_out, their_lse, their_grads) = results
    close(out, their_out, "out")
    close(lse, their_lse, "lse")
    for what, mine, theirs_ in zip(("q", "k", "v", *(f"captured {tuple(x.shape)}" for x in captured)), grads, their_grads, strict=True):
        if theirs_ is not None or mine is not None:
            close(torch.zeros_like(theirs_) if mine is None else mine, torch.zeros_like(mine) if theirs_ is None else theirs_, f"gradient of {what}", 2e-4)


@pytest.mark.parametrize("name", [name for name in list(MADE)[::4] if name not in INSTEAD])
def test_block_mask_and_forward_equal_pytorchs(name, monkeypatch):
    monkeypatch.setattr(theirs, "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", True)
    score_mod, mask_mod = MADE[name]()
    q, k, v, _ = inputs()
    masks = [None, None]
    if hasattr(mask_mod, "__self__") or mask_mod is not None and not hasattr(mask_mod, "__code__"):
        pytest.skip("PyTorch's create_block_mask takes plain functions alone")
    if mask_mod is not None:
        masks = [module.create_block_mask(mask_mod, BATCH, HEADS, LENGTH, LENGTH, device="cpu", BLOCK_SIZE=16) for module in (ours, theirs)]
        for field in ("kv_num_blocks", "full_kv_num_blocks", "q_num_blocks", "full_q_num_blocks", "kv_indices", "full_kv_indices", "q_indices"):
            assert torch.equal(getattr(masks[0], field), getattr(masks[1], field)), field
        assert masks[0].shape == masks[1].shape and masks[0].sparsity() == pytest.approx(masks[1].sparsity())
        assert torch.equal(masks[0].to_dense(), masks[1].to_dense()) and masks[0].to_string() == masks[1].to_string()
    with torch.no_grad():
        out, lse = ours.flex_attention(q, k, v, score_mod, masks[0], return_lse=True)
        their_out, their_lse = theirs.flex_attention(q, k, v, score_mod, masks[1], return_lse=True)
    close(out, their_out, "out")
    close(lse, their_lse, "lse")


def test_there_are_enough():
    assert len(MADE) >= 80
