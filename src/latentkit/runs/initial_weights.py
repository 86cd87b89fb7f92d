"""Networks that start from saved weights: find, match and check them, and keep a copy.

1. A tensor matches the tensor of the same name.
2. The remaining tensors match if their names are equal without the prefixes in `PREFIXES`, however
   many there are. If several tensors on one side share such a name, none of them matches.

In both cases the shapes must be equal, and weights must be floating-point numbers.
"""

from __future__ import annotations

import hashlib
import os
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from packaging.version import Version
from torch import Tensor, nn

from latentkit import errors, reading
from latentkit.config import RunConfig
from latentkit.plugin.array_files import check_finite, read_safetensors
from latentkit.plugin.events import Notice
from latentkit.plugin.machine import check_memory
from latentkit.runs import run_files
from latentkit.runs.context import RunContext, StageContext
from latentkit.runs.folder import RunFolder
from latentkit.runs.manifest import NAME
from latentkit.runs.packed import SUFFIX, named_run
from latentkit.training.checkpoint import save_tensors

PREFIXES = ("module.", "_orig_mod.", "model.", "network.", "backbone.", "encoder.")
"""Prefixes that `latentkit` and other libraries put before names of an encoder's weights."""

COUNTER = "num_batches_tracked"
"""Last part of the names of batch normalisation's counters, which are not weights."""


@dataclass(frozen=True)
class Match:
    """The tensors of a source that match those of a network.

    Args:
        sources: for each name in the network, the name in the source.
        by_name: how many of them have the same name; the others match without prefixes.
        missing: names in the network whose tensors stay as they are.
        unused: names in the source that match nothing.
        other_shape: names that match with different shapes, each as (name in the network, its
            shape, the source's shape).
    """

    sources: Mapping[str, str]
    by_name: int
    missing: tuple[str, ...]
    unused: tuple[str, ...]
    other_shape: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]

    @property
    def finds_weights(self) -> bool:
        """Whether anything other than a counter matches."""
        return any(not name.endswith(COUNTER) for name in self.sources)

    def within(self, prefix: str) -> Match:
        """Return the match for a network that contains this one, with ``prefix`` before names."""
        return replace(
            self,
            sources={prefix + name: source for name, source in self.sources.items()},
            missing=tuple(prefix + name for name in self.missing),
            other_shape=tuple((prefix + name, a, b) for name, a, b in self.other_shape),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the match as a JSON object."""
        return {
            "matched": dict(self.sources),
            "matched_by_name": self.by_name,
            "missing": list(self.missing),
            "unused": list(self.unused),
            "other_shape": [
                {"name": name, "shape": list(here), "shape_in_source": list(there)}
                for name, here, there in self.other_shape
            ],
        }


def match(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Match:
    """Match the tensors of ``source`` to those of ``target``, a network's state."""
    pairs = {name: name for name in target if name in source}
    same_name = set(pairs)
    places = _unique(name for name in target if name not in pairs)
    offered = _unique(name for name in source if name not in pairs)
    pairs |= {places[bare]: offered[bare] for bare in places if bare in offered}
    fitting = {
        a: b
        for a, b in pairs.items()
        if target[a].shape == source[b].shape
        and target[a].is_floating_point() == source[b].is_floating_point()
        and not source[b].is_complex()
    }
    return Match(
        sources=fitting,
        by_name=len(same_name & set(fitting)),
        missing=tuple(name for name in target if name not in fitting),
        unused=tuple(name for name in source if name not in set(fitting.values())),
        other_shape=tuple(
            (a, tuple(target[a].shape), tuple(source[b].shape))
            for a, b in pairs.items()
            if target[a].shape != source[b].shape
        ),
    )


def bare_name(name: str) -> str:
    """Return a name without its prefixes, however many there are."""
    while prefix := next((p for p in PREFIXES if name.startswith(p)), ""):
        name = name.removeprefix(prefix)
    return name


def _unique(names: Iterable[str]) -> dict[str, str]:
    """Return the names by their bare form, without names that share one."""
    named = {name: bare_name(name) for name in names}
    counts = Counter(named.values())
    return {bare: name for name, bare in named.items() if counts[bare] == 1}


_SAFE_SINCE = Version("2.10")  # before, weights_only is unsafe: CVE-2026-24747
_NESTED = ("state_dict", "model_state_dict", "model", "weights")
_WAY_OUT = "save its state_dict() with safetensors.torch.save_file"


@dataclass(frozen=True)
class SavedWeights:
    """Named tensors, and the file that they come from.

    Args:
        tensors: the tensors by name, on the CPU.
        path: path of the file.
        sha256: SHA-256 of the file.
    """

    tensors: Mapping[str, Tensor]
    path: Path
    sha256: str


def find_weights(reference: str, runs: Path) -> Path:
    """Return a file of weights, given as its path or as the run, packed or not, that trained them.

    Raises:
        UserError: there is no such file or run.
        IntegrityError: the run's weights were changed, or do not exist yet.
        DataError: the packed run is damaged.
    """
    path = Path(reference).expanduser()
    if path.is_file() and path.suffix != SUFFIX:
        return path
    try:
        run = named_run(reference, runs)
    except errors.UserError:
        raise errors.UserError(
            f"there is no file and no run {reference!r} to take weights from: give a run, a "
            f".safetensors file, or a torch checkpoint"
        ) from None
    return RunFolder.open(run).verified(run_files.MODEL)


def read_saved_weights(path: Path) -> SavedWeights:
    """Read named tensors. A torch checkpoint is read weights-only, never as a pickle.

    Raises:
        UserError: the file cannot be read, or holds no named tensors.
        DataError: a weight is NaN or infinite.
        BrokenEnvironmentError: this version of torch does not read weights-only safely.
    """
    try:
        with reading.open_file(path) as file:
            check_memory(os.fstat(file.fileno()).st_size, str(path))
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        tensors: Mapping[str, Tensor]
        if path.suffix == ".safetensors":
            tensors, _ = read_safetensors(path)
        else:
            tensors = _checkpoint(path)
    except OSError as error:
        raise errors.UserError(
            f"cannot read weights {path}: {errors.describe_os_error(error)}"
        ) from error
    except ValueError as error:
        raise errors.UserError(f"{path} is not a safetensors file: {error}") from error
    check_finite(tensors, str(path))
    return SavedWeights(tensors, path, sha256)


def _checkpoint(path: Path) -> Mapping[str, Tensor]:
    if Version(torch.__version__).release < _SAFE_SINCE.release:
        raise errors.BrokenEnvironmentError(
            f"torch {torch.__version__} does not read checkpoints safely: run  pip install "
            f"'torch>={_SAFE_SINCE}', or {_WAY_OUT}"
        )
    _check_unpacked(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about files that it then refuses
            document = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # a file of another kind can fail anywhere in the reader
        raise errors.UserError(
            f"{path} cannot be read weights-only, and other files are refused because they could "
            f"run code: {_WAY_OUT}"
        ) from error
    return _named_tensors(document, path)


def _check_unpacked(path: Path) -> None:
    """Refuse a torch checkpoint, which is a zip, whose members unpack to more than the file.

    Raises:
        UserError: torch itself never packs members.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
    except Exception:  # no zip, such as a checkpoint of an early torch, or a damaged one
        return
    if size > path.stat().st_size:
        raise errors.UserError(
            f"{path} unpacks to {size:,} bytes, more than the file has, so torch.save did not "
            f"write it: {_WAY_OUT}"
        )


def _named_tensors(document: Any, path: Path) -> Mapping[str, Tensor]:
    """Return the state dict in a document, which may be under one of the usual keys."""
    found = document
    if isinstance(document, Mapping):
        found = next((document[k] for k in _NESTED if isinstance(document.get(k), Mapping)), found)
    if isinstance(found, Mapping):
        tensors = {k: v for k, v in found.items() if isinstance(k, str) and isinstance(v, Tensor)}
        if tensors:
            _check_stored(tensors, path)
            return tensors
    raise errors.UserError(f"{path} holds no state dict (tensors by name): {_WAY_OUT}")


def _check_stored(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Refuse tensors whose values are not all in the file, because a few bytes may claim terabytes.

    Raises:
        UserError: names the first such tensor.
    """
    for name, tensor in tensors.items():
        plain = tensor.layout == torch.strided and tensor.device.type == "cpu"
        if plain and not tensor.is_quantized:
            held = tensor.untyped_storage().nbytes()
            if tensor.numel() * tensor.element_size() <= held:
                continue
        raise errors.UserError(
            f"{path}: {name} {tuple(tensor.shape)} is not a plain tensor with all of its values in "
            f"the file: {_WAY_OUT}"
        )


INITIAL = "initial.safetensors"
INITIAL_FACTS = "initial.json"
START = "start"
_LISTED = 3


def resolve_init(config: RunConfig, runs: Path) -> RunConfig:
    """Set ``init`` to the absolute path of the weights file and its SHA-256.

    Args:
        config: the configuration; unchanged if the run starts at random.
        runs: the folder of the runs that ``init`` may name.

    Raises:
        LatentkitError: the file does not exist or cannot be read.
    """
    if config.init is None:
        return config
    path = find_weights(config.init.path, runs).absolute()
    saved = read_saved_weights(path)
    found = {"path": str(path), "sha256": saved.sha256}
    return replace(config, init=config.init.model_copy(update=found))


def saved_weights(config: RunConfig) -> SavedWeights:
    """Return the weights that a resolved configuration starts from.

    Raises:
        IntegrityError: the file was changed, or its SHA-256 is not given.
    """
    assert config.init is not None  # noqa: S101  # only called for runs with saved weights
    if not config.init.sha256:  # such as a stranger's, who would copy your file into the run
        raise errors.IntegrityError(
            f"the run starts from {config.init.path}, but does not say which SHA-256 the file has: "
            f"start a new run with --init-from, if you trust it"
        )
    saved = read_saved_weights(Path(config.init.path))
    if saved.sha256 != config.init.sha256:
        raise errors.IntegrityError(
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
        raise errors.UserError(
            f"no weight in {saved.path} fits the network: the file has names such as {there!r}, "
            f"the network has names such as {here!r}, and names, shapes and types must match"
        )
    network.load_state_dict(
        {name: saved.tensors[source] for name, source in found.sources.items()}, strict=False
    )
    return found


def check_image_shape(context: RunContext, saved: SavedWeights) -> None:
    """Refuse weights of a run on images of another shape.

    Raises:
        UserError: the run's images have another shape.
    """
    folder = saved.path.parent
    if not (folder / NAME).is_file():
        return
    run = RunFolder.open(folder)
    shape = tuple(run.json(run_files.DATA)["image_shape"])
    if shape != context.image_shape:
        raise errors.UserError(
            f"the encoder of run {run.manifest.id} takes images {shape}, and dataset "
            f"{context.config.dataset.name!r} has {context.image_shape}: choose a data set with "
            f"the encoder's shape, or another run"
        )


def commit_start(
    context: StageContext, network: nn.Module, found: Match | None, said: str = ""
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
    folder.commit(INITIAL, START, partial(save_tensors, tensors))
    facts: dict[str, Any] = {"from": None, "sha256": None}
    if found is not None and init is not None:
        facts = {"from": init.path, "sha256": init.sha256, **found.as_dict()}
        context.emit(Notice("init", said or start_text(init.path, found), "info"))
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


def start_network(context: StageContext) -> None:
    """Load saved weights into the model: the work of the stage ``start``."""
    model = context.new_model()
    commit_start(context, model, load_start(model, saved_weights(context.config)))


def check_start(context: RunContext) -> None:
    """Check before a run starts that its model can start from the saved weights.

    Raises:
        UserError: the weights do not fit, or with 0 epochs some would stay random.
    """
    saved = saved_weights(context.config)
    check_image_shape(context, saved)
    found = load_start(context.new_model(), saved)
    missing = [name for name in found.missing if not name.endswith(COUNTER)]
    if missing and context.config.training.epochs == 0:
        raise errors.UserError(
            f"{saved.path} lacks {_listed(missing)} of model {context.config.model.name!r}, and "
            f"without training they would stay random: set the options that the weights were "
            f"trained with, or set training.epochs to 1 or more"
        )
