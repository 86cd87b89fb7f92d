"""Names of the files in a run's folder, relative to it."""

from __future__ import annotations

from latentkit.config import MapConfig

DATA = "data.json"
MODEL = "model.safetensors"
HISTORY = "history.json"
ENCODING = "encoding.json"
EVALUATION = "evaluation.json"
FIGURES_OF_IMAGES = "evaluation.npz"
REPORT = "report.html"
EXPLORER = "explorer.html"
OBJECTIVE = "objective.json"
CHECKPOINTS = "checkpoints"
SNAPSHOTS = "snapshots"
"""The stage of the weights that are kept after chosen epochs."""
SPLITS = ("train", "validation", "test")


def latents_path(split: str) -> str:
    """Return the path of a split's latents, relative to the run's folder."""
    return f"latents/{split}.npz"


def snapshot_path(epoch: int) -> str:
    """Return the path of the weights kept after an epoch, relative to the run's folder."""
    return f"weights/epoch-{epoch:04d}.safetensors"


def map_paths(part: MapConfig) -> tuple[str, str]:
    """Return the paths of a map's coordinates and facts, relative to the run's folder."""
    return f"embeddings/{part.slug}.npz", f"embeddings/{part.slug}.json"
