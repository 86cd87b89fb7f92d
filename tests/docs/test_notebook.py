"""The notebook of the examples runs from top to bottom and shows what its text describes."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")

NOTEBOOK = Path(__file__).parents[2] / "examples" / "quickstart.ipynb"


@pytest.fixture(scope="module")
def executed(one_cpu, tmp_path_factory):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    folder = tmp_path_factory.mktemp("notebook")
    client = nbclient.NotebookClient(
        notebook, timeout=None, resources={"metadata": {"path": str(folder)}}
    )
    return client.execute()


def shown(notebook, ending: str) -> dict[str, str]:
    """Return the output of the cell whose source has this ending."""
    (cell,) = (cell for cell in notebook.cells if cell.source.endswith(ending))
    (data,) = (output.data for output in cell.outputs if "data" in output)
    return data


def test_the_notebook_shows_the_figures_and_the_map_of_a_run(executed):
    html = shown(executed, "run")["text/html"]
    assert "Test MSE, PCA of 8" in html
    assert "<img alt='map-isomap'" in html
    assert "data:image/png;base64,iVBOR" in html


def test_the_notebook_shows_trials_a_transfer_and_an_interpolation(executed):
    assert "model.latent_dim" not in shown(executed, "study")["text/html"]
    assert shown(executed, "study")["text/html"].count("learning_rate=") == 3
    assert "ccuracy" in shown(executed, 'embed=["pca"])')["text/html"]
    assert "image/png" in shown(executed, "Resampling.NEAREST)")


def test_no_cell_of_the_notebook_writes_to_stderr(executed):
    streams = [o for cell in executed.cells for o in cell.get("outputs", ()) if "name" in o]
    said = [stream.text for stream in streams if stream.name == "stderr"]
    # tqdm, which Optuna and umap-learn import, asks for a package that latentkit does not need.
    assert [text for text in said if "TqdmWarning: IProgress not found" not in text] == []


def test_the_committed_notebook_is_valid_and_small_and_has_no_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert NOTEBOOK.stat().st_size < 300_000
    assert not any(cell.get("outputs") for cell in notebook.cells)
