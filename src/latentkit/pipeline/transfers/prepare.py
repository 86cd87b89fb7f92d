"""What is found out about a transfer before its folder is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from latentkit.classifiers.classifier import Classifier
from latentkit.classifiers.labelled import check_classes
from latentkit.classifiers.matching import COUNTER, Match
from latentkit.config import RunConfig, TransferOptions
from latentkit.errors import UserError
from latentkit.pipeline.context import Workshop
from latentkit.pipeline.start import check_image_shape, load_start, saved_weights
from latentkit.pipeline.transfers.building import HEAD, labelled_rows, labels_of, new_classifier
from latentkit.pipeline.transfers.fits import Fit, featured, series_of, transfer_of

WithCounts = Callable[[RunConfig, int], RunConfig]
"""Turns ``auto`` epochs and batch size into numbers for so many images."""


def prepare_transfer(workshop: Workshop, with_counts: WithCounts) -> RunConfig:
    """Return the configuration with its numbers, after whatever can be wrong was looked for.

    Raises:
        UserError: there are no labels, or none of a class; the network or the weights do not fit.
    """
    config, options = workshop.config, transfer_of(workshop.config)
    if options.mode != "all" and len(options.labels) > 1:
        raise UserError(
            f"--mode {options.mode} takes one share of labels and {len(options.labels)} are given: "
            f"only --mode all compares several"
        )
    _check_labels(workshop)
    counts = {wanted: _count(workshop, wanted) for wanted in options.labels}
    ordered = sorted(counts, key=lambda wanted: counts[wanted])
    resolved = _with_fits(config, options, ordered, [counts[w] for w in ordered], with_counts)
    workshop.config = resolved
    for fit in _every_fit(resolved):
        _check_given(workshop, fit)
    classifier = new_classifier(workshop, featured(resolved), _classes(workshop))
    if resolved.init is not None:
        saved = saved_weights(resolved)
        check_image_shape(workshop, saved)
        start_classifier(workshop, classifier)
    return resolved


def start_classifier(workshop: Workshop, classifier: Classifier) -> Match:
    """Put the weights that a transfer starts from into its classifier, and return what fits.

    Raises:
        UserError: nothing fits, or not all of what should.
    """
    options, saved = transfer_of(workshop.config), saved_weights(workshop.config)
    found = load_start(classifier, saved, leave=HEAD if options.new_head else "")
    if not options.new_head:
        _check_head(found, saved.path, len(classifier.head), workshop.config.dataset.name)
    own = _is_parents(options, saved.path)
    lacking = [name for name in found.missing if not name.startswith(HEAD)]
    if own and lacking:
        raise UserError(
            f"the encoder of {options.parent} does not fit the network ({lacking[0]}): leave the "
            f"options of its model as they are"
        )
    return found


def whole_encoder_text(config: RunConfig, found: Match) -> str:
    """Return in a sentence what a transfer takes over of its own parent.

    Returns:
        The empty string where the weights are from elsewhere, or a head fits in part.
    """
    options = transfer_of(config)
    if config.init is None or not _is_parents(options, Path(config.init.path)):
        return ""
    missing = [name for name in found.missing if not name.endswith(COUNTER)]
    head = [name for name in found.sources if name.startswith(HEAD)]
    if not head and all(name.startswith(HEAD) for name in missing):
        taken, rest = "the encoder's", "; the head starts at random"
    elif head and not missing:
        taken, rest = "the encoder's and the head's", ""
    else:
        return ""
    if any(not name.startswith(HEAD) for name in found.unused):
        rest += "; what the features do not need, such as the decoder, is left out"
    return f"start: {taken} {len(found.sources)} tensors are those of {options.parent}{rest}"


def _is_parents(options: TransferOptions, weights: Path) -> bool:
    return options.parent != "" and options.parent == weights.parent.name


def _check_head(found: Match, path: Path, layers: int, dataset: str) -> None:
    """Refuse a saved head of which only a part fits."""
    shapes = {name: (here, there) for name, here, there in found.other_shape}
    last = f"{HEAD}{layers - 1}.weight"
    if last in shapes and shapes[last][0][1:] == shapes[last][1][1:]:
        here, there = shapes[last]
        raise UserError(
            f"{path} tells {there[0]} classes apart, and dataset {dataset!r} has {here[0]}: say "
            f"-o transfer.new_head=true for a new head on its encoder, or choose another dataset"
        )
    wrong = [name for name in (*shapes, *found.unused) if name.startswith(HEAD)]
    if wrong:
        raise UserError(
            f"{path} has a head of other widths ({wrong[0]} does not fit): say "
            f"-o transfer.new_head=true, or set transfer.hidden to its widths"
        )


def _check_labels(workshop: Workshop) -> None:
    for split in ("training", "test"):
        labels_of(workshop, split)
    train, test = workshop.images("train"), workshop.images("test")
    if train.class_names != test.class_names:
        raise UserError(
            f"dataset {workshop.config.dataset.name!r} has {len(train.class_names)} classes of "
            f"training images and {len(test.class_names)} of test images: they must be the same"
        )


def _check_given(workshop: Workshop, fit: Fit) -> None:
    given = labels_of(workshop, "train")[labelled_rows(workshop, fit)]
    known = np.concatenate([labels_of(workshop, split) for split in ("train", "test")])
    names = workshop.images("train").class_names
    check_classes(given, known, names, workshop.config.dataset.name)


def _classes(workshop: Workshop) -> int:
    return len(workshop.images("train").class_names)


def _count(workshop: Workshop, wanted: float) -> int:
    fit = Fit("probe", wanted, workshop.seed, workshop.config.training)
    return len(labelled_rows(workshop, fit))


def _every_fit(config: RunConfig) -> list[Fit]:
    fits = [fit for series in series_of(config) for fit in series.fits if fit.mode == "probe"]
    return fits or [featured(config)]


def _with_fits(
    config: RunConfig,
    options: TransferOptions,
    labels: list[float],
    counts: list[int],
    with_counts: WithCounts,
) -> RunConfig:
    """Fill in epochs and batch sizes: of the most labels, and in mode ``all`` of each share."""
    trainings = [with_counts(config, n).training for n in counts]
    update: dict[str, object] = {"labels": tuple(labels)}
    if options.mode == "all":
        update["fit_epochs"] = tuple(int(t.epochs) for t in trainings)
        update["fit_batch_sizes"] = tuple(int(t.batch_size) for t in trainings)
    return replace(config, training=trainings[-1], transfer=options.model_copy(update=update))
