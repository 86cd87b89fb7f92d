"""Kinds of run: what an autoencoder's run, a transfer and a trial do differently.

The run core (folder, stages, lifecycle) is given a `RunKind` and never asks which one it is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latentkit.config import RunConfig
from latentkit.errors import unexpected_content
from latentkit.plugin.events import TrialInfo
from latentkit.runs import run_files
from latentkit.runs.context import RunContext, StageContext
from latentkit.runs.folder import RunFolder
from latentkit.runs.stages import Stage
from latentkit.training.loop import TrainingJob
from latentkit.training.processes import Processes

if TYPE_CHECKING:
    from latentkit.report.page import Table

Row = tuple[str, str]
Facts = Mapping[str, Any]
SharedWork = Callable[[Processes], None]
"""A process's part of what several do together."""


@dataclass(frozen=True)
class MapImages:
    """What a check of maps has to know of the images.

    Args:
        counts: number of images of each split.
        digest: returns the SHA-256 of the ``train`` or ``test`` images.
        runs: the folder that contains the runs which ``align_to`` names.
        latent_dim: dimensions of the model's latents; 0 if they are not known, or not mapped.
        made: labels of maps that the run already has.
    """

    counts: Mapping[str, int]
    digest: Callable[[str], str]
    runs: Path
    latent_dim: int = 0
    made: Collection[str] = ()

    @classmethod
    def of_stored(cls, folder: RunFolder, context: RunContext, added: Collection[str]) -> MapImages:
        """Return the facts for maps that are added to an existing run.

        Args:
            folder: the run's folder.
            context: the run with the maps that it has.
            added: labels of the maps to add, which are not made yet even if they exist.
        """
        left_out = folder.manifest.left_out
        own = (one for one in context.config.embeddings if f"embed:{one.slug}" not in left_out)
        made = {one.label for one in own}.difference(added)
        if run_files.DATA not in folder.manifest.artefacts:
            return replace(cls.of_context(context), made=made)
        with unexpected_content(folder.path / run_files.DATA):
            facts, runs = folder.json(run_files.DATA), folder.path.parent
            return cls(facts["counts"], facts["digest"].__getitem__, runs, made=made)

    @classmethod
    def of_context(cls, context: RunContext, latent_dim: int = 0) -> MapImages:
        """Return the facts of loaded images, for a run that has no folder yet."""
        counts = {
            "train": len(context.split.train),
            "validation": len(context.split.validation),
            "test": len(context.images("test")),
        }

        def digest(split: str) -> str:
            return context.images("test" if split == "test" else "train").digest()

        return cls(counts, digest, context.runs, latent_dim)


def explorer_stage(
    work: Callable[[StageContext], None], reads: Sequence[str], maps: Sequence[str]
) -> Stage:
    """Return the stage that writes ``explorer.html``.

    Args:
        work: writes the page.
        reads: the files that it needs.
        maps: the files of the run's maps.
    """
    again = ("explore", "--no-open")
    return Stage("explorer", work, reads, uses=maps, optional="explorer", again=again)


class RunKind(ABC):
    """What one kind of run does in each phase of a run's life.

    Attributes:
        name: ``autoencoder``, ``transfer`` or ``trial``.
        points: what its maps show, ``latents`` or ``features``.
        protocol: version of its evaluation card; cards of other versions cannot be compared.
    """

    name: str
    points: str = "latents"
    protocol: int

    @abstractmethod
    def label(self, config: RunConfig) -> str:
        """Return the middle of the folder's name, between the date and four random digits."""

    @abstractmethod
    def prepare(self, context: RunContext, model: Any) -> RunConfig:
        """Check what only this kind has, and replace ``auto`` in the training options.

        Args:
            context: the run before it has a folder; its device and precision are resolved.
            model: the untrained model.

        Raises:
            LatentkitError: something is missing or does not fit.
        """

    @abstractmethod
    def stage_names(self, config: RunConfig) -> tuple[str, ...]:
        """Return the names of the stages in order; known before ``auto`` is resolved."""

    @abstractmethod
    def plan(self, config: RunConfig, *, svg: bool = False) -> list[Stage]:
        """Return the stages of a resolved configuration; ``svg`` adds SVG files to the report."""

    @abstractmethod
    def check_maps(self, config: RunConfig, images: MapImages) -> None:
        """Check that the run's maps can be made, before any work starts.

        Raises:
            UserError: a map needs more points than there are, or its reference does not exist.
        """

    def trial_training(self, context: RunContext, most: int) -> tuple[TrainingJob, int] | None:
        """Return the run's longest training with a new model, to measure what it needs.

        Args:
            context: the run before it has a folder, with its configuration resolved.
            most: how many of its training images it has; they are spread over all.

        Returns:
            The training, and how many training images the run has; None if nobody asks.
        """
        return None

    def shared_work(self, context: RunContext) -> Mapping[str, SharedWork]:
        """Return what the other processes do in each stage that several processes share.

        Args:
            context: the run, in a process that has no access to its folder.
        """
        return {}

    def memory_after_training(self, context: RunContext, latent_dim: int) -> int:
        """Return the bytes that maps and card take at most; 0 if they are not known."""
        return 0

    def check_more_epochs(self, config: RunConfig, run: str) -> None:  # noqa: B027  # most can
        """Refuse more epochs if this kind cannot train longer; ``run`` is the run's id."""

    @abstractmethod
    def summary(self, card: Facts) -> dict[str, Any]:
        """Return what the run's summary takes from its evaluation card."""

    @abstractmethod
    def rows(self, summary: Facts) -> list[Row]:
        """Return the main results of a summary as rows of name and text."""

    @abstractmethod
    def tables(self, card: Facts) -> list[Table]:
        """Return an evaluation card as tables."""

    @abstractmethod
    def next_command(self, path: Path, summary: Facts) -> str:
        """Return a useful command after a finished run."""

    @abstractmethod
    def trained(self, context: StageContext) -> Any:
        """Return the trained network on the context's device, in eval mode."""

    def trial(self, folder: RunFolder, config: RunConfig) -> TrialInfo | None:
        """Return which trial a run is; None if it does not belong to a study."""
        return None


KindOf = Callable[[RunFolder], RunKind]
"""Returns the kind of an existing run."""
