"""The stages of a transfer up to its features: start, train, features, and the fits of ``all``."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.classifiers.predictions import Predictions, predict
from latentkit.data.batches import DeviceImages
from latentkit.evaluation.probes import linear_probabilities
from latentkit.pipeline.context import CHECKPOINTS, HISTORY, MODEL, RunContext
from latentkit.pipeline.start import INITIAL_FACTS, commit_start
from latentkit.pipeline.transfers.building import (
    HEAD,
    class_names,
    labelled_rows,
    labels_of,
    new_classifier,
    started_classifier,
    train_fit,
    trained_classifier,
)
from latentkit.pipeline.transfers.fits import Fit, Series, featured
from latentkit.pipeline.transfers.prepare import start_classifier, whole_encoder_text
from latentkit.plugin.events import EpochFinished, Event, Listener, Notice, StageProgress
from latentkit.training.checkpoint import CheckpointStore, save_tensors

FEATURES = "features.npz"
"""Features and probabilities of the test images, before and after training."""


def series_path(series: Series) -> str:
    """Return the path of a series' predictions in the run's folder."""
    return f"fits/{series.name}.npz"


def start(context: RunContext) -> None:
    """Commit the classifier that training starts from."""
    classifier = new_classifier(context, featured(context.config), len(class_names(context)))
    found = start_classifier(context, classifier) if context.config.init else None
    said = whole_encoder_text(context.config, found) if found else ""
    commit_start(context, classifier, found, said)


def train_featured(context: RunContext) -> None:
    """Train the classifier that the run reports in full."""
    checkpoints = CheckpointStore(context.folder.path / CHECKPOINTS)
    _, trained = train_fit(context, featured(context.config), checkpoints, context.tell)
    context.folder.commit(MODEL, "train", lambda path: save_tensors(trained.weights, path))
    document = {"weights_epoch": trained.weights_epoch, "epochs": list(trained.history)}
    context.folder.commit_json(HISTORY, "train", document)


def features(context: RunContext) -> None:
    """Commit features and probabilities of the test images, before and after training."""
    test = context.device_images("test")
    before, probed = _before(context, test)
    after = predict(trained_classifier(context), test)
    arrays: dict[str, NDArray[Any]] = {
        "before": before.features,
        "after": after.features,
        "probabilities_before": before.probabilities,
        "probabilities_after": after.probabilities,
        "labels": labels_of(context, "test"),
        "index": np.arange(len(test)),
        "probed": np.array(probed),
    }
    context.folder.commit_arrays(FEATURES, "features", **arrays)


def _before(context: RunContext, test: DeviceImages) -> tuple[Predictions, bool]:
    """Return the predictions before training, and whether they come from logistic regression.

    If the saved weights include a head, that head predicts. A new head is untrained, so logistic
    regression on the features predicts instead, fitted on the same labels.
    """
    fit = featured(context.config)
    classifier = started_classifier(context, fit)
    found = predict(classifier, test)
    matched = context.folder.json(INITIAL_FACTS).get("matched", {})
    if any(name.startswith(HEAD) for name in matched):
        return found, False
    rows, labels = labelled_rows(context, fit), labels_of(context, "train")
    given = DeviceImages(context.images("train").images, context.device, rows)
    train = predict(classifier, given).features
    probabilities = linear_probabilities(
        train, labels[rows], found.features, len(class_names(context))
    )
    return Predictions(found.features, probabilities), True


def fit_series(context: RunContext, series: Series) -> None:
    """Train the classifiers of one mode and share of labels, and commit their predictions.

    Each fit has its own checkpoints, so that an interrupted stage resumes within the fit that was
    in progress.
    """
    shown, test = featured(context.config), context.device_images("test")
    found: list[Predictions] = []
    for place, fit in enumerate(series.fits):
        tell = _as_progress(context.tell, fit_stage(series), place, series.fits)
        if fit == shown:
            found.append(predict(trained_classifier(context), test))
            continue
        store = CheckpointStore(_folder(context, fit))
        found.append(predict(train_fit(context, fit, store, tell)[0], test))
    truth = labels_of(context, "test")
    probabilities = [one.probabilities for one in found]
    context.folder.commit_arrays(
        series_path(series),
        fit_stage(series),
        given=np.stack([p.argmax(1) for p in probabilities]),
        confidence=np.stack([p.max(1) for p in probabilities]),
        truth=truth,
        n_labels=np.array([len(labelled_rows(context, fit)) for fit in series.fits]),
    )


def drop_checkpoints(context: RunContext, series: Series) -> None:
    """Remove the checkpoints of a series, whose predictions are committed."""
    for fit in series.fits:
        shutil.rmtree(_folder(context, fit), ignore_errors=True)


def fit_stage(series: Series) -> str:
    """Return the name of a series' stage."""
    return f"fit:{series.name}"


def _folder(context: RunContext, fit: Fit) -> Any:
    return context.folder.path / CHECKPOINTS / fit.name


def _as_progress(tell: Listener, stage: str, place: int, fits: tuple[Fit, ...]) -> Listener:
    """Report a fit's epochs as progress of its stage.

    Epoch events are reserved for the one training that the run reports in full.
    """

    def forward(event: Event) -> None:
        if isinstance(event, EpochFinished):
            done = place * event.epochs + event.epoch
            detail = f"seed {fits[place].seed}, epoch {event.epoch}/{event.epochs}"
            tell(StageProgress(stage, done, len(fits) * event.epochs, detail))
        elif isinstance(event, Notice):
            tell(event)

    return forward
