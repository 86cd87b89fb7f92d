"""What a run reports while it works, as data.

Whoever wants to show, log or forward progress receives these records; nobody who works on a
run prints anything. Records that are `transient` are for display and are not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from latentkit.plugin.options import SearchDomain


@dataclass(frozen=True)
class StudyInfo:
    """What a plugin is told of a study.

    Args:
        name: of the study.
        path: its folder on this machine.
        identity: SHA-256 of all that decides its trials: the same on every machine that works on
            the study.
        trials: how many finished trials it shall have.
        objectives: what they are called.
        directions: of each objective, ``"minimize"`` or ``"maximize"``.
        space: where is searched, by ``"part.option"``.
        tuner: the tuner's name and options.
        config: the configuration over which a trial's options are laid.
        storage: URL without password of a database that machines share; empty where the trials
            lie in the study's folder.
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
    """Which trial of a study a run is.

    Args:
        study: the study.
        number: of the trial, from 0.
        params: what the tuner chose, by ``"part.option"``.
    """

    study: StudyInfo
    number: int
    params: Mapping[str, Any]


@dataclass(frozen=True)
class RunInfo:
    """What a plugin is told of a run.

    Args:
        id: the name of the run's folder.
        path: the run's folder.
        config: the resolved configuration, as in ``config.toml``.
        resumed: whether the run goes on from an earlier process.
        trial: the trial of a study that it is; None for a run on its own.
        config_sha256: of the configuration without its embeddings: what makes the trained model.
        versions: of Python and of the packages that the run began with, by name.
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
        """Return the event as a JSON object, its type under ``"event"``."""
        return {"event": type(self).__name__, **asdict(self)}


@dataclass(frozen=True)
class RunPreparing(Event):
    """Packages and images are being loaded; there is no folder yet."""

    transient: ClassVar[bool] = True

    stages: tuple[str, ...]


@dataclass(frozen=True)
class RunStarted(Event):
    """A run begins or is resumed; ``stages`` are all its stages in order."""

    run: str
    path: str
    stages: tuple[str, ...]
    resumed: bool


@dataclass(frozen=True)
class StageStarted(Event):
    """A stage begins."""

    stage: str


@dataclass(frozen=True)
class StageSkipped(Event):
    """A stage is not done again, for its results are committed."""

    stage: str


@dataclass(frozen=True)
class StageProgress(Event):
    """A stage is ``done`` of ``total`` steps along; 0 in all where their number is not known."""

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
    """Training begins after ``first_epoch`` finished epochs, on ``device`` in ``precision``.

    ``placement`` says where the images are: in memory, or streamed because they do not fit. In
    the first ``warm_up_steps`` the model's loss is not yet what it will be.
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
    """``step`` of ``steps`` in ``epoch`` is done; ``loss`` is the epoch's mean so far."""

    transient: ClassVar[bool] = True

    epoch: int
    step: int
    steps: int
    loss: float


@dataclass(frozen=True)
class EpochFinished(Event):
    """An epoch is over.

    Args:
        epoch: its number, from 1.
        epochs: how many there will be.
        train: mean of each loss term over the epoch's training batches.
        validation: mean of each loss term over the validation images, in eval mode.
        learning_rate: at the epoch's last step.
        seconds: for training, without validation.
    """

    epoch: int
    epochs: int
    train: Mapping[str, float]
    validation: Mapping[str, float]
    learning_rate: float
    seconds: float


@dataclass(frozen=True)
class Notice(Event):
    """Something the user should know; ``code`` is a stable name for it."""

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
    """A study begins or is gone on with.

    Args:
        study: its name.
        path: its folder.
        trials: how many finished trials it shall have.
        objectives: what they are called.
        maximised: of each objective, whether more is better.
        workers: processes of this machine that work on it.
    """

    study: str
    path: str
    trials: int
    objectives: tuple[str, ...]
    maximised: tuple[bool, ...]
    workers: int = 1


@dataclass(frozen=True)
class TrialStarted(Event):
    """A trial begins, or is gone on with."""

    number: int
    params: Mapping[str, Any]


@dataclass(frozen=True)
class TrialReported(Event):
    """A trial's value after ``epoch`` of at most ``epochs``."""

    number: int
    epoch: int
    epochs: int
    value: float


@dataclass(frozen=True)
class TrialFinished(Event):
    """A trial ended: ``complete``, ``pruned`` or ``failed``.

    Args:
        number: of the trial.
        state: how it ended.
        values: of each objective; empty unless it completed.
        epochs: that it was trained for.
        of_epochs: that it would have been trained for at most.
        seconds: that it took.
        error: why it failed; empty unless it did.
        earlier: whether it ended before this command began.
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
"""Whoever wants to hear of events."""


def fan_out(*listeners: Listener) -> Listener:
    """Return one listener that tells all of ``listeners``, in order."""

    def tell(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return tell


def ignore(event: Event) -> None:
    """Listen to nothing."""
