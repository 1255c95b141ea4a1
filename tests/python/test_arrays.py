"""Arrays of numpy and ml_dtypes: read and written where they lie, whatever their layout; what cannot be is an exception."""
import gc
import os
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest
from oracle import attention, close, inputs

import flexjit

CAUSAL = "q_idx >= kv_idx"


def causal(b, h, i, j):
    return i >= j


def test_texts_equal_the_definition():
    q, k, v = inputs(kv_heads=2, v_dim=24)
    slope = np.linspace(0.1, 0.4, 4, dtype=np.float32)
    out, lse = flexjit.attention(q, k, v, "score - slope[h] * (q_idx - kv_idx)", CAUSAL, bindings={"slope": slope}, return_lse=True)
    expected = attention(q, k, v, lambda s, b, h, i, j: s - slope[h] * (i - j), causal)
    close(out, expected[0])
    close(lse, expected[1])


def test_programs_flags_and_params():
    q, k, v = inputs(kv_len=90)
    program = "param window : int\nmask = q_idx - kv_idx < window"
    out = flexjit.attention(q, k, v, program=program, bindings={"window": 7}, causal=True, softcap=3.0)
    expected = attention(q, k, v, lambda s, b, h, i, j: 3 * np.tanh(s / 3), lambda b, h, i, j: (i - j < 7) & (j <= i + 20))
    close(out, expected[0])


@pytest.mark.parametrize("dtype, tolerance", [("float32", 2e-5), ("float64", 1e-12), ("float16", 4e-3)])
def test_dtypes(dtype, tolerance):
    q, k, v = inputs(dtype=dtype)
    out = flexjit.attention(q, k, v, mask_mod=causal)
    assert out.dtype == dtype
    close(out, attention(q, k, v, None, causal)[0], tolerance)


def test_bfloat16_of_ml_dtypes():
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="no ml_dtypes here")
    q, k, v = (x.astype(ml_dtypes.bfloat16) for x in inputs())
    out = flexjit.attention(q, k, v, mask_mod=causal)
    assert out.dtype == ml_dtypes.bfloat16
    close(out, attention(q, k, v, None, causal)[0], 2e-2)
    given = np.zeros(out.shape, ml_dtypes.bfloat16)
    flexjit.attention(q, k, v, mask_mod=causal, out=given)
    assert (given.view("uint16") == out.view("uint16")).all()


def test_fp8_keys_with_scales():
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="no ml_dtypes here")
    q, k, v = inputs()
    for dtype in (ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2, np.int8):
        k8, v8 = (4 * k).astype(dtype), (4 * v).astype(dtype)
        scale = np.full((1, 1, 1, 1), 0.25, np.float32)
        out = flexjit.attention(q, k8, v8, mask_mod=causal, k_scales=scale, v_scales=scale)
        close(out, attention(q, k8.astype("f4") / 4, v8.astype("f4") / 4, None, causal)[0])


def test_pairs_and_sizes_of_other_lengths_are_refused():
    q, k, v = inputs()
    for flags in ({"window": (3,)}, {"window": ()}, {"attention_mask": ("f32",)}):
        with pytest.raises(TypeError, match=next(iter(flags))):
            flexjit.attention(q, k, v, **flags)
    with pytest.raises(ValueError, match="sizes are"):
        flexjit.create_block_mask(CAUSAL, 64, 64, block_size=(8, 8)) and flexjit.compile(mask_mod=CAUSAL).core.create_block_mask((1, 1, 64, 64))


def test_packed_sequences():
    q, k, v = inputs(batch=1)
    cu = np.array([0, 20, 70], np.int32)
    out = flexjit.attention(q, k, v, mask_mod=causal, sequences={"cu_seqlens_q": cu, "cu_seqlens_k": cu})
    for begin, end in ((0, 20), (20, 70)):
        part = slice(begin, end)
        close(out[:, :, part], attention(q[:, :, part], k[:, :, part], v[:, :, part], None, causal)[0])
    with pytest.raises(TypeError, match="no member"):
        flexjit.attention(q, k, v, sequences={"cu_seqlens": cu})


def test_layouts_are_read_and_written_in_place():
    q, k, v = inputs()
    expected = flexjit.attention(q, k, v, mask_mod=causal)
    packed = np.ascontiguousarray(np.stack([x.transpose(0, 2, 1, 3) for x in (q, k, v)], 2))  # (batch, length, 3, heads, dim)
    a, b, c = (packed[:, :, n].transpose(0, 2, 1, 3) for n in range(3))
    room = np.full((2, 2 * 70, 4, 16), np.nan, np.float32)
    out = room[:, ::2].transpose(0, 2, 1, 3)
    assert flexjit.attention(a, b, c, mask_mod=causal, out=out) is out
    assert (out == expected).all() and np.isnan(room[:, 1::2]).all()
    wide = np.broadcast_to(k[:, :1], k.shape)
    close(flexjit.attention(q, wide, v), attention(q, wide, v)[0])
    back = k[:, :, ::-1]
    close(flexjit.attention(q, back, v), attention(q, back, v)[0])


def test_captured_arrays_of_any_stride_and_type():
    q, k, v = inputs()
    table = np.random.default_rng(1).standard_normal((140, 8)).astype(np.float32)[::2, ::2]  # (70, 4)
    out = flexjit.attention(q, k, v, "score + table[kv_idx, h]", bindings={"table": table})
    close(out, attention(q, k, v, lambda s, b, h, i, j: s + table[j, h])[0])
    for dtype in ("int64", "int32", "int8", "uint8"):
        doc = np.sort(np.random.default_rng(2).integers(0, 5, 70)).astype(dtype)
        out = flexjit.attention(q, k, v, None, "doc[q_idx] == doc[kv_idx]", bindings={"doc": doc})
        close(out, attention(q, k, v, None, lambda b, h, i, j: doc[i] == doc[j])[0])


def test_read_only_inputs_are_fine_and_outputs_are_not():
    q, k, v = inputs()
    for x in (q, k, v):
        x.flags.writeable = False
    out = flexjit.attention(q, k, v)
    out.flags.writeable = False
    with pytest.raises(TypeError, match="read-only"):
        flexjit.attention(q, k, v, out=out)


def test_wrong_arrays_are_exceptions():
    q, k, v = inputs()
    with pytest.raises(flexjit.Error, match="stride 2 in its last dimension") as caught:
        flexjit.attention(q[..., ::2], k[..., ::2], v)
    assert caught.value.diagnostics[0]["kind"] and caught.value.diagnostics[0]["severity"] == "error"
    with pytest.raises(TypeError, match="float32"):
        flexjit.attention(q.astype("int16"), k, v)
    with pytest.raises(TypeError, match="batch, heads, length, dim"):
        flexjit.attention(q[0], k, v)
    with pytest.raises(TypeError, match="byte order|float32"):
        flexjit.attention(q.astype(">f4"), k, v)
    with pytest.raises(flexjit.Error, match="unknown name"):
        flexjit.attention(q, k, v, "score + nothing")
    with pytest.raises(ValueError, match="32 bits"):
        flexjit.attention(q, k, v, None, "q_idx < n", bindings={"n": 2**40})
    with pytest.raises(TypeError, match="no option 'sofcap'"):
        flexjit.attention(q, k, v, sofcap=3.0)
    room = np.zeros(q.nbytes + 1, np.uint8)
    unaligned = room[1:].view("float32").reshape(q.shape)
    with pytest.raises(flexjit.Error, match="multiple of 4 bytes"):
        flexjit.attention(unaligned, k, v)
    for wrong in (np.zeros((2, 4, 70, 16), "int64"), np.zeros((2, 4, 70, 16), "float64"), np.zeros((2, 4, 70, 15), "float32")):
        with pytest.raises((flexjit.Error, TypeError)):
            flexjit.attention(q, k, v, out=wrong)


def test_block_masks():
    mask = flexjit.create_block_mask(causal, 1000, 1000)
    assert mask.sizes == (1, 1, 1000, 1000, 128, 128) and mask.counts == (28, 8, 28)
    q, k, v = inputs(q_len=300, kv_len=300)
    mask = flexjit.create_block_mask(causal, 300, 300, block_size=64)
    close(flexjit.attention(q, k, v, mask_mod=causal, block_mask=mask), attention(q, k, v, None, causal)[0])
    again = flexjit.BlockMask.from_bytes(mask.to_bytes())
    assert again.kinds() == mask.kinds() and again.picture() == mask.picture()


def test_gradients_equal_differences():
    q, k, v = inputs(q_len=9, kv_len=9, dtype=np.float64)
    slope = np.linspace(0.1, 0.4, 4)
    score = lambda s, b, h, i, j: s - slope[h] * (i - j)  # noqa: E731
    handle = flexjit.compile(score, causal, head_dim=16, dtype="f64")
    bindings = {"s0": slope}
    lse = np.empty((2, 4, 9))
    out = handle.run(q, k, v, bindings, lse=lse)
    weight = np.random.default_rng(5).standard_normal(out.shape)
    found = handle.run_backward(q, k, v, out, lse, weight, bindings, buffers=("s0",))
    for name, x in (("q", q), ("k", k), ("v", v), ("s0", slope)):
        for place in (0, x.size // 2, x.size - 1):
            flat, step, sums = x.reshape(-1), 1e-6, []
            was = flat[place]
            for sign in (1, -1):
                flat[place] = was + sign * step
                sums.append((attention(q, k, v, score, causal)[0] * weight).sum())
            flat[place] = was
            close(found[name].reshape(-1)[place], (sums[0] - sums[1]) / (2 * step), 1e-6)


def test_threads_and_memory():
    q, k, v = inputs()
    expected = flexjit.attention(q, k, v, mask_mod=causal)
    found = [None] * 8

    def work(n):
        for _ in range(20):
            found[n] = flexjit.attention(q, k, v, mask_mod=causal)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all((out == expected).all() for out in found)
    kept = weakref.ref(found[0])
    found.clear()
    gc.collect()
    assert kept() is None


def test_an_engine_deleted_while_a_thread_uses_its_handle():
    engine = flexjit.Engine(threads=2)
    q, k, v = inputs(q_len=400, kv_len=400)
    handle = engine.compile(None, causal, head_dim=16)
    thread = threading.Thread(target=lambda: [handle.run(q, k, v) for _ in range(30)])
    thread.start()
    del engine
    gc.collect()
    thread.join()


@pytest.mark.parametrize("threads", ["1", "8"])
def test_a_child_after_fork_works(threads):
    code = ("import os, sys; sys.path.insert(0, %r); import flexjit; from oracle import inputs; q, k, v = inputs()\n"
            "engine = flexjit.Engine(threads=%s); first = flexjit.attention(q, k, v, 'score * 2', engine=engine)\n"
            "child = os.fork()\n"
            "same = (flexjit.attention(q, k, v, 'score * 2', engine=engine) == first).all()\n"
            "new = flexjit.attention(q, k, v, 'score * 3', engine=engine)\n"
            "if child == 0: os._exit(0 if same else 1)\n"
            "sys.exit(os.waitpid(child, 0)[1] or not same)") % (os.path.dirname(__file__), threads)
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_interpreter_ends_with_live_handles_and_a_thread_that_compiles():
    code = ("import sys, threading, flexjit; handle = flexjit.compile('score * 2')\n"
            "def work():\n"
            "    for n in range(100): flexjit.compile(f'score * {n}.5')\n"
            "threading.Thread(target=work, daemon=True).start(); sys.exit(0)")
    for _ in range(5):
        done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, timeout=60)
        assert done.returncode == 0 and done.stderr == b"", done.stderr


def test_floating_point_modes_are_left_alone():
    before = 5e-324 * np.float64(1)
    q, k, v = inputs()
    flexjit.attention(q, k, v, "exp(score) * 1e-38")
    assert 5e-324 * np.float64(1) == before != 0
    assert np.float32(1e-45) * np.float32(1) != 0
