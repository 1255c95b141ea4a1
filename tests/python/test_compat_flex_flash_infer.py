"""flexjit.compat.flex_flash_infer on numpy arrays: a mask that is prepared once, and the command that tests one."""
import subprocess
import sys

import numpy as np
import pytest
from oracle import attention, close

import flexjit
from flexjit.compat.flex_flash_infer import FlexFlashInfer, MaskType, get_mask_fn, main

COUNTS = {("causal", None, None): 524800, ("sliding_window", 256, None): 230272, ("attamba", 256, 128): 231430, ("attamba", 8, 8): 72299,
          ("full", None, None): 1024 * 1024}


def tensors(q_len=1024, kv_len=1024, heads=8, kv_heads=8, dim=64, dtype=np.float16):
    random = np.random.default_rng(0)
    return [random.standard_normal(shape).astype(dtype) for shape in ((q_len, heads, dim), (kv_len, kv_heads, dim), (kv_len, kv_heads, dim))]


def expected(q, k, v, mask):
    args = [x.astype(np.float64).swapaxes(0, 1)[None] for x in (q, k, v)]
    out, lse = attention(*args, None, lambda b, h, i, j: mask(i, j))
    return out[0].swapaxes(0, 1), lse[0].T


@pytest.mark.covers("G02", "G05", "G08")
def test_quick_start():
    flex_flash = FlexFlashInfer()
    flex_flash.prepare(mask_fn=get_mask_fn("causal"), seq_len_q=1024, seq_len_kv=1024, num_qo_heads=8, num_kv_heads=8, head_dim=64, block_size_row=64,
                       block_size_col=64, dtype=np.float16)
    q, k, v = tensors()
    output = flex_flash(q, k, v)
    assert output.shape == (1024, 8, 64) and output.dtype == np.float16
    close(output, expected(q, k, v, lambda i, j: i >= j)[0], 2e-3)
    indptr, indices, data = flex_flash.bsr()
    assert indices.size == 136 and data.all((1, 2)).sum() == 120


def bsr_of(dense, rows, columns):
    """SciPy's definition, block by block."""
    blocks = dense.reshape(dense.shape[0] // rows, rows, dense.shape[1] // columns, columns).swapaxes(1, 2)
    indptr, indices, data = [0], [], []
    for row in blocks:
        for column, block in enumerate(row):
            if block.any():
                indices.append(column)
                data.append(block)
        indptr.append(len(indices))
    return indptr, indices, np.array(data).reshape(-1, rows, columns)


@pytest.mark.covers("G09", "G10", "G11", "G12")
@pytest.mark.parametrize("name, window_size, chunk_size", COUNTS)
def test_named_masks(name, window_size, chunk_size):
    mask = get_mask_fn(name, window_size=window_size, chunk_size=chunk_size)
    at = np.ogrid[:1024, :1024]
    dense = mask(*at)
    assert dense.sum() == COUNTS[name, window_size, chunk_size]
    assert get_mask_fn(MaskType(name), window_size, chunk_size).text == get_mask_fn(name.upper(), window_size, chunk_size).text == mask.text
    by_text, traced = FlexFlashInfer(), FlexFlashInfer()
    for handle, given in ((by_text, mask), (traced, lambda q_idx, kv_idx: mask(q_idx, kv_idx))):
        handle.prepare(given, num_heads=1, q_len=1024, kv_len=1024, head_dim=16)
        for found, right in zip(handle.bsr(), bsr_of(dense, 64, 64)):
            assert np.array_equal(found, right)


def test_names_that_are_none():
    with pytest.raises(ValueError, match="causal, sliding_window, attamba or full"):
        get_mask_fn("diagonal")
    for name, sizes in (("sliding_window", {}), ("attamba", {"window_size": 4}), ("attamba", {"chunk_size": 4})):
        with pytest.raises(ValueError, match="window_size|chunk_size"):
            get_mask_fn(name, **sizes)
    with pytest.raises(TypeError):
        get_mask_fn(5)


@pytest.mark.covers("G12")
def test_masks_of_the_caller():
    def custom_mask_fn(q_idx: np.ndarray, kv_idx: np.ndarray) -> np.ndarray:
        return (q_idx >= kv_idx) & (q_idx - kv_idx <= 256)

    documents = np.repeat(np.arange(8), 64).astype(np.int32)
    q, k, v = tensors(512, 512, 4, 4, 16, np.float32)
    for mask in (custom_mask_fn, lambda i, j: (documents[i] == documents[j]) & (i >= j)):
        handle = FlexFlashInfer()
        handle.prepare(mask, 4, 512, 512, head_dim=16, dtype="float32")
        close(handle(q, k, v), expected(q, k, v, mask)[0], 1e-5)
    by_text = FlexFlashInfer()
    by_text.prepare("(q_idx >= kv_idx) & (q_idx - kv_idx <= 256)", 4, 512, 512, head_dim=16, dtype=np.dtype("float32"))
    close(by_text(q, k, v), expected(q, k, v, custom_mask_fn)[0], 1e-5)


@pytest.mark.covers("G03")
def test_prepared_once():
    calls = 0

    def counted(q_idx, kv_idx):
        nonlocal calls
        calls += 1
        return q_idx >= kv_idx

    handle = FlexFlashInfer()
    handle.prepare(counted, 2, 64, 64, head_dim=16, dtype=np.float32)
    assert calls == 1
    for _ in range(3):
        q, k, v = tensors(64, 64, 2, 2, 16, np.float32)
        close(handle(q, k, v), expected(q, k, v, lambda i, j: i >= j)[0], 1e-5)
    assert calls == 1


@pytest.mark.covers("G06")
def test_lse_is_of_base_two():
    handle = FlexFlashInfer()
    handle.prepare("causal", 4, 100, 130, num_kv_heads=2, head_dim=32, dtype=np.float32)
    q, k, v = tensors(100, 130, 4, 2, 32, np.float32)
    out, lse = handle(q, k, v, return_lse=True)
    right = expected(q, k, v, lambda i, j: i >= j)
    assert lse.shape == (100, 4) and lse.dtype == np.float32
    close(out, right[0], 1e-5)
    close(lse, right[1] / np.log(2), 1e-5)


@pytest.mark.covers("G07")
def test_what_does_not_fit_is_named():
    handle = FlexFlashInfer()
    q, k, v = tensors(64, 64, 2, 2, 16)
    with pytest.raises(RuntimeError, match="prepare"):
        handle(q, k, v)
    with pytest.raises(ValueError, match="head_dim must be specified"):
        handle.prepare("causal", 2, 64, 64)
    with pytest.raises(ValueError, match="seq_len_kv"):
        handle.prepare("causal", 2, 64, head_dim=16)
    with pytest.raises(TypeError, match="seq_len_q and q_len"):
        handle.prepare("causal", 2, 64, 64, head_dim=16, q_len=64)
    with pytest.raises(ValueError, match="num_kv_heads"):
        handle.prepare("causal", 8, 64, 64, num_kv_heads=3, head_dim=16)
    with pytest.raises(ValueError, match="no element type"):
        handle.prepare("causal", 2, 64, 64, head_dim=16, dtype="float80")
    with pytest.raises(RuntimeError, match="prepare"):
        handle(q, k, v)
    handle.prepare("causal", 2, 64, 64, head_dim=16)
    for arguments, got in (((q[:60], k, v), 60), ((q, k[:50], v[:50]), 50)):
        with pytest.raises(AssertionError) as raised:
            handle(*arguments)
        assert str(got) in str(raised.value) and "64" in str(raised.value)
    with pytest.raises(flexjit.Error, match="heads"):
        handle(q[:, :1], k, v)
    with pytest.raises(flexjit.Error, match="f16"):
        handle(q.astype(np.float32), k, v)
    with pytest.raises(ValueError, match="cuda"):
        FlexFlashInfer(device="cuda")
    FlexFlashInfer(workspace_buffer=np.empty(8), device="cpu")


@pytest.mark.covers("G04", "G13", "G15", "G18", "G21")
def test_blocks_heads_scores_and_rows_without_keys():
    handle = FlexFlashInfer()
    handle.prepare("causal", 8, 1024, 1024, block_size_row=1, block_size_col=64, head_dim=16)
    assert handle.bsr()[1].size == 8704 and handle.bsr()[2].shape == (8704, 1, 64)
    for heads, kv_heads in ((8, 8), (8, 2), (32, 4)):
        q, k, v = tensors(70, 90, heads, kv_heads, 16, np.float32)  # no multiples of 64
        handle.prepare(get_mask_fn("sliding_window", 20), heads, 70, 90, num_kv_heads=kv_heads, head_dim=16, dtype=np.float32)
        close(handle(q, k, v), expected(q, k, v, lambda i, j: (i >= j) & (i - j <= 20))[0], 1e-5)
    handle.prepare("causal", 32, 70, 90, num_kv_heads=4, head_dim=16, dtype=np.float32, score_mod=lambda s, b, h, i, j: s * 0.25, sm_scale=2.0)
    close(handle(q, k, v), expected(q / 2 * np.sqrt(np.float32(16)), k, v, lambda i, j: i >= j)[0], 1e-5)
    handle.prepare(lambda i, j: (i < 10) & (j < 5), 32, 70, 90, num_kv_heads=4, head_dim=16, dtype=np.float32)
    out, lse = handle(q, k, v, return_lse=True)
    assert not out[10:].any() and (lse[10:] == -np.inf).all() and out[:10].any()


@pytest.mark.covers("G14")
@pytest.mark.parametrize("arguments", [["--num_qo_heads", "8", "--mask_type", "causal"],
                                       ["--num_qo_heads", "4", "--num_kv_heads", "2", "--mask_type", "sliding_window", "--window_size", "20"],
                                       ["--num_qo_heads", "2", "--mask_type", "attamba", "--q_len", "500", "--kv_len", "300", "--block_size_row", "16"],
                                       ["--num_qo_heads", "2", "--mask_type", "full", "--head_dim", "32"]])
def test_command(arguments, capsys):
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "Test result: ✅ PASSED" in printed and arguments[-1] in printed
    assert "FAILED" not in printed


def test_command_of_its_own():
    done = subprocess.run([sys.executable, "-m", "flexjit.compat.flex_flash_infer", "--q_len", "64", "--kv_len", "64", "--num_qo_heads", "8", "--num_kv_heads", "3"],
                          capture_output=True, text=True)
    assert done.returncode == 2 and "num_kv_heads" in done.stderr and "Traceback" not in done.stderr
    done = subprocess.run([sys.executable, "-m", "flexjit.compat.flex_flash_infer", "--help"], capture_output=True, text=True)
    for flag in ("q_len", "kv_len", "num_qo_heads", "num_kv_heads", "head_dim", "block_size_row", "block_size_col", "mask_type", "window_size", "chunk_size"):
        assert f"--{flag}" in done.stdout


@pytest.mark.covers("G16")
@pytest.mark.parametrize("length, block, mask", [(6, 2, lambda i, j: i >= j), (8, 2, lambda i, j: (i + j) % 2 == 0), (128, 32, lambda i, j: i >= j)])
def test_bsr_is_scipys(length, block, mask):
    handle = FlexFlashInfer()
    handle.prepare(mask, 1, length, length, block, block, head_dim=8)
    for found, right in zip(handle.bsr(), bsr_of(mask(*np.ogrid[:length, :length]), block, block)):
        assert np.array_equal(found, right)


@pytest.mark.covers("G16")
def test_bsr_of_a_random_matrix():
    dense = np.random.default_rng(1).random((256, 256)) < 0.02
    handle = FlexFlashInfer()
    handle.prepare(lambda i, j: dense[i, j], 1, 256, 256, head_dim=8)
    for found, right in zip(handle.bsr(), bsr_of(dense, 64, 64)):
        assert np.array_equal(found, right)
