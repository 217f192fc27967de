"""The notebook on thresholds runs from an empty directory, and what is committed of it carries no output."""

from __future__ import annotations

import asyncio
import warnings
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "threshold.ipynb"
CANDIDATES = 17


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Describe this Python as a kernel in a temporary directory, and keep everything of Jupyter there."""
    from ipykernel.kernelspec import write_kernel_spec

    write_kernel_spec(tmp_path / "kernels" / "threshold-test")
    for name in ("JUPYTER_PATH", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return "threshold-test"


def executed(kernel: str, directory: Path) -> Any:
    """Run the notebook, and return it with its outputs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Jupyter's own packages
        import nbformat
        from nbclient import NotebookClient

        notebook = nbformat.read(NOTEBOOK, as_version=4)
        client = NotebookClient(
            notebook, timeout=120, kernel_name=kernel, resources={"metadata": {"path": str(directory)}}
        )
        return asyncio.run(client.async_execute())


def shown(cell: Any, kind: str) -> list[str]:
    """Return what a cell showed of a kind."""
    found = ("".join(output["data"][kind]) for output in cell.outputs if kind in output.get("data", {}))
    return list(found)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # raised by Jupyter's own packages, at exit too
def test_the_notebook_runs_whole_and_shows_every_table_and_picture(kernel: str, tmp_path: Path) -> None:
    cells = [cell for cell in executed(kernel, tmp_path).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not [output for cell in cells for output in cell.outputs if output.output_type != "display_data"]
    tables = [table for cell in cells for table in shown(cell, "text/html")]
    pictures = [picture for cell in cells for picture in shown(cell, "image/svg+xml")]
    assert len(tables) == 6
    assert len(pictures) == 5
    (balance,) = [table for table in tables if "Share of spikes in each part" in table]
    assert balance.count("<tr>") == 1 + CANDIDATES
    assert "adaptive P95 *" in balance
    words = shown(cells[-1], "text/markdown")[0]
    assert "the fixed tau of the fit slice" in words.lower()
    assert "not enough data" in words
    assert not list(tmp_path.glob("volspike-*")), "the market it made is gone"


def test_the_committed_notebook_carries_no_output() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import nbformat

        notebook = nbformat.read(NOTEBOOK, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    assert notebook.metadata.kernelspec.name == "python3"
