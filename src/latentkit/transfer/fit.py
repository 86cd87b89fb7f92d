"""The classifiers that a transfer trains: their labels, networks, images and training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from latentkit.config import FITS, Mode, RunConfig, TrainingOptions, TransferOptions
from latentkit.data.batches import (
    Augmentation,
    CorruptionChain,
    LabelledImages,
    augmentation_of,
)
from latentkit.errors import UserError
from latentkit.evaluation.representation import labelled_rows
from latentkit.plugin.downloads import saved_weights_follow
from latentkit.plugin.events import Listener
from latentkit.plugin.seeds import stream_seed
from latentkit.runs import run_files
from latentkit.runs.context import (
    RunContext,
    StageContext,
    build_model,
    check_size,
    load_weights,
    stored_class_names,
)
from latentkit.runs.initial_weights import INITIAL, INITIAL_FACTS
from latentkit.training.checkpoint import CheckpointStore
from latentkit.training.loop import Trained, TrainingJob, train
from latentkit.transfer.classifier import Classifier

Labels = NDArray[np.int64]


def draw_labelled(labels: Labels, wanted: float | int, seed: int) -> NDArray[np.int64]:
    """Return the rows (M,), in ascending order, whose labels the classifier may use.

    Args:
        labels: (N,), those of the training images.
        wanted: a float up to 1 is the share of each class, with at least one label of each. An
            int is the total number, drawn in proportion to the classes.
        seed: seed of the draw. With the same seed, a smaller share is a subset of a larger one.

    Raises:
        UserError: there are fewer labels than wanted.
    """
    if isinstance(wanted, float):
        return labelled_rows(labels, wanted, seed)
    if wanted > len(labels):
        raise UserError(
            f"{wanted:,} labels are asked for and there are {len(labels):,} training images: "
            f"use a smaller number for --labels"
        )
    order = np.random.default_rng(seed).permutation(len(labels))
    sizes = np.bincount(labels)
    # The place of each row in its class, from 0 to 1. The `wanted` rows with the smallest places
    # then contain the classes in proportion.
    places = np.empty(len(labels))
    for label in np.flatnonzero(sizes):
        own = order[labels[order] == label]
        places[own] = (np.arange(len(own)) + 0.5) / len(own)
    chosen = order[np.argsort(places[order], kind="stable")[:wanted]]
    return np.sort(chosen)


def check_classes(given: Labels, known: Labels, class_names: tuple[str, ...], dataset: str) -> None:
    """Refuse labels in which a class is missing.

    Args:
        given: the labels that the classifier may use.
        known: all labels of training and test images.
        class_names: name of each label.
        dataset: name of the dataset, for the message.

    Raises:
        UserError: there is only one class, or a class is not among the given labels.
    """
    classes = np.unique(known)
    if len(classes) < 2:
        raise UserError(f"dataset {dataset!r} has one class only: choose one with two or more")
    missing = np.setdiff1d(classes, given)
    if len(missing):
        names = ", ".join(repr(class_names[label]) for label in missing[:3])
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise UserError(
            f"the {len(given):,} labels include none of class {names}{more}: use more --labels, or "
            f"a share such as --labels 10%, which includes every class"
        )


def label_text(wanted: float | int) -> str:
    """Return a share as text such as ``10%``, and a number of labels as ``500``."""
    return f"{100 * wanted:.6g}%" if isinstance(wanted, float) else str(wanted)


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


HEAD, NETWORK = "head.", "network."
"""Starts of the names of a classifier's weights: of its head, and of its encoder."""


def new_classifier(context: RunContext, fit: Fit, classes: int) -> Classifier:
    """Build a fit's classifier on the device, with initial weights drawn from the fit's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(fit.seed, "initialisation"))
        with saved_weights_follow():
            classifier = _built(context, fit, classes)
    classifier.to(context.device)
    return classifier.to(memory_format=torch.channels_last)


def _built(context: RunContext, fit: Fit, classes: int) -> Classifier:
    options, tuned = transfer_of(context.config), fit.mode == "finetune"
    return Classifier(
        build_model(context.config.model, context.image_shape),
        context.image_shape,
        classes,
        hidden=options.hidden,
        dropout=options.dropout,
        trains_encoder=fit.mode != "probe",
        encoder_rate=options.encoder_rate if tuned else 1.0,
        unfreeze_every=options.unfreeze_every if tuned else 0,
    )


def class_names(context: StageContext) -> list[str]:
    """Return the class names that the run recorded."""
    return list(stored_class_names(context.folder))


def started_classifier(context: StageContext, fit: Fit) -> Classifier:
    """Return a fit's classifier before training, with saved weights if it starts from any."""
    classifier = new_classifier(context, fit, len(class_names(context)))
    known = context.folder.json(INITIAL_FACTS).get("matched", {})
    if fit.mode == "scratch" or not known:
        return classifier
    from safetensors.torch import load

    tensors = load(context.folder.read(INITIAL))
    classifier.load_state_dict({name: tensors[name] for name in known}, strict=False)
    return classifier


def trained_classifier(context: StageContext) -> Classifier:
    """Return the trained classifier that the run reports, in eval mode.

    Raises:
        IntegrityError: the weights are missing, were changed, or belong to another network.
    """
    fit, classes = featured(context.config), len(class_names(context))
    check_size(context.folder, lambda: _built(context, fit, classes))
    classifier = new_classifier(context, fit, classes)
    loaded: Classifier = load_weights(classifier, context.folder, run_files.MODEL).eval()
    return loaded


def labels_of(context: RunContext, split: str) -> NDArray[np.int64]:
    """Return the labels of the training or the test images.

    Raises:
        UserError: the images have no labels.
    """
    labels = context.images("test" if split == "test" else "train").labels
    if labels is None:
        raise UserError(
            f"dataset {context.config.dataset.name!r} has no labels for its {split} images: a "
            f"transfer needs labels, so choose a data set that has them"
        )
    return labels


def rows_of_fit(context: RunContext, fit: Fit) -> NDArray[np.int64]:
    """Return the rows of the training set whose labels the fit uses."""
    rows = context.split.train
    seed = stream_seed(fit.seed, "labels")
    return rows[draw_labelled(labels_of(context, "train")[rows], fit.labels, seed)]


def job_of(
    context: RunContext, fit: Fit, classifier: Classifier, train: Labels, validation: Labels
) -> TrainingJob:
    """Return the training of a fit's classifier.

    Args:
        context: the context of the run.
        fit: what is trained.
        classifier: with its initial weights, on the device.
        train: rows (N,) of the training set that it learns from.
        validation: rows (M,) of the training set that it is validated on.
    """
    options = transfer_of(context.config)
    images, labels = context.images("train").images, labels_of(context, "train")
    return TrainingJob(
        model=classifier,
        train=LabelledImages(images, labels, context.device, train),
        validation=LabelledImages(images, labels, context.device, validation),
        corruption=CorruptionChain(),
        options=fit.training,
        precision="bfloat16" if fit.training.precision == "bfloat16" else "float32",
        seed=fit.seed,
        augmentation=Augmentation(options.shift, options.flip) or augmentation_of(fit.training),
    )


def train_fit(
    context: StageContext, fit: Fit, checkpoints: CheckpointStore, emit: Listener
) -> tuple[Classifier, Trained]:
    """Train a fit's classifier or resume its training; return it in eval mode with the result."""
    classifier, rows = started_classifier(context, fit), rows_of_fit(context, fit)
    job = replace(
        job_of(context, fit, classifier, rows, context.split.validation),
        config_sha256=context.training_sha256,
        earlier_epochs=tuple(context.folder.manifest.earlier_epochs),
    )
    trained = train(job, checkpoints, emit)
    weights: dict[str, Any] = trained.weights
    classifier.load_state_dict(weights)
    return classifier.eval(), trained
