"""context_parallel on three processes beside attention by its definition over the whole, forward and backward."""
import os
import socket

import pytest

torch = pytest.importorskip("torch", reason="no torch here")

import torch.distributed as dist  # noqa: E402
import torch.multiprocessing as mp  # noqa: E402

RANKS, BATCH, HEADS, KV_HEADS, DIM, V_DIM = 3, 2, 4, 2, 16, 8


def cases():
    """(score_mod, mask_mod, length, tensors that are captured and have gradients) by name."""
    documents = torch.tensor([0] * 40 + [1] * 3 + [2] * 77 + [3] * 83)
    slopes, bias = torch.tensor([0.01, 0.02, 0.03, 0.04], requires_grad=True), torch.linspace(-1, 1, HEADS * 19).view(HEADS, 19).requires_grad_()

    def of_documents(b, h, q, k):
        return (documents[q] == documents[k]) & (q >= k)

    def learned(score, b, h, q, k):
        return score - slopes[h] * (q - k).abs() + bias[h, (q - k).clamp(-9, 9) + 9]

    return {"learned, in documents": (learned, of_documents, 203, [slopes, bias]), "window": (None, lambda b, h, q, k: (q - k).abs() <= 20, 203, []),
            "two tokens": (None, lambda b, h, q, k: (q - k).abs() <= 20, 2, []), "all masked": (None, lambda b, h, q, k: k > q + 1000, 70, [])}


def by_definition(q, k, v, score_mod, mask_mod):
    """(out, lse) in float64."""
    b, h, i, j = (torch.arange(n).view([-1 if d == at else 1 for d in range(4)]) for at, n in enumerate((BATCH, HEADS, q.size(2), q.size(2))))
    k, v = k.repeat_interleave(HEADS // KV_HEADS, 1), v.repeat_interleave(HEADS // KV_HEADS, 1)
    scores = q @ k.transpose(-1, -2) * DIM**-0.5
    if score_mod is not None:
        scores = score_mod(scores, b, h, i, j)
    allowed = mask_mod(b, h, i, j).expand(scores.shape)
    scores = torch.where(allowed, scores, -torch.inf)
    weights = torch.where(allowed.any(-1, keepdim=True), scores, 0).softmax(-1) * allowed
    return weights @ v, scores.logsumexp(-1)


def is_whole(name, score_mod, mask_mod, length, captured, dtype=torch.float32, tolerance=1e-5):
    from flexjit.torch import context_parallel

    torch.manual_seed(5)
    whole = [torch.randn(BATCH, heads, length, dim).to(dtype).double().requires_grad_() for heads, dim in ((HEADS, DIM), (KV_HEADS, DIM), (KV_HEADS, V_DIM))]
    out, lse = by_definition(*whole, score_mod, mask_mod)
    grad_out, grad_lse = torch.randn(out.shape), torch.randn(lse.shape)
    grads = torch.autograd.grad((out, lse.nan_to_num(neginf=0)), [*whole, *captured], (grad_out.double(), grad_lse.double()))
    parallel = context_parallel(score_mod, mask_mod, length=length, q_heads=HEADS, kv_heads=KV_HEADS, batch=BATCH, block_size=1 if length < 10 else 16)
    parts = [parallel.shard(x.detach().to(dtype)).requires_grad_() for x in whole]
    found = [parallel(*parts, return_lse=True) for _ in range(2)]
    given = parallel.shard(grad_out).to(dtype), parallel.shard(grad_lse)
    found_grads = [torch.autograd.grad(one, [*parts, *captured], given) for one in found]
    close = {"rtol": tolerance, "atol": tolerance}
    torch.testing.assert_close(found[0][0].double(), parallel.shard(out), msg=f"out, {name}", **close)
    torch.testing.assert_close(found[0][1].double(), parallel.shard(lse), msg=f"lse, {name}", **close)
    for what, one, other, expected in zip(("q", "k", "v", "slopes", "bias"), *found_grads, grads):
        expected = parallel.shard(expected) if what in "qkv" else expected
        torch.testing.assert_close(one.double(), expected.double(), msg=lambda text: f"gradient of {what}, {name}: {text}", rtol=4 * tolerance, atol=4 * tolerance)
        assert torch.equal(one, other), name
    assert torch.equal(found[0][0], found[1][0]), name
    assert torch.equal(parallel.shard(parallel.unshard(found[0][0])), found[0][0])


def refuses_together():
    """What is wrong on one process is an error on all, and the next call works."""
    import flexjit
    from flexjit.torch import context_parallel

    last = dist.get_rank() == RANKS - 1
    with pytest.raises(ValueError, match="rank 2 gives another pattern"):
        context_parallel(None, "q_idx > kv_idx" if last else "q_idx >= kv_idx", length=64, q_heads=1, block_size=16)
    with pytest.raises(flexjit.Error if last else RuntimeError, match="nothing"):
        context_parallel(None, "q_idx >= nothing" if last else "q_idx >= kv_idx", length=64, q_heads=1, block_size=16)
    parallel = context_parallel(None, "q_idx >= kv_idx", length=64, q_heads=1, block_size=16)
    x = torch.zeros(1, 1, len(parallel.positions), 8)
    with pytest.raises(ValueError if last else RuntimeError, match="key has shape|says: key has shape"):
        parallel(x, x[:, :, 1:] if last else x, x)
    assert parallel(x, x, x).shape == x.shape


def one_rank(rank, port):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=rank, world_size=RANKS)
    torch.set_num_threads(1)
    for name, case in cases().items():
        is_whole(name, *case)
    is_whole("bfloat16", *cases()["window"], dtype=torch.bfloat16, tolerance=0.02)
    refuses_together()
    dist.destroy_process_group()


def test_three_processes_are_one(monkeypatch, tmp_path):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("FLEXJIT_CACHE_DIR", str(tmp_path))  # a kernel that one process compiled is there for the others
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.get_context("forkserver").set_forkserver_preload(["torch", "flexjit.torch"])  # once for all of them
    mp.start_processes(one_rank, (port,), RANKS, start_method="forkserver")
