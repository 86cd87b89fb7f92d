"""The network, the images and the training of a fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from latentkit.classifiers.augmentation import Augmentation
from latentkit.classifiers.classifier import Classifier
from latentkit.classifiers.labelled import draw_labelled
from latentkit.config import find_part
from latentkit.data.batches import LabelledImages
from latentkit.data.corruption import CorruptionChain
from latentkit.errors import UserError
from latentkit.pipeline.context import DATA, MODEL, RunContext, Workshop, build_model, load_weights
from latentkit.pipeline.start import INITIAL, INITIAL_FACTS
from latentkit.pipeline.transfers.fits import Fit, featured, transfer_of
from latentkit.plugin.events import Listener
from latentkit.plugin.seeds import stream_seed
from latentkit.training.checkpoint import CheckpointStore
from latentkit.training.loop import Trained, TrainingJob, train

HEAD = "head."


def new_classifier(workshop: Workshop, fit: Fit, classes: int) -> Classifier:
    """Build a fit's classifier on the device, with initial weights drawn from the fit's seed."""
    options, part = transfer_of(workshop.config), workshop.config.model
    target = find_part(workshop.registry, "model", part).target()
    tuned = fit.mode == "finetune"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(fit.seed, "initialisation"))
        network = build_model(target, part, workshop.image_shape)
        classifier = Classifier(
            network,
            workshop.image_shape,
            classes,
            hidden=options.hidden,
            dropout=options.dropout,
            trains_encoder=fit.mode != "probe",
            encoder_rate=options.encoder_rate if tuned else 1.0,
            unfreeze_every=options.unfreeze_every if tuned else 0,
        )
    classifier.to(workshop.device)
    return classifier.to(memory_format=torch.channels_last)


def class_names(context: RunContext) -> list[str]:
    """Return the class names that the run recorded."""
    names: list[str] = context.folder.json(DATA)["class_names"]
    return names


def started_classifier(context: RunContext, fit: Fit) -> Classifier:
    """Return a fit's classifier before training, with saved weights if it starts from any."""
    classifier = new_classifier(context, fit, len(class_names(context)))
    known = context.folder.json(INITIAL_FACTS).get("matched", {})
    if fit.mode == "scratch" or not known:
        return classifier
    from safetensors.torch import load_file

    tensors = load_file(context.folder.verified(INITIAL))
    classifier.load_state_dict({name: tensors[name] for name in known}, strict=False)
    return classifier


def trained_classifier(context: RunContext) -> Classifier:
    """Return the trained classifier that the run reports, in eval mode."""
    fit = featured(context.config)
    classifier = new_classifier(context, fit, len(class_names(context)))
    loaded: Classifier = load_weights(classifier, context.folder, MODEL).eval()
    return loaded


def labels_of(workshop: Workshop, split: str) -> NDArray[np.int64]:
    """Return the labels of the training or the test images.

    Raises:
        UserError: the images have no labels.
    """
    labels = workshop.images("test" if split == "test" else "train").labels
    if labels is None:
        raise UserError(
            f"dataset {workshop.config.dataset.name!r} has no labels for its {split} images: a "
            f"transfer needs labels, so choose a dataset that has them"
        )
    return labels


def labelled_rows(workshop: Workshop, fit: Fit) -> NDArray[np.int64]:
    """Return the rows of the training set whose labels the fit uses."""
    rows = workshop.split.train
    seed = stream_seed(fit.seed, "labels")
    return rows[draw_labelled(labels_of(workshop, "train")[rows], fit.labels, seed)]


def train_fit(
    context: RunContext, fit: Fit, checkpoints: CheckpointStore, tell: Listener
) -> tuple[Classifier, Trained]:
    """Train a fit's classifier or resume its training; return it in eval mode with the result."""
    options = transfer_of(context.config)
    images, labels = context.images("train").images, labels_of(context, "train")
    classifier = started_classifier(context, fit)
    augmentation = Augmentation(options.shift, options.flip)
    job = TrainingJob(
        model=classifier,
        train=LabelledImages(images, labels, context.device, labelled_rows(context, fit)),
        validation=LabelledImages(images, labels, context.device, context.split.validation),
        corruption=CorruptionChain(),
        options=fit.training,
        precision="bfloat16" if fit.training.precision == "bfloat16" else "float32",
        seed=fit.seed,
        config_sha256=context.config.trajectory_sha256(),
        augmentation=augmentation or None,
    )
    trained = train(job, checkpoints, tell)
    weights: dict[str, Any] = trained.weights
    classifier.load_state_dict(weights)
    return classifier.eval(), trained
