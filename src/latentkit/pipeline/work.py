"""The stages of a run: data, train, encode, embed, evaluate."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.config import PartConfig, RunConfig, canonical_sha256, find_part
from latentkit.data.batches import DeviceImages
from latentkit.errors import PluginError, ResourceError
from latentkit.evaluation.baselines import pca_reconstruction_errors
from latentkit.evaluation.inference import (
    corruption_errors,
    encode,
    reconstruction_errors,
    saturated_share,
)
from latentkit.evaluation.likelihood import SAMPLES, likelihood_card
from latentkit.evaluation.map_quality import map_quality
from latentkit.pipeline.context import (
    DATA,
    EVALUATION,
    HISTORY,
    MODEL,
    SPLITS,
    RunContext,
    latents_path,
    map_paths,
)
from latentkit.pipeline.environment import available_memory_bytes
from latentkit.pipeline.pages import report
from latentkit.pipeline.stages import Stage
from latentkit.plugin.events import Notice, StageProgress
from latentkit.plugin.protocols import Generative, SupportsEstimate
from latentkit.plugin.seeds import short_stream_seed, stream_seed
from latentkit.registry.targets import fault_of
from latentkit.training.checkpoint import CheckpointStore, save_tensors
from latentkit.training.loop import TrainingJob, train

PROTOCOL = 1
"""Version of the evaluation: figures of two versions are not to be compared."""

_SATURATED = 0.999  # of all pixels


def plan(config: RunConfig) -> list[Stage]:
    """Return the stages of a run in order."""
    latents = latents_path("test")
    embeds = [
        Stage(
            f"embed:{part.slug}",
            partial(_embed, part=part),
            reads=(DATA, latents),
            settings=canonical_sha256(part.as_dict()),
        )
        for part in config.embeddings
    ]
    maps = [path for part in config.embeddings for path in map_paths(part)]
    return [
        Stage("data", _data),
        Stage("train", _train, reads=(DATA,), settings=f"epochs={config.training.epochs}"),
        Stage("encode", _encode, reads=(DATA, MODEL)),
        *embeds,
        Stage("evaluate", _evaluate, reads=(DATA, MODEL)),
        Stage("report", report, reads=(DATA, HISTORY, MODEL, EVALUATION, *maps)),
    ]


def training_plan(config: RunConfig) -> list[Stage]:
    """Return the stages that a trial of a study needs."""
    return plan(config)[:2]


def _data(context: RunContext) -> None:
    train_images, test_images = context.images("train"), context.images("test")
    split = context.split
    context.folder.commit_json(
        DATA,
        "data",
        {
            "dataset": context.config.dataset.name,
            "image_shape": list(train_images.image_shape),
            "counts": {
                "train": len(split.train),
                "validation": len(split.validation),
                "test": len(test_images),
            },
            "class_names": list(train_images.class_names),
            "labelled": train_images.labels is not None,
            "licence": train_images.licence,
            "source_sha256": {"train": train_images.checksum, "test": test_images.checksum},
            "digest": {"train": train_images.digest(), "test": test_images.digest()},
        },
    )


def _train(context: RunContext) -> None:
    config = context.config
    job = TrainingJob(
        model=context.new_model(),
        train=context.device_images("train"),
        validation=context.device_images("validation"),
        corruption=context.corruption,
        options=config.training,
        precision="bfloat16" if config.training.precision == "bfloat16" else "float32",
        seed=context.seed,
        config_sha256=config.trajectory_sha256(),
    )
    trained = train(job, CheckpointStore(context.folder.path / "checkpoints"), context.tell)
    context.folder.commit(MODEL, "train", lambda path: save_tensors(trained.weights, path))
    document = {"weights_epoch": trained.weights_epoch, "epochs": list(trained.history)}
    context.folder.commit_json(HISTORY, "train", document)


def _encode(context: RunContext) -> None:
    split = context.split
    rows = {
        "train": split.train,
        "validation": split.validation,
        "test": np.arange(len(context.images("test"))),
    }
    for name in SPLITS:
        images = context.device_images(name)

        def progress(done: int, total: int, name: str = name) -> None:
            context.tell(StageProgress("encode", done, total, name))

        latents = encode(context.model, images, progress)
        if not np.isfinite(latents).all():
            raise PluginError(f"the model's latents of the {name} images are not all finite")
        arrays: dict[str, NDArray[Any]] = {"latents": latents, "index": rows[name]}
        labels = context.images("test" if name == "test" else "train").labels
        if labels is not None:
            arrays["labels"] = labels[rows[name]]
        context.folder.commit_arrays(latents_path(name), "encode", **arrays)


def _embed(context: RunContext, part: PartConfig) -> None:
    stage = f"embed:{part.slug}"
    source = latents_path("test")
    arrays = context.folder.arrays(source)
    random_state = short_stream_seed(context.seed, "embedding", part.name)
    started = time.perf_counter()
    build = find_part(context.registry, "embedding", part).target()
    with fault_of(f"embedding {part.name!r} cannot be built"):
        estimator = build(part.options, random_state)
    coordinates = fit_embedding(estimator, part, arrays["latents"])
    seconds = time.perf_counter() - started
    started = time.perf_counter()
    quality = map_quality(
        arrays["latents"],
        coordinates,
        arrays.get("labels"),
        seed=stream_seed(context.seed, "map-quality"),
        threads=context.config.run.threads,
    )
    arrays_path, facts_path = map_paths(part)
    context.folder.commit_arrays(
        arrays_path,
        stage,
        coordinates=coordinates,
        index=arrays["index"],
        trustworthiness=quality.point_trustworthiness,
    )
    context.folder.commit_json(
        facts_path,
        stage,
        {
            "embedding": part.name,
            "options": part.as_dict(),
            "source": source,
            "n_points": len(coordinates),
            "random_state": random_state,
            "seconds": seconds,
            "quality_seconds": time.perf_counter() - started,
            "quality": quality.as_dict(),
        },
    )


def fit_embedding(
    estimator: Any, part: PartConfig, vectors: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Fit an embedding and return coordinates (N, n_components), float64.

    Args:
        estimator: what the embedding's target built.
        part: for messages.
        vectors: (N, D).

    Raises:
        ResourceError: it would need more memory than there is.
        PluginError: it fails, or gives something other than finite coordinates.
    """
    n, d = vectors.shape
    if isinstance(estimator, SupportsEstimate):
        with fault_of(f"embedding {part.name!r} cannot estimate what {n:,} points need"):
            needed = estimator.estimate(n, d).bytes
        free = available_memory_bytes()
        if needed > free:
            raise ResourceError(
                f"embedding {part.name!r} of {n:,} points needs about {needed / 2**30:.1f} GiB of "
                f"memory and {free / 2**30:.1f} GiB are free: map fewer points, or choose another "
                f"embedding such as pca"
            )
    with fault_of(f"embedding {part.name!r} failed on {n:,} points of {d} dimensions"):
        coordinates = np.asarray(estimator.fit_transform(vectors), dtype=np.float64)
    if coordinates.ndim != 2 or len(coordinates) != n or coordinates.shape[1] not in (2, 3):
        raise PluginError(
            f"embedding {part.name!r} gave coordinates {coordinates.shape} for {n:,} points, "
            f"expected 2 or 3 numbers a point"
        )
    if not np.isfinite(coordinates).all():
        raise PluginError(f"embedding {part.name!r} gave coordinates that are not all finite")
    return coordinates


def _evaluate(context: RunContext) -> None:
    train_images, test_images = context.device_images("train"), context.device_images("test")
    model = context.model
    errors = reconstruction_errors(model, test_images)
    pca = pca_reconstruction_errors(train_images, test_images, model.latent_dim)
    document = {
        "protocol": PROTOCOL,
        "split": "test",
        "n_images": len(errors),
        "latent_dim": model.latent_dim,
        "reconstruction": {"mse": _mean(errors), **_denoising(context, test_images)},
        "baselines": {"pca": {"n_components": model.latent_dim, "mse": _mean(pca)}},
    }
    if isinstance(model, Generative):
        document["likelihood"] = _likelihood(context, test_images)
    context.folder.commit_json(EVALUATION, "evaluate", document)
    if not context.corruption and errors.mean() > pca.mean():
        context.tell(
            Notice(
                "worse-than-pca",
                f"test error {errors.mean():.4f} is above that of PCA with as many dimensions "
                f"({pca.mean():.4f}): train for more epochs, or raise the learning rate",
            )
        )
    if saturated_share(model, test_images) > _SATURATED:
        context.tell(
            Notice(
                "saturated",
                "nearly every pixel of the reconstructions is black or white: the decoder is "
                "saturated; lower training.learning_rate, or set training.clip_norm=1",
            )
        )


def _denoising(context: RunContext, images: DeviceImages) -> dict[str, Any]:
    """Return the errors from corrupted input and of that input itself, for denoising models."""
    if not context.corruption:
        return {}
    denoised = reconstruction_errors(context.model, images, context.evaluation_noise())
    corrupted = corruption_errors(images, context.evaluation_noise())
    return {"mse_from_corrupted": _mean(denoised), "mse_of_corrupted": _mean(corrupted)}


def _likelihood(context: RunContext, images: DeviceImages) -> dict[str, Any]:
    card = likelihood_card(context.model, images, stream_seed(context.seed, "likelihood"))
    active, dimensions = int(card.active.sum()), len(card.active)
    if active < dimensions:
        context.tell(
            Notice(
                "posterior-collapse",
                f"{active} of {dimensions} latent dimensions are active, the others carry nothing: "
                f"lower model.beta, or set model.warm_up or model.free_bits",
            )
        )
    return {
        "unit": "nats an image",
        "elbo": _mean(card.elbo),
        "importance_weighted": _mean(card.importance_weighted),
        "importance_samples": SAMPLES,
        "importance_images": len(card.importance_weighted),
        "active_dimensions": active,
    }


def _mean(values: NDArray[np.float64]) -> dict[str, float]:
    """Return a mean and its standard error."""
    error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
    return {"value": float(values.mean()), "standard_error": error}
