"""Networks that start from saved weights: find, match and check them, and keep a copy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from latentkit.classifiers.matching import COUNTER, Match, match
from latentkit.classifiers.weights import SavedWeights, find_weights, read_weights
from latentkit.config import RunConfig
from latentkit.errors import IntegrityError, UserError
from latentkit.pipeline.context import DATA, RunContext, Workshop
from latentkit.plugin.events import Notice
from latentkit.runs.folder import RunFolder
from latentkit.training.checkpoint import save_tensors

RUNS = Path("runs")
INITIAL = "initial.safetensors"
INITIAL_FACTS = "initial.json"
START = "start"
_LISTED = 3


def resolve_init(config: RunConfig) -> RunConfig:
    """Set ``init`` to the absolute path of the weights file and its SHA-256.

    Raises:
        LatentkitError: the file does not exist or cannot be read.
    """
    if config.init is None:
        return config
    path = find_weights(config.init.path, RUNS).absolute()
    saved = read_weights(path)
    found = {"path": str(path), "sha256": saved.sha256}
    return replace(config, init=config.init.model_copy(update=found))


def saved_weights(config: RunConfig) -> SavedWeights:
    """Return the weights that a resolved configuration starts from.

    Raises:
        IntegrityError: the file was changed.
    """
    assert config.init is not None  # noqa: S101  # only called for runs with saved weights
    saved = read_weights(find_weights(config.init.path, RUNS))
    if config.init.sha256 and saved.sha256 != config.init.sha256:
        raise IntegrityError(
            f"{saved.path} is not the file that the run was prepared with (its SHA-256 differs): "
            f"restore the original, or start a new run"
        )
    return saved


def load_start(network: nn.Module, saved: SavedWeights, leave: str = "") -> Match:
    """Load saved weights into the parts of a network that they fit.

    Args:
        network: changed in place.
        saved: the weights.
        leave: prefix of tensor names in ``network`` that are not changed; empty for none.

    Raises:
        UserError: no weight fits.
    """
    state = {k: v for k, v in network.state_dict().items() if not leave or not k.startswith(leave)}
    found = match(saved.tensors, state)
    if not found.finds_weights:
        here, there = next(iter(state)), next(iter(saved.tensors), "nothing")
        raise UserError(
            f"no weight in {saved.path} fits the network: the file has names such as {there!r}, "
            f"the network has names such as {here!r}, and names and shapes must match"
        )
    network.load_state_dict(
        {name: saved.tensors[source] for name, source in found.sources.items()}, strict=False
    )
    return found


def check_image_shape(workshop: Workshop, saved: SavedWeights) -> None:
    """Refuse weights of a run on images of another shape.

    Raises:
        UserError: the run's images have another shape.
    """
    folder = saved.path.parent
    if not (folder / "run.json").is_file():
        return
    run = RunFolder.open(folder)
    shape = tuple(run.json(DATA)["image_shape"])
    if shape != workshop.image_shape:
        raise UserError(
            f"the encoder of run {run.manifest.id} takes images {shape}, and dataset "
            f"{workshop.config.dataset.name!r} has {workshop.image_shape}: choose a dataset with "
            f"the encoder's shape, or another run"
        )


def commit_start(
    context: RunContext, network: nn.Module, found: Match | None, said: str = ""
) -> None:
    """Commit the weights that training starts from, and which of them are saved weights.

    Args:
        context: the run's context.
        network: the network before training.
        found: the saved weights in the network; None if it starts at random.
        said: text of the notice; if empty, `start_text` is used.
    """
    folder, init = context.folder, context.config.init
    tensors = network.state_dict()
    folder.commit(INITIAL, START, partial(_save, tensors))
    facts: dict[str, Any] = {"from": None, "sha256": None}
    if found is not None and init is not None:
        facts = {"from": init.path, "sha256": init.sha256, **found.as_dict()}
        context.tell(Notice("init", said or start_text(init.path, found), "info"))
    folder.commit_json(INITIAL_FACTS, START, facts)


def start_text(path: str, found: Match) -> str:
    """Describe in a sentence which saved weights fit."""
    by_prefix = len(found.sources) - found.by_name
    text = (
        f"start from {path}: {len(found.sources)} tensors fit ({found.by_name} by name, "
        f"{by_prefix} without prefixes)"
    )
    for names, what in (
        (found.missing, "keep random initial values"),
        (found.unused, "in the file are not used"),
    ):
        names = tuple(name for name in names if not name.endswith(COUNTER))
        if names:
            text += f"; {_listed(names)} {what}"
    return text


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{', '.join(names[:_LISTED])}{more}"


def start_network(context: RunContext) -> None:
    """Load saved weights into the model: the work of the stage ``start``."""
    model = context.new_model()
    commit_start(context, model, load_start(model, saved_weights(context.config)))


def check_start(workshop: Workshop) -> None:
    """Check before a run starts that its model can start from the saved weights.

    Raises:
        UserError: the weights do not fit, or with 0 epochs some would stay random.
    """
    saved = saved_weights(workshop.config)
    check_image_shape(workshop, saved)
    found = load_start(workshop.new_model(), saved)
    missing = [name for name in found.missing if not name.endswith(COUNTER)]
    if missing and workshop.config.training.epochs == 0:
        raise UserError(
            f"{saved.path} lacks {_listed(missing)} of model {workshop.config.model.name!r}, and "
            f"without training they would stay random: set the options that the weights were "
            f"trained with, or set training.epochs to 1 or more"
        )


def _save(tensors: dict[str, Any], path: Path) -> None:
    save_tensors(tensors, path)
