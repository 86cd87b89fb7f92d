"""Stages: what each one reads, whether it is current, and execution of those that are not."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from latentkit.errors import IntegrityError
from latentkit.pipeline.context import RunContext
from latentkit.pipeline.environment import peak_rss_bytes
from latentkit.plugin.events import Listener, Notice, StageFinished, StageSkipped, StageStarted
from latentkit.runs.folder import RunFolder
from latentkit.runs.manifest import StageRecord


@dataclass(frozen=True)
class Stage:
    """One stage of a run.

    Args:
        name: unique in the run.
        work: executes the stage, and commits artefacts under the stage's name.
        reads: artefacts of earlier stages that the stage depends on.
        settings: text or hash of options that the stage depends on besides the run's identity.
    """

    name: str
    work: Callable[[RunContext], None]
    reads: Sequence[str] = ()
    settings: str = ""


def run_stages(stages: Iterable[Stage], context: RunContext, afresh: Collection[str] = ()) -> None:
    """Execute every stage that is not current, in order, and record each one when it ends.

    Earlier artefacts of a stage are kept until the stage commits new ones, so a stage that fails
    before that loses nothing. Stages named in ``afresh`` are executed even if they are current.
    """
    for stage in stages:
        if stage.name not in afresh and is_current(stage, context.folder):
            context.tell(StageSkipped(stage.name))
            continue
        if not _is_whole(stage, context.folder):
            context.folder.forget_stage(stage.name)
        context.tell(StageStarted(stage.name))
        started = time.perf_counter()
        with warnings_told(context.tell):
            stage.work(context)
        seconds = time.perf_counter() - started
        inputs = {path: context.folder.manifest.artefacts[path].sha256 for path in stage.reads}
        record = StageRecord(inputs=inputs, seconds=seconds, settings=stage.settings)
        context.folder.finish_stage(stage.name, record)
        context.tell(StageFinished(stage.name, seconds, peak_rss_bytes()))


def is_current(stage: Stage, folder: RunFolder) -> bool:
    """Return whether a stage is committed and was made from the artefacts that exist now.

    A missing file makes the stage out of date. A changed file is an error, because executing
    the stage again would overwrite the user's changes.

    Raises:
        IntegrityError: a file of the stage was changed.
    """
    record = folder.manifest.stages.get(stage.name)
    if record is None or record.settings != stage.settings:
        return False
    artefacts = folder.manifest.artefacts
    if any(p not in artefacts or artefacts[p].sha256 != record.inputs.get(p) for p in stage.reads):
        return False
    if not _is_whole(stage, folder):
        return False
    for path in _artefacts_of(stage, folder):
        folder.verified(path)
    return True


def _is_whole(stage: Stage, folder: RunFolder) -> bool:
    return all((folder.path / path).exists() for path in _artefacts_of(stage, folder))


def _artefacts_of(stage: Stage, folder: RunFolder) -> list[str]:
    artefacts = folder.manifest.artefacts.items()
    return [path for path, artefact in artefacts if artefact.stage == stage.name]


def check_integrity(folder: RunFolder) -> list[str]:
    """Return an error message for each artefact that is missing or was changed."""
    faults = []
    for path in folder.manifest.artefacts:
        try:
            folder.verified(path)
        except IntegrityError as error:
            faults.append(str(error))
    return faults


@contextmanager
def warnings_told(tell: Listener) -> Iterator[None]:
    """Report Python warnings of libraries as notices, each text once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        yield
    for text in dict.fromkeys(" ".join(str(item.message).split()) for item in caught):
        tell(Notice("library-warning", text))
