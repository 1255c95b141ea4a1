"""What others' Python packages of this kind got wrong: a test for each kind that no other file has. Rows of a table of public
reports are named B1, B2, ...; what is about torch alone is in test_pitfalls_torch.py."""
import ctypes
import gc
import os
import pathlib
import shutil
import subprocess
import sys
import weakref

import numpy as np
import pytest
from oracle import attention, close, inputs

import flexjit

PACKAGE = pathlib.Path(flexjit.__file__).parent
factor = 1.0


def run_python(code, **options):
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, timeout=120, text=True, **options)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return done.stdout


def test_b1_a_kernel_is_found_by_all_that_it_depends_on():
    global factor
    q, k, v = inputs()

    def is_times(mod, times):
        close(flexjit.attention(q, k, v, mod), attention(q, k, v, lambda s, b, h, i, j: s * times)[0])

    def defaults(c):
        def mod(s, b, h, q, k, c=c):
            return s * c
        return mod

    for times in (1.0, 2.0, 1, True, 3, 0.0, -0.0):
        is_times(defaults(times), float(times))
        is_times((lambda c: lambda s, b, h, q, k: s * c)(times), float(times))
    texts = {flexjit.text_of((lambda c: lambda s, b, h, q, k: s * c)(c)) for c in (0.0, -0.0, 0, 1.0, 1)}
    assert len(texts) == 3
    one, two = (lambda s, b, h, q, k: s * 1.5), (lambda s, b, h, q, k: s * 2.5)
    is_times(one, 1.5)
    is_times(two, 2.5)
    of_global = lambda s, b, h, q, k: s * factor  # noqa: E731
    for factor in (1.0, 4.0):
        is_times(of_global, factor)
    held = [2.0]
    of_list = lambda s, b, h, q, k: s * held[0]  # noqa: E731
    is_times(of_list, 2.0)
    held[0] = 5.0
    is_times(of_list, 5.0)
    number = np.array([2.0], np.float32)
    of_contents = lambda s, b, h, q, k: s * number.item()  # noqa: E731
    is_times(of_contents, 2.0)
    number[0] = 3.0
    is_times(of_contents, 3.0)


def test_b1_closures_of_one_code_share_a_trace_but_no_arrays():
    q, k, v = inputs()

    def mod_of(one, two):
        return lambda s, b, h, q, k: s * one[h] + two[k]

    for seed in range(3):
        one, two = np.random.default_rng(seed).standard_normal((2, 70)).astype("f4")
        for a, b in ((one, two), (two, one), (one, one)):
            close(flexjit.attention(q, k, v, mod_of(a, b)), attention(q, k, v, lambda s, _, h, i, j: s * a[h] + b[j])[0])
    wide = np.arange(70.0)  # another element type
    close(flexjit.attention(q, k, v, mod_of(one, wide)), attention(q, k, v, lambda s, _, h, i, j: s * one[h] + wide[j])[0])


def test_b23_arrays_that_cannot_be_written_are_read():
    q, k, v = inputs()
    frozen = np.frombuffer(k.tobytes(), k.dtype).reshape(k.shape)
    wide = np.broadcast_to(v[:, :1], v.shape)
    close(flexjit.attention(q, frozen, wide), attention(q, k, wide)[0])
    with pytest.raises((TypeError, flexjit.Error)):
        flexjit.attention(q, k, v, out=np.broadcast_to(np.zeros((1, 1, 70, 16), "f4"), q.shape))


def test_b25_results_are_not_used_again():
    q, k, v = inputs()
    first = flexjit.attention(q, k, v)
    kept = first.copy()
    flexjit.attention(2 * q, k, v)
    assert (first == kept).all()


def test_b26_to_b28_nothing_is_exported_that_others_would_have_to_free():
    out = flexjit.attention(*inputs())
    assert type(out) is np.ndarray and out.flags.owndata
    assert not any(hasattr(x, "__dlpack__") for x in (flexjit.BlockMask, flexjit.Attention, flexjit.Engine))


class Exporter:
    """A DLPack capsule made by hand: strides NULL, which meant contiguous before DLPack 1.2, and a byte offset."""

    class Managed(ctypes.Structure):
        _fields_ = [("data", ctypes.c_void_p), ("device", ctypes.c_int32 * 2), ("ndim", ctypes.c_int32), ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8),
                    ("lanes", ctypes.c_uint16), ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.c_void_p), ("offset", ctypes.c_uint64),
                    ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p)]

    def __init__(self, array):
        self.room = np.concatenate([np.zeros(8, array.dtype), array.reshape(-1)])
        self.shape, self.dtype = array.shape, array.dtype
        self.extents = (ctypes.c_int64 * max(1, array.ndim))(*array.shape)
        self.managed = self.Managed(self.room.ctypes.data, (1, 0), array.ndim, 2, 8 * array.itemsize, 1, self.extents, None, 8 * array.itemsize)

    def __dlpack_device__(self):
        return 1, 0

    def __dlpack__(self, **ignored):
        new = ctypes.pythonapi.PyCapsule_New
        new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        return new(ctypes.addressof(self.managed), b"dltensor", None)


def test_b29_strides_that_are_null():
    q, k, v = inputs()
    handle = flexjit.compile("score * factor[0]", bindings={"factor": q[0, 0, 0]}, head_dim=16)
    out = np.empty_like(q)
    handle.run(Exporter(q), Exporter(k), Exporter(v), {"factor": Exporter(np.array(2, "f4"))}, out=out)
    close(out, attention(2 * q, k, v)[0])


def test_b34_a_mod_and_the_object_that_it_captures_are_collected():
    q, k, v = inputs()

    class Model:
        def __init__(self):
            self.table = np.ones(4, np.float32)
            self.mod = lambda s, b, h, q, k: s * self.table[h]

    for _ in range(3):
        model = Model()
        for _ in range(3):
            flexjit.attention(q, k, v, model.mod)
        kept = weakref.ref(model)
        del model
        gc.collect()
        assert kept() is None


def test_b41_b43_no_symbols_of_llvm_or_the_standard_library_are_exported():
    if shutil.which("nm") is None or shutil.which("readelf") is None:
        pytest.skip("no nm here")
    libraries = [*PACKAGE.glob("_core*.so"), *PACKAGE.glob("libflexjit*.so*")]
    if len(libraries) == 1:  # a build directory, whose libraries are elsewhere
        libraries += [PACKAGE.parents[1] / "lib" / name for name in ("libflexjit.so", "libflexjit-compiler.so", "libflexjit-cxx.so")]
    assert len(libraries) == 4
    for library in libraries:
        names = subprocess.run(["nm", "-DC", library], capture_output=True, text=True, check=True).stdout
        assert "llvm::" not in names and " LLVM" not in names, library
        defined = [line for line in names.splitlines() if line[17:18] in "TDBVWu" and " std::" in line[18:30]]
        assert not defined, (library, defined[:5])
        headers = subprocess.run(["readelf", "-ldW", library], capture_output=True, text=True, check=True).stdout
        if "STATIC_TLS" in headers:  # B38: LLVM's; what glibc keeps for libraries that are opened late is 1664 bytes for all of them
            size, = [int(line.split()[5], 16) for line in headers.splitlines() if line.split()[:1] == ["TLS"]]
            assert size <= 256, library


def test_b42_beside_another_llvm():
    others = sorted(pathlib.Path("/usr/lib").glob("llvm-*/lib/libLLVM*.so*"))
    if not others:
        pytest.skip("no other LLVM here")
    run_python(f"import ctypes; ctypes.CDLL({str(others[-1])!r}, ctypes.RTLD_GLOBAL)\n"
               "import flexjit, numpy as np; q = np.ones((1, 1, 4, 64), 'f4'); assert (flexjit.attention(q, q, q, 'score * 2.5') == 1).all()")


def test_b45_kernels_that_are_dropped_leave_nothing():
    engine = flexjit.Engine(threads=1, cache_bytes=1 << 20)
    q, k, v = inputs(q_len=8, kv_len=8)
    flexjit.attention(q, k, v, "score * 0.75", engine=engine)  # opens the compiler
    with open("/proc/self/maps") as maps:
        before = len(maps.readlines())
    for n in range(10):
        flexjit.attention(q, k, v, f"score * {n}.5", engine=engine)
        engine.clear_cache()
    assert engine.stats()["cached_kernels"] == 0
    gc.collect()
    with open("/proc/self/maps") as maps:
        assert len(maps.readlines()) - before < 8


def test_b2_damaged_and_shared_caches_of_kernels(tmp_path):
    code = ("import flexjit, numpy as np, sys; q = np.ones((1, 1, 4, 64), 'f4')\n"
            "assert (flexjit.attention(q, q, q, 'score * 2.5') == 1).all(); print(flexjit.default_engine().stats()['disk_hits'])")
    environment = {**os.environ, "FLEXJIT_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    racing = [subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.DEVNULL) for _ in range(3)]
    assert all(process.wait(120) == 0 for process in racing)
    assert int(run_python(code, env=environment)) > 0
    for file in tmp_path.rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[:100])
    run_python(code, env=environment)
