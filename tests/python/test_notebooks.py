"""The notebooks of docs/notebooks run from beginning to end; they check what they show by their own assertions."""
import pathlib

import pytest

nbclient = pytest.importorskip("nbclient", reason="no nbclient here")
pytest.importorskip("ipykernel", reason="no ipykernel here")
import nbformat  # noqa: E402

NOTEBOOKS = sorted((pathlib.Path(__file__).resolve().parents[2] / "docs/notebooks").glob("*.ipynb"))


def test_there_are_some():
    assert len(NOTEBOOKS) == 3


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_notebook(file, monkeypatch):
    notebook = nbformat.read(file, as_version=4)
    source = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    for package in ("torch", "matplotlib"):
        if f"import {package}" in source or package == "matplotlib" and "figure(" in source:
            pytest.importorskip(package, reason=f"no {package} here")
    assert not any(cell.get("outputs") for cell in notebook.cells), "notebooks are kept without outputs"
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    done = nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(file.parent)}}).execute()
    shown = [mime for cell in done.cells for output in cell.get("outputs", []) for mime in output.get("data", {})]
    if file.stem == "patterns":
        assert shown.count("image/svg+xml") == 2 and shown.count("text/html") == 2 and "image/png" in shown
