"""test_pitfalls.py's rows that are about torch, and none of whose kinds the other files about torch have."""
import gc
import pickle
import resource
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch", reason="no torch here")

import flexjit  # noqa: E402
from flexjit.torch import create_block_mask, flex_attention, varlen_attn  # noqa: E402
from flexjit.torch import known  # noqa: E402


def inputs(length=16, grad=False):
    torch.manual_seed(0)
    return [torch.randn(1, 2, length, 8, requires_grad=grad) for _ in range(3)]


def grown(work, times):
    """KiB that the process grew by."""
    for _ in range(times // 5):
        work()
    gc.collect()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(times):
        work()
    gc.collect()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before


def test_b12_forward_calls_without_backward_leave_nothing():
    q, k, v = inputs(grad=True)
    assert grown(lambda: flex_attention(q, k, v, lambda s, b, h, i, j: s * 2), 1500) < 4096


def test_distinct_closures_leave_nothing():
    q, k, v = inputs()

    def work():
        table = torch.ones(2, 512)
        mod = lambda s, b, h, i, j: s * table[h, j]  # noqa: E731
        for _ in range(2):  # the second call is kept for others
            flex_attention(q, k, v, mod)

    assert grown(work, 10000) < 4096
    del work
    gc.collect()
    assert len(known.calls) <= known.KEPT


def test_a_kept_call_sees_all_that_changes():
    q, k, v = inputs()
    factor, table = 2.0, torch.tensor([1.0, 3.0])
    mod = lambda s, b, h, i, j: s * factor * table[h]  # noqa: E731
    mask = create_block_mask(lambda b, h, i, j: i >= j, None, None, 16, 16)

    def is_right(scale=8 ** -0.5):
        for _ in range(3):
            scores = (q @ k.mT * scale * factor * table.detach()[:, None, None]).masked_fill(~torch.ones(16, 16).tril().bool(), -float("inf"))
            torch.testing.assert_close(flex_attention(q, k, v, mod, mask, scale).detach(), scores.float().softmax(-1) @ v, rtol=1e-4, atol=1e-4)

    is_right()
    table[0] = 0.5
    is_right()
    factor = 0.25
    is_right()
    table = torch.tensor([2.0, 1.0])
    is_right()
    table = table.double()
    is_right()
    table = table.float()
    is_right(0.5)
    assert not flex_attention(q, k, v, mod, mask).requires_grad
    table.requires_grad_()
    assert flex_attention(q, k, v, mod, mask).requires_grad
    table.requires_grad_(False)
    q = q.transpose(2, 3).contiguous().transpose(2, 3)  # another inner stride
    is_right()
    k, v = k.clone(), v.clone()
    with torch.autocast("cpu", torch.bfloat16):
        assert flex_attention(q, k, v, mod, mask).dtype == torch.bfloat16
    with pytest.raises(ValueError, match="same dtype"):
        flex_attention(q.double(), k, v, mod, mask)
    with pytest.raises(ValueError, match="Hq=1 and Hkv=2"):
        flex_attention(q[:, :1], k, v, mod, mask)
    for _ in range(3):
        flex_attention(q, k[:, :1], v[:, :1], mod, mask, enable_gqa=True)
    with pytest.raises(ValueError, match="Hq=2 and Hkv=1"):
        flex_attention(q, k[:, :1], v[:, :1], mod, mask)
    with pytest.raises(RuntimeError, match="create a new block mask"):
        flex_attention(q[:, :, :8], k, v, mod, mask)
    mask.kv_num_blocks[:] = 0
    mask.full_kv_num_blocks[:] = 0
    assert (flex_attention(q, k, v, mod, mask) == 0).all()


def test_b18_mixed_element_types():
    q, k, v = inputs()
    with torch.autocast("cpu", torch.bfloat16):
        assert flex_attention(q, k, v.bfloat16()).dtype == torch.bfloat16
    with pytest.raises(ValueError, match="same dtype"):
        flex_attention(q, k, v.bfloat16())


def test_b19_no_dense_path_when_graphs_are_many():
    torch._dynamo.reset()
    compiled = torch.compile(lambda q, k, v, n: flex_attention(q, k, v, lambda s, b, h, i, j: s * n), backend="eager", dynamic=False)
    q, k, v = inputs(1024)
    with torch._dynamo.config.patch(recompile_limit=2):
        for n in (1.5, 2.5, 3.5, 4.5):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            out = compiled(q, k, v, n)
            torch.testing.assert_close(out, torch.nn.functional.scaled_dot_product_attention(q, k, v, scale=n * 8 ** -0.5), rtol=1e-4, atol=1e-5)
    del before
    before = flexjit.default_engine().stats()["compiles"]
    for length in range(16, 116):
        x = inputs(length)
        flex_attention(*x, lambda s, b, h, i, j: s * 1.75)
    assert flexjit.default_engine().stats()["compiles"] - before <= 2


def test_b21_pickling(tmp_path):
    local = create_block_mask((lambda n: lambda b, h, i, j: i >= j + n)(0), None, None, 16, 16)
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(local)
    text = create_block_mask("q_idx >= kv_idx", None, None, 16, 16)
    torch.save(text, tmp_path / "mask.pt")
    again = torch.load(tmp_path / "mask.pt", weights_only=False)
    x = inputs()
    assert torch.equal(flex_attention(*x, block_mask=again), flex_attention(*x, block_mask=text))


class Rows(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, n):
        return flex_attention(*inputs(), lambda s, b, h, i, j: s * 1.25)


def test_b39_workers_of_a_data_loader():
    expected = Rows()[0]
    for rows in torch.utils.data.DataLoader(Rows(), num_workers=2, multiprocessing_context="fork", timeout=60):
        assert torch.equal(rows[0], expected)


def test_b40_numbers_of_threads_are_left_alone():
    was = torch.get_num_threads()
    x = inputs(64)
    expected = flex_attention(*x)
    try:
        torch.set_num_threads(1)
        assert torch.equal(flex_attention(*x), expected) and torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(was)


def test_b37_b43_imported_before_torch():
    code = ("import flexjit, torch\nimport sys; sys.path[:0] = %r\nfrom flexjit.torch import flex_attention\n"
            "q = torch.arange(512.).view(1, 1, 8, 64) / 512; out = flex_attention(q, q, q, 'score * 2')\n"
            "try: flex_attention(q, q, q, 'score * nothing')\nexcept flexjit.Error as error: assert 'nothing' in str(error)\n"
            "maps = open('/proc/self/maps').read(); runtimes = {line.split()[-1] for line in maps.splitlines() if any(name in line for name in ('libgomp', 'libomp', 'libiomp'))}\n"
            "assert len(runtimes) <= 1, runtimes\nprint(float(out.double().sum()).hex())") % (sys.path,)
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env={"PYTHONPATH": ":".join(sys.path), "FLEXJIT_CACHE_DIR": ""})
    assert found.returncode == 0, found.stderr
    q = torch.arange(512.).view(1, 1, 8, 64) / 512
    assert found.stdout.strip() == float(flex_attention(q, q, q, "score * 2").double().sum()).hex()


def test_b5_an_offset_of_one_element():
    q, k, v = inputs()
    offset = torch.tensor([3])
    mask = create_block_mask(lambda b, h, i, j: i + offset >= j, None, None, 16, 16)
    allowed = torch.arange(16)[:, None] + 3 >= torch.arange(16)
    torch.testing.assert_close(flex_attention(q, k, v, None, mask), torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=allowed))
    assert mask.to_dense().dim() == 4


def test_negated_views_are_not_taken_for_their_memory():
    q, k, v = inputs()
    negated = torch._neg_view(k)
    with pytest.raises(TypeError, match="negated"):
        flexjit.attention(q, negated, v)
    bias = torch.view_as_complex(torch.randn(16, 2)).conj().imag
    with pytest.raises(TypeError, match="negated"):
        flex_attention(q, k, v, lambda s, b, h, i, j: s + bias[j])


def test_b13_as_many_gradients_as_arguments():
    q, k, v = inputs(grad=True)
    table = torch.ones(2, requires_grad=True)
    mask = create_block_mask(lambda b, h, i, j: i >= j, None, None, 16, 16)
    flex_attention(q, k, v, lambda s, b, h, i, j: s * table[h], mask).sum().backward()
    packed = [x[0].transpose(0, 1).detach().requires_grad_() for x in (q, k, v)]
    varlen_attn(*packed, *[torch.tensor([0, 9, 16], dtype=torch.int32)] * 2, 9, 9).sum().backward()
    assert all(x.grad is not None for x in (q, k, v, table, *packed))


number = 2.0


def test_a_kept_call_sees_globals_that_change_and_go():
    global number
    x = inputs()
    mod = lambda s, b, h, i, j: s * number  # noqa: E731
    for number in (2.0, 3.0):
        for _ in range(3):
            torch.testing.assert_close(flex_attention(*x, mod), torch.nn.functional.scaled_dot_product_attention(*x, scale=number * 8 ** -0.5))
    del number
    with pytest.raises(NameError):
        flex_attention(*x, mod)
