"""Checks of a transfer, and values for its ``auto`` options, before its folder is made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import nn

from latentkit.config import RunConfig, TransferOptions
from latentkit.errors import UserError, unexpected_content
from latentkit.runs import initial_weights, run_files
from latentkit.runs.context import RunContext
from latentkit.runs.folder import RunFolder
from latentkit.runs.prepare import with_counts
from latentkit.transfer.classifier import Classifier
from latentkit.transfer.fit import (
    HEAD,
    NETWORK,
    Fit,
    check_classes,
    featured,
    labels_of,
    new_classifier,
    rows_of_fit,
    series_of,
    transfer_of,
)


def prepare_transfer(context: RunContext) -> RunConfig:
    """Check a transfer, and return its configuration with values for ``auto``.

    Raises:
        UserError: there are no labels, a class has no labels, or the network or the weights do
            not fit.
    """
    config, options = context.config, transfer_of(context.config)
    if options.mode != "all" and len(options.labels) > 1:
        raise UserError(
            f"--mode {options.mode} takes one share of labels, but {len(options.labels)} are "
            f"given: give one, or compare several with --mode all"
        )
    if config.training.batch_size == 1 and config.training.epochs != 0:
        raise UserError(
            "training.batch_size=1 does not go with a transfer, whose head (transfer.hidden) has "
            "batch normalisation: set training.batch_size to 2 or more"
        )
    _check_labels(context)
    counts = {wanted: _count(context, wanted) for wanted in options.labels}
    ordered = sorted(counts, key=lambda wanted: counts[wanted])
    resolved = _with_fits(config, options, ordered, [counts[w] for w in ordered])
    context.config = resolved
    for fit in _every_fit(resolved):
        _check_given(context, fit)
    classifier = new_classifier(context, featured(resolved), _classes(context))
    if resolved.init is not None:
        saved = initial_weights.saved_weights(resolved)
        initial_weights.check_image_shape(context, saved)
        start_classifier(context, classifier)
    return resolved


def start_classifier(context: RunContext, classifier: Classifier) -> initial_weights.Match:
    """Load the weights that a transfer starts from into its classifier; return what matches.

    Raises:
        UserError: no weight fits, or a weight that must fit does not.
    """
    options, saved = transfer_of(context.config), initial_weights.saved_weights(context.config)
    encoders = _are_encoders(saved, classifier.network, options)
    if encoders:
        found = initial_weights.load_start(classifier.network, saved).within(NETWORK)
    else:
        leave = HEAD if options.new_head else ""
        found = initial_weights.load_start(classifier, saved, leave=leave)
    if not options.new_head and not encoders:
        _check_head(found, saved.path, len(classifier.head), context.config.dataset.name)
    own = _is_parents(options, saved.path)
    lacking = [name for name in found.missing if not name.startswith(HEAD)]
    if own and lacking:
        raise UserError(
            f"the encoder of {options.parent} does not fit the network ({lacking[0]}): do not "
            f"change the options of its model"
        )
    return found


def whole_encoder_text(config: RunConfig, found: initial_weights.Match) -> str:
    """Return a sentence that says which weights a transfer takes from its own parent.

    Returns:
        The sentence; empty if the weights come from elsewhere, or if a head fits only in part.
    """
    options = transfer_of(config)
    if config.init is None or not _is_parents(options, Path(config.init.path)):
        return ""
    missing = [name for name in found.missing if not name.endswith(initial_weights.COUNTER)]
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


def have_images_changed(context: RunContext) -> bool:
    """Return whether a transfer uses its parent's data set, but other images than its parent."""
    assert context.config.init is not None  # noqa: S101  # a transfer with a parent
    parent = RunFolder.open(Path(context.config.init.path).parent)
    if parent.manifest.config.get("dataset") != context.config.dataset.as_dict():
        return False
    with unexpected_content(parent.path / run_files.DATA):
        known = parent.json(run_files.DATA)["digest"]
        train, test = context.images("train"), context.images("test")
        return bool(train.digest() != known["train"] or test.digest() != known["test"])


def _are_encoders(
    saved: initial_weights.SavedWeights, network: nn.Module, options: TransferOptions
) -> bool:
    """Return whether saved weights are those of an encoder, whose parts may have any name.

    Names that start with ``head.`` then mean a part of the encoder, and not the classifier's head.
    A run knows what it is. Of other files, the names decide.
    """
    if _is_parents(options, saved.path):
        return "transfer" not in RunFolder.open(saved.path.parent).manifest.config
    own = network.state_dict().keys()
    classifiers = {NETWORK + name for name in own} & saved.tensors.keys()
    has_head = any(name.startswith(HEAD) for name in own)
    return has_head and len(own & saved.tensors.keys()) > len(classifiers)


def _is_parents(options: TransferOptions, weights: Path) -> bool:
    return options.parent != "" and options.parent == weights.parent.name


def _check_head(found: initial_weights.Match, path: Path, layers: int, dataset: str) -> None:
    """Refuse a saved head that fits only in part."""
    shapes = {name: (here, there) for name, here, there in found.other_shape}
    last = f"{HEAD}{layers - 1}.weight"
    if last in shapes and shapes[last][0][1:] == shapes[last][1][1:]:
        here, there = shapes[last]
        raise UserError(
            f"the head in {path} has {there[0]} classes, but dataset {dataset!r} has {here[0]}: "
            f"use -o transfer.new_head=true for a new head, or choose another data set"
        )
    wrong = [name for name in (*shapes, *found.unused) if name.startswith(HEAD)]
    if wrong:
        raise UserError(
            f"the head in {path} has other layer widths ({wrong[0]} does not fit): use "
            f"-o transfer.new_head=true, or set transfer.hidden to its widths"
        )


def _check_labels(context: RunContext) -> None:
    for split in ("training", "test"):
        labels_of(context, split)


def _check_given(context: RunContext, fit: Fit) -> None:
    given = labels_of(context, "train")[rows_of_fit(context, fit)]
    known = np.concatenate([labels_of(context, split) for split in ("train", "test")])
    names = context.images("train").class_names
    check_classes(given, known, names, context.config.dataset.name)


def _classes(context: RunContext) -> int:
    return len(context.images("train").class_names)


def _count(context: RunContext, wanted: float) -> int:
    fit = Fit("probe", wanted, context.seed, context.config.training)
    return len(rows_of_fit(context, fit))


def _every_fit(config: RunConfig) -> list[Fit]:
    fits = [fit for series in series_of(config) for fit in series.fits if fit.mode == "probe"]
    return fits or [featured(config)]


def _with_fits(
    config: RunConfig,
    options: TransferOptions,
    labels: list[float],
    counts: list[int],
) -> RunConfig:
    """Fill in epochs and batch sizes: for the most labels and, in mode ``all``, each share."""
    trainings = [with_counts(config, n).training for n in counts]
    update: dict[str, object] = {"labels": tuple(labels)}
    if options.mode == "all":
        update["fit_epochs"] = tuple(int(t.epochs) for t in trainings)
        update["fit_batch_sizes"] = tuple(int(t.batch_size) for t in trainings)
    return replace(config, training=trainings[-1], transfer=options.model_copy(update=update))
