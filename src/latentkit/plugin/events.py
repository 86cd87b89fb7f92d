"""Events that a run reports while it works, and their form as flat tables for trackers.

The code that executes a run prints nothing. It sends these records to listeners, which display,
log or forward them. Events with ``transient = True`` are for display only and are not logged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from latentkit.plugin.options import SearchDomain


@dataclass(frozen=True)
class StudyInfo:
    """What a plugin receives about a study.

    Args:
        name: name of the study.
        path: its folder on this machine.
        identity: SHA-256 of everything that determines the trials. It is the same on every machine
            that works on the study.
        trials: how many finished trials the study should have.
        objectives: names of the objectives.
        directions: ``"minimize"`` or ``"maximize"``, one for each objective.
        space: the search space, by ``"part.option"``.
        tuner: the tuner's name and options.
        config: the base configuration, which each trial's options override.
        storage: URL, without password, of the database that several machines share; empty if the
            trials are stored in the study's folder.
    """

    name: str
    path: Path
    identity: str
    trials: int
    objectives: tuple[str, ...]
    directions: tuple[str, ...]
    space: Mapping[str, SearchDomain]
    tuner: Mapping[str, Any]
    config: Mapping[str, Any]
    storage: str = ""


@dataclass(frozen=True)
class TrialInfo:
    """The trial that a run executes.

    Args:
        study: the study.
        number: the trial's number, from 0.
        params: the values that the tuner chose, by ``"part.option"``.
    """

    study: StudyInfo
    number: int
    params: Mapping[str, Any]


@dataclass(frozen=True)
class RunInfo:
    """What a plugin receives about a run.

    Args:
        id: the name of the run's folder.
        path: the run's folder.
        config: the resolved configuration, as in ``config.toml``.
        resumed: whether the run continues the work of an earlier process.
        trial: the trial that the run executes; None if the run is not part of a study.
        config_sha256: SHA-256 of the configuration without its embeddings, which is the part that
            determines the trained model.
        versions: versions of Python and of the packages when the run started, by name.
    """

    id: str
    path: Path
    config: Mapping[str, Any]
    resumed: bool = False
    trial: TrialInfo | None = None
    config_sha256: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Event:
    """Base of all events."""

    transient: ClassVar[bool] = False

    def as_dict(self) -> dict[str, Any]:
        """Return the event as a JSON object, with its type under ``"event"``."""
        return {"event": type(self).__name__, **asdict(self)}


@dataclass(frozen=True)
class RunPreparing(Event):
    """Packages and images are being loaded; the run has no folder yet."""

    transient: ClassVar[bool] = True

    stages: tuple[str, ...]


@dataclass(frozen=True)
class RunStarted(Event):
    """A run starts or is resumed; ``stages`` lists all its stages in order."""

    run: str
    path: str
    stages: tuple[str, ...]
    resumed: bool


@dataclass(frozen=True)
class StageStarted(Event):
    """A stage starts."""

    stage: str


@dataclass(frozen=True)
class StageSkipped(Event):
    """A stage is skipped because its results are already committed."""

    stage: str


@dataclass(frozen=True)
class StageProgress(Event):
    """A stage has finished ``done`` of ``total`` steps; ``total`` is 0 if it is not known."""

    transient: ClassVar[bool] = True

    stage: str
    done: int
    total: int
    detail: str = ""


@dataclass(frozen=True)
class StageFinished(Event):
    """A stage is committed; ``peak_rss_bytes`` is the process's peak resident memory so far."""

    stage: str
    seconds: float
    peak_rss_bytes: int


@dataclass(frozen=True)
class TrainingStarted(Event):
    """Training starts on ``device`` in ``precision``, after ``first_epoch`` finished epochs.

    ``placement`` says where the images are: in memory, or streamed because they do not fit. The
    model's loss changes its form during the first ``warm_up_steps`` steps.
    """

    epochs: int
    first_epoch: int
    steps_per_epoch: int
    parameters: int
    device: str
    precision: str
    placement: str = "in memory"
    warm_up_steps: int = 0


@dataclass(frozen=True)
class BatchFinished(Event):
    """Step ``step`` of ``steps`` in ``epoch`` is done; ``loss`` is the epoch's mean so far."""

    transient: ClassVar[bool] = True

    epoch: int
    step: int
    steps: int
    loss: float


@dataclass(frozen=True)
class EpochFinished(Event):
    """An epoch is finished.

    Args:
        epoch: its number, from 1.
        epochs: how many epochs the run will train.
        train: mean of each loss term over the epoch's training batches.
        validation: mean of each loss term over the validation images, in eval mode.
        learning_rate: the learning rate at the epoch's last step.
        seconds: time spent on training, without validation.
        memory_bytes: largest resident memory of the process so far in training; 0 if not known.
        device_memory_bytes: the same of tensors on a CUDA device; 0 on other devices.
    """

    epoch: int
    epochs: int
    train: Mapping[str, float]
    validation: Mapping[str, float]
    learning_rate: float
    seconds: float
    memory_bytes: int = 0
    device_memory_bytes: int = 0


@dataclass(frozen=True)
class Notice(Event):
    """A message for the user; ``code`` is its stable name."""

    code: str
    message: str
    level: Literal["info", "warning"] = "warning"


@dataclass(frozen=True)
class RunFinished(Event):
    """The run ended: ``finished``, ``interrupted``, ``failed``, or ``pruned`` by a tuner."""

    run: str
    status: str
    seconds: float
    summary: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StudyStarted(Event):
    """A study starts or is resumed.

    Args:
        study: its name.
        path: its folder.
        trials: how many finished trials it should have.
        objectives: names of the objectives.
        maximised: whether a larger value is better, for each objective.
        workers: number of processes on this machine that work on the study.
    """

    study: str
    path: str
    trials: int
    objectives: tuple[str, ...]
    maximised: tuple[bool, ...]
    workers: int = 1


@dataclass(frozen=True)
class TrialStarted(Event):
    """A trial starts or is resumed."""

    number: int
    params: Mapping[str, Any]


@dataclass(frozen=True)
class TrialReported(Event):
    """A trial reports its value after ``epoch``, of at most ``epochs``."""

    number: int
    epoch: int
    epochs: int
    value: float


@dataclass(frozen=True)
class TrialFinished(Event):
    """A trial ended: ``complete``, ``pruned`` or ``failed``.

    Args:
        number: the trial's number.
        state: how it ended.
        values: one value for each objective; empty unless the trial completed.
        epochs: number of epochs that were trained.
        of_epochs: greatest number of epochs that it could have trained.
        seconds: how long it took.
        error: why it failed; empty unless it failed.
        earlier: whether it ended before this command started.
    """

    number: int
    state: str
    values: tuple[float, ...]
    epochs: int
    of_epochs: int
    seconds: float
    error: str = ""
    earlier: bool = False


Listener = Callable[[Event], None]
"""A function that receives events."""


def fan_out(*listeners: Listener) -> Listener:
    """Return a listener that passes each event to all of ``listeners``, in order."""

    def emit(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return emit


def ignore(event: Event) -> None:
    """Discard the event."""


_LABELS = ("name", "share", "k")
"""Keys that identify a table within a list of tables."""


def flat_options(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's configuration as a flat dictionary keyed by ``"part.option"``.

    Args:
        config: as in `RunInfo.config`.

    Returns:
        Numbers, strings, booleans and lists of these. If a run may have several parts of a kind,
        the key includes the part's name, as in ``"corruption.gaussian-noise.std"``. A second part
        with the same name gets a number: ``"corruption.gaussian-noise-2.std"``.
    """
    return dict(_leaves(config, "", "."))


def flat_figures(summary: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of a finished run as a flat dictionary keyed by ``"part/figure"``.

    Args:
        summary: as `latentkit_run_finished` receives it.

    Returns:
        Numbers. A figure with an error or an interval gives only its value, as in
        ``"reconstruction/mse"``. The key of a table in a list includes the table's label, as in
        ``"representation/spaces/latents/knn/share-0.1/accuracy"``. Strings, booleans and lists
        of numbers are left out.
    """
    leaves = _leaves(summary, "", "/")
    return {
        key.removesuffix("/value"): float(value)
        for key, value in leaves
        if isinstance(value, int | float)
        and not isinstance(value, bool)
        and not key.endswith(("/standard_error", "/low", "/high"))
    }


def _leaves(document: Mapping[str, Any], above: str, joint: str) -> Iterator[tuple[str, Any]]:
    for key, value in document.items():
        path = f"{above}{joint}{key}" if above else key
        if isinstance(value, Mapping):
            yield from _leaves(value, path, joint)
        elif isinstance(value, list | tuple) and any(isinstance(one, Mapping) for one in value):
            yield from _tables(value, path, joint)
        else:
            yield path, value


def _tables(tables: Any, path: str, joint: str) -> Iterator[tuple[str, Any]]:
    seen: dict[str, int] = {}
    for number, table in enumerate(tables):
        label = next((key for key in _LABELS if key in table), "")
        text = str(table.get(label, number))
        name = text if label in ("", "name") else f"{label}-{text}"
        seen[name] = seen.get(name, 0) + 1
        unique = name if seen[name] == 1 else f"{name}-{seen[name]}"
        rest = {key: value for key, value in table.items() if key != label or label == "name"}
        yield from _leaves(rest, f"{path}{joint}{unique}", joint)
