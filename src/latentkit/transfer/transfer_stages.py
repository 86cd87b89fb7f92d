"""Stages of a transfer: train its classifiers, commit their features, and map the features."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.config import MapConfig
from latentkit.data.batches import DeviceImages
from latentkit.errors import UserError
from latentkit.evaluation.measuring import MOST_TRAIN
from latentkit.evaluation.representation import linear_probabilities
from latentkit.maps.make import MadeMap, Reference, draw_rows, make_map
from latentkit.plugin.events import EpochFinished, Event, Listener, Notice, StageProgress
from latentkit.plugin.seeds import stream_seed
from latentkit.runs import run_files
from latentkit.runs.context import StageContext
from latentkit.runs.initial_weights import INITIAL_FACTS, commit_start
from latentkit.training.checkpoint import CheckpointStore, save_tensors
from latentkit.transfer.classifier import Predictions, predict
from latentkit.transfer.fit import (
    HEAD,
    Fit,
    Series,
    class_names,
    featured,
    labels_of,
    new_classifier,
    rows_of_fit,
    started_classifier,
    train_fit,
    trained_classifier,
    transfer_of,
)
from latentkit.transfer.transfer_prepare import (
    have_images_changed,
    start_classifier,
    whole_encoder_text,
)

FEATURES = "features.npz"
"""Features and probabilities of the test images, before and after training."""


def series_path(series: Series) -> str:
    """Return the path of a series' predictions in the run's folder."""
    return f"fits/{series.name}.npz"


def start(context: StageContext) -> None:
    """Commit the classifier that training starts from."""
    classifier = new_classifier(context, featured(context.config), len(class_names(context)))
    found = start_classifier(context, classifier) if context.config.init else None
    said = whole_encoder_text(context.config, found) if found else ""
    if said and have_images_changed(context):
        context.emit(
            Notice(
                "other-images",
                f"the images of {context.config.dataset.name!r} have changed since "
                f"{transfer_of(context.config).parent} was trained: test images of this transfer "
                f"may be among those that the encoder has learned from",
            )
        )
    commit_start(context, classifier, found, said)


def train_featured(context: StageContext) -> None:
    """Train the classifier that the run reports in full."""
    root = context.folder.path
    checkpoints = CheckpointStore(root / run_files.CHECKPOINTS, root)
    _, trained = train_fit(context, featured(context.config), checkpoints, context.emit)
    context.folder.commit(
        run_files.MODEL, "train", lambda path: save_tensors(trained.weights, path)
    )
    document = {"weights_epoch": trained.weights_epoch, "epochs": list(trained.history)}
    context.folder.commit_json(run_files.HISTORY, "train", document)


def features(context: StageContext) -> None:
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


def _before(context: StageContext, test: DeviceImages) -> tuple[Predictions, bool]:
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
    rows, labels = rows_of_fit(context, fit), labels_of(context, "train")
    if len(rows) > MOST_TRAIN:
        generator = np.random.default_rng(stream_seed(context.seed, "training items"))
        rows = np.sort(generator.choice(rows, MOST_TRAIN, replace=False))
        said = "the regression on features before training is fitted on"
        text = f"{said} {MOST_TRAIN:,} training images, drawn at random"
        context.emit(Notice("sampled", text, level="info"))
    given = DeviceImages(context.images("train").images, context.device, rows)
    train = predict(classifier, given).features
    probabilities = linear_probabilities(
        train, labels[rows], found.features, len(class_names(context))
    )
    return Predictions(found.features, probabilities), True


def fit_series(context: StageContext, series: Series) -> None:
    """Train the classifiers of one mode and share of labels, and commit their predictions.

    Each fit has its own checkpoints, so that an interrupted stage resumes within the fit that was
    in progress.
    """
    shown, test = featured(context.config), context.device_images("test")
    found: list[Predictions] = []
    for place, fit in enumerate(series.fits):
        emit = _as_progress(context.emit, fit_stage(series), place, series.fits)
        if fit == shown:
            found.append(predict(trained_classifier(context), test))
            continue
        store = CheckpointStore(_folder(context, fit), context.folder.path)
        found.append(predict(train_fit(context, fit, store, emit)[0], test))
    truth = labels_of(context, "test")
    probabilities = [one.probabilities for one in found]
    context.folder.commit_arrays(
        series_path(series),
        fit_stage(series),
        given=np.stack([p.argmax(1) for p in probabilities]),
        confidence=np.stack([p.max(1) for p in probabilities]),
        truth=truth,
        n_labels=np.array([len(rows_of_fit(context, fit)) for fit in series.fits]),
    )


def drop_checkpoints(context: StageContext, series: Series) -> None:
    """Remove the checkpoints of a series, whose predictions are committed."""
    for fit in series.fits:
        shutil.rmtree(_folder(context, fit), ignore_errors=True)


def fit_stage(series: Series) -> str:
    """Return the name of a series' stage."""
    return f"fit:{series.name}"


def _folder(context: StageContext, fit: Fit) -> Any:
    return context.folder.path / run_files.CHECKPOINTS / fit.name


def _as_progress(emit: Listener, stage: str, place: int, fits: tuple[Fit, ...]) -> Listener:
    """Report a fit's epochs as progress of its stage.

    Epoch events are reserved for the one training that the run reports in full.
    """

    def forward(event: Event) -> None:
        if isinstance(event, EpochFinished):
            done = place * event.epochs + event.epoch
            detail = f"seed {fits[place].seed}, epoch {event.epoch}/{event.epochs}"
            emit(StageProgress(stage, done, len(fits) * event.epochs, detail))
        elif isinstance(event, Notice):
            emit(event)

    return forward


BEFORE = "before"


def map_features(context: StageContext, part: MapConfig) -> None:
    """Map the test features before and after training, and align the later map to the earlier."""
    arrays = context.folder.arrays(FEATURES)
    rows = map_rows(context, len(arrays["labels"]))
    before = _made(context, part, arrays["before"][rows], arrays["labels"][rows], rows)
    after = before
    if not np.array_equal(arrays["before"], arrays["after"]):
        reference = Reference(BEFORE, before.arrays["coordinates"], rows)
        after = _made(context, part, arrays["after"][rows], arrays["labels"][rows], rows, reference)
    arrays_path, facts_path = run_files.map_paths(part)
    stage = f"embed:{part.slug}"
    found: dict[str, NDArray[Any]] = {
        **after.arrays,
        "coordinates_before": before.arrays["coordinates"],
        "trustworthiness_before": before.arrays["trustworthiness"],
        "index": rows,
        "split": np.full(len(rows), 2, np.int8),
    }
    context.folder.commit_arrays(arrays_path, stage, **found)
    earlier = {f"{key}_before": before.document[key] for key in ("quality", "seconds", "facts")}
    context.folder.commit_json(facts_path, stage, {**after.document, **earlier})


def check_feature_map(part: MapConfig) -> None:
    """Refuse options of a map that the features of a transfer cannot have.

    Raises:
        UserError: the map has ``on``, ``align_to`` or ``stability``.
    """
    if part.map.stability:
        raise UserError(
            f"{part.label}: the stability of a transfer's maps is not measured: leave it out, or "
            f"measure that of the run that the transfer started from"
        )
    if part.map.on != "test" or part.map.align_to:
        raise UserError(
            f"{part.label}: a transfer maps features of test images before and after training: "
            f"remove --on and --align-to, and use transfer.map_points to set how many"
        )


def map_rows(context: StageContext, n: int) -> NDArray[np.int64]:
    """Return which of n test images to map: all, or a random draw with the run's seed."""
    return draw_rows(n, min(n, transfer_of(context.config).map_points), context.seed)


def _made(
    context: StageContext,
    part: MapConfig,
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    rows: NDArray[np.int64],
    reference: Reference | None = None,
) -> MadeMap:
    made = make_map(
        part,
        features,
        labels,
        seed=context.seed,
        emit=context.emit,
        threads=context.config.run.threads,
        keys=rows,
        reference=reference,
    )
    return replace(made, arrays=dict(made.arrays))
