"""The package as it is installed: its types and words, what its libraries export, that numpy is all it needs, and the lock of Python."""
import ast
import importlib.util
import inspect
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import flexjit
from flexjit import _core

PACKAGE = pathlib.Path(flexjit.__file__).parent
LIBRARIES = sorted(path for path in PACKAGE.iterdir() if ".so" in path.name and "fmt" not in path.name)


def test_type_stubs_name_everything():
    assert (PACKAGE / "py.typed").exists()
    stub = ast.parse((PACKAGE / "_core.pyi").read_text())
    names = {node.name: node for node in stub.body if hasattr(node, "name")}
    public = {name for name in dir(_core) if not name.startswith("_")}
    assert public == set(names)
    for name in ("BlockMask", "Attention", "Engine"):
        members = {node.name for node in names[name].body if isinstance(node, ast.FunctionDef)}
        missing = {member for member in vars(getattr(_core, name)) if not member.startswith("_")} - members
        assert not missing


def documented():
    for name in flexjit.__all__:
        thing = getattr(flexjit, name)
        yield name, thing
        if inspect.isclass(thing) and thing.__module__.startswith("flexjit"):
            yield from ((f"{name}.{member}", value) for member, value in vars(thing).items()
                        if not member.startswith("_") and (callable(value) or isinstance(value, property)))


def test_everything_public_says_what_it_is():
    assert [name for name, thing in documented() if not inspect.getdoc(thing)] == []


def symbols(library, which):
    listed = subprocess.run(["nm", "-D", which, library], capture_output=True, text=True, check=True).stdout
    return [line.split()[-1] for line in listed.splitlines()]


@pytest.mark.skipif(shutil.which("nm") is None, reason="no nm here")
def test_no_library_exports_llvm_or_the_standard_library():
    assert [path.name.split(".")[0] for path in LIBRARIES] == ["_core", "libflexjit-compiler", "libflexjit-cxx", "libflexjit"]
    for library in LIBRARIES:
        defined = symbols(library, "--defined-only")
        assert defined, library
        foreign = [name for name in defined if name.startswith(("_ZNSt", "_ZSt", "_ZNKSt", "_ZTISt", "_ZTVSt", "_ZTSSt", "_ZTINSt", "_ZTVNSt", "_ZTSNSt"))
                   or "4llvm" in name or name.startswith("LLVM")]
        assert not foreign, f"{library}: {foreign[:5]}"
        assert not [name for name in symbols(library, "--undefined-only") if "4llvm" in name or name.startswith("LLVM")], library
    assert symbols(PACKAGE / LIBRARIES[0].name, "--defined-only") == ["PyInit__core"]


def test_numpy_is_all_that_it_needs(tmp_path):
    """A process that finds numpy, nanobind's backend and flexjit, and no other package, runs the README's lines."""
    for name in ("numpy", "nanobind_backend", "flexjit"):
        where = pathlib.Path(importlib.util.find_spec(name).origin)
        where = where.parent if where.name == "__init__.py" else where
        for path in (where, where.parent / f"{name}.libs"):
            if path.exists():
                os.symlink(path, tmp_path / path.name)
    readme = (pathlib.Path(__file__).resolve().parents[2] / "README.md").read_text()
    block = readme.split("```python\n")[1].split("```")[0]
    code = f"import sys; assert not [p for p in sys.path if 'site-packages' in p]\n{block}\nassert out.shape == (1, 8, 512, 64)\n" \
           "assert not {'torch', 'ml_dtypes', 'matplotlib', 'tqdm'} & set(sys.modules)"
    (tmp_path / "lines.py").write_text(code)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONNOUSERSITE": "1"}
    done = subprocess.run([sys.executable, "-S", "lines.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_the_lock_is_released_while_the_engine_works():
    """Python goes on in another thread while one call runs, and while a pattern is compiled."""
    q = np.random.default_rng(0).standard_normal((1, 4, 2048, 64), np.float32)
    engine = flexjit.Engine(threads=1)
    handle = engine.compile(mask_mod="q_idx >= kv_idx")

    def looks_during(work):
        """How often another thread got its turn."""
        stop, looks = threading.Event(), [0]

        def look():
            while not stop.is_set():
                time.sleep(0)
                looks[0] += 1

        other = threading.Thread(target=look)
        other.start()
        work()
        stop.set()
        other.join()
        return looks[0]

    assert looks_during(lambda: [handle.run(q, q, q) for _ in range(3)]) > 100
    assert looks_during(lambda: engine.compile("score * 0.123456", "q_idx >= kv_idx")) > 100
