"""Every python block of docs/python.md and of the README runs as it stands."""
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BLOCKS = [(name, block) for name in ("docs/python.md", "README.md")
          for block in re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(), re.S)]


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_block(number, tmp_path):
    name, block = BLOCKS[number]
    for package in ("torch", "transformers", "onnx", "matplotlib"):
        if f"import {package}" in block or f"from {package}" in block:
            pytest.importorskip(package, reason=f"no {package} here")
    file = tmp_path / "block.py"
    file.write_text(block)
    exec(compile(block, str(file), "exec"), {})
