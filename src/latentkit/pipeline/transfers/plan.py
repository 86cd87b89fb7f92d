"""The stages of a transfer, in order."""

from __future__ import annotations

from functools import partial

from latentkit.config import RunConfig, canonical_sha256
from latentkit.pipeline.context import (
    DATA,
    EVALUATION,
    FIGURES_OF_IMAGES,
    HISTORY,
    MODEL,
    map_paths,
)
from latentkit.pipeline.record import record_images
from latentkit.pipeline.stages import Stage
from latentkit.pipeline.start import INITIAL, INITIAL_FACTS, START
from latentkit.pipeline.transfers.card import PROTOCOL, evaluate_transfer
from latentkit.pipeline.transfers.fits import series_of
from latentkit.pipeline.transfers.maps import map_features
from latentkit.pipeline.transfers.pages import report_transfer
from latentkit.pipeline.transfers.stages import (
    FEATURES,
    features,
    fit_series,
    fit_stage,
    series_path,
    start,
    train_featured,
)


def transfer_plan(config: RunConfig, *, svg: bool = False) -> list[Stage]:
    """Return the stages of a transfer; with ``svg``, figures are saved as PNG and SVG."""
    begun = (DATA, INITIAL, INITIAL_FACTS)
    epochs = f"epochs={config.training.epochs}"
    embeds = [
        Stage(
            f"embed:{part.slug}",
            partial(map_features, part=part),
            reads=(FEATURES,),
            settings=canonical_sha256(part.as_dict()),
        )
        for part in config.embeddings
    ]
    maps = [path for part in config.embeddings for path in map_paths(part)]
    series = series_of(config)
    fits = [
        Stage(fit_stage(one), partial(fit_series, series=one), (*begun, MODEL), epochs)
        for one in series
    ]
    return [
        Stage("data", record_images),
        Stage(START, start, reads=(DATA,)),
        Stage("train", train_featured, reads=begun, settings=epochs),
        Stage("features", features, reads=(*begun, MODEL)),
        *fits,
        Stage(
            "evaluate",
            evaluate_transfer,
            reads=(FEATURES, *map(series_path, series)),
            settings=f"protocol={PROTOCOL}",
        ),
        *embeds,
        Stage(
            "report",
            partial(report_transfer, svg=svg),
            reads=(DATA, HISTORY, FEATURES, EVALUATION, FIGURES_OF_IMAGES, *maps),
        ),
    ]
