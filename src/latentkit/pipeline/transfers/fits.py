"""The classifiers that a transfer trains."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest

from latentkit.classifiers.labelled import label_text
from latentkit.config import FITS, Mode, RunConfig, TrainingOptions, TransferOptions


@dataclass(frozen=True)
class Fit:
    """One classifier to train.

    Args:
        mode: ``probe``, ``finetune`` or ``scratch``.
        labels: how many labels it uses: a share as a float, a number as an int.
        seed: seed of its labels, its head and the order of its images.
        training: options with the epochs and the batch size for this number of labels.
    """

    mode: Mode
    labels: float | int
    seed: int
    training: TrainingOptions

    @property
    def name(self) -> str:
        """The name of its folder of checkpoints."""
        return f"{self.mode}-{label_text(self.labels)}-seed{self.seed}"


@dataclass(frozen=True)
class Series:
    """The fits of one mode and one share of labels, one for each seed."""

    mode: Mode
    labels: float | int
    fits: tuple[Fit, ...]

    @property
    def name(self) -> str:
        """The name of its stage and its file."""
        return f"{self.mode}-{label_text(self.labels)}"


def transfer_of(config: RunConfig) -> TransferOptions:
    """Return the transfer options of a transfer's configuration."""
    assert config.transfer is not None  # noqa: S101  # only called for transfers
    return config.transfer


def featured(config: RunConfig) -> Fit:
    """Return the classifier that a transfer reports in full.

    In mode ``all`` it is the fine-tuned one with the most labels and the run's own seed.
    """
    options = transfer_of(config)
    mode = "finetune" if options.mode == "all" else options.mode
    return Fit(mode, options.labels[-1], config.run.seed, config.training)


def series_of(config: RunConfig) -> list[Series]:
    """Return the series that mode ``all`` compares, fewest labels first; none in other modes."""
    options = transfer_of(config)
    if options.mode != "all":
        return []
    found = []
    # Before a run is prepared, its plan is only used for names, and the counts are still empty.
    counts = zip_longest(options.labels, options.fit_epochs, options.fit_batch_sizes)
    for labels, epochs, batch_size in counts:
        counted = {"epochs": epochs, "batch_size": batch_size} if epochs else {}
        training = config.training.model_copy(update=counted)
        for mode in FITS:
            seeds = range(config.run.seed, config.run.seed + options.seeds)
            fits = tuple(Fit(mode, labels, seed, training) for seed in seeds)
            found.append(Series(mode, labels, fits))
    return found
