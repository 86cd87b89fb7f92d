"""Transfers as a kind of run: a classifier on a trained encoder, from images to report."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from latentkit.config import RunConfig, canonical_sha256
from latentkit.data.batches import spread_rows
from latentkit.errors import UserError
from latentkit.maps.make import embed_again
from latentkit.report.page import Table
from latentkit.runs import run_files
from latentkit.runs.autoencoder_kind import record_images
from latentkit.runs.context import RunContext, StageContext
from latentkit.runs.initial_weights import INITIAL, INITIAL_FACTS, START
from latentkit.runs.kind import Facts, MapImages, Row, RunKind, explorer_stage
from latentkit.runs.manifest import training_settings
from latentkit.runs.stages import Stage
from latentkit.terminal import shell_command
from latentkit.training.loop import TrainingJob
from latentkit.transfer import transfer_stages
from latentkit.transfer.fit import (
    featured,
    job_of,
    new_classifier,
    rows_of_fit,
    series_of,
    trained_classifier,
    transfer_of,
)
from latentkit.transfer.transfer_card import PROTOCOL, evaluate_transfer
from latentkit.transfer.transfer_prepare import prepare_transfer
from latentkit.transfer.transfer_tables import transfer_rows, transfer_tables


def write_transfer_explorer(context: StageContext) -> None:
    """Write the page on which one explores the features before and after training."""
    from latentkit.explore.explorer_page import write_page
    from latentkit.transfer.transfer_explorer import TransferSource

    write_page(TransferSource(context))


class TransferKind(RunKind):
    """A run that trains classifiers on a model's encoder."""

    name = "transfer"
    points = "features"
    protocol = PROTOCOL

    def label(self, config: RunConfig) -> str:
        """Return mode, model and data set."""
        mode = transfer_of(config).mode
        head = "transfer" if mode == "all" else mode
        return f"{head}-{config.model.slug}-{config.dataset.slug}"

    def prepare(self, context: RunContext, model: Any) -> RunConfig:
        """Check labels, network and weights, and resolve ``auto`` training options.

        Raises:
            UserError: there are no labels, a class has none, or something does not fit.
        """
        self.check_maps(context.config, MapImages.of_context(context))
        return prepare_transfer(context)

    def stage_names(self, config: RunConfig) -> tuple[str, ...]:
        """Return the stages, with one for each comparison of mode ``all`` and each map."""
        fits = (transfer_stages.fit_stage(one) for one in series_of(config))
        maps = (f"embed:{part.slug}" for part in config.embeddings)
        return ("data", START, "train", "features", *fits, "evaluate", *maps, "explorer", "report")

    def plan(self, config: RunConfig, *, svg: bool = False) -> list[Stage]:
        """Return the stages from images to report."""
        start_files = (run_files.DATA, INITIAL, INITIAL_FACTS)
        epochs = training_settings(config.training.epochs)
        embeds = [
            Stage(
                f"embed:{part.slug}",
                partial(transfer_stages.map_features, part=part),
                reads=(transfer_stages.FEATURES,),
                settings=canonical_sha256(part.as_dict()),
                optional=f"map {part.label}",
                again=embed_again(part),
            )
            for part in config.embeddings
        ]
        maps = [path for part in config.embeddings for path in run_files.map_paths(part)]
        series = series_of(config)
        fits = [
            Stage(
                transfer_stages.fit_stage(one),
                partial(transfer_stages.fit_series, series=one),
                (*start_files, run_files.MODEL),
                epochs,
            )
            for one in series
        ]
        return [
            Stage("data", record_images, same=True),
            Stage(START, transfer_stages.start, reads=(run_files.DATA,)),
            Stage("train", transfer_stages.train_featured, reads=start_files, settings=epochs),
            Stage("features", transfer_stages.features, reads=(*start_files, run_files.MODEL)),
            *fits,
            Stage(
                "evaluate",
                evaluate_transfer,
                reads=(transfer_stages.FEATURES, *map(transfer_stages.series_path, series)),
                settings=f"protocol={PROTOCOL}",
            ),
            *embeds,
            explorer_stage(
                write_transfer_explorer, (run_files.DATA, transfer_stages.FEATURES), maps
            ),
            Stage(
                "report",
                partial(self._report, svg=svg),
                reads=(
                    run_files.DATA,
                    run_files.HISTORY,
                    transfer_stages.FEATURES,
                    run_files.EVALUATION,
                    run_files.FIGURES_OF_IMAGES,
                ),
                uses=maps,
                optional="report",
                again=("report",),
            ),
        ]

    def check_maps(self, config: RunConfig, images: MapImages) -> None:
        """Refuse options of maps that a transfer's features cannot have.

        Raises:
            UserError: a map has ``on`` or ``align_to``.
        """
        for part in config.embeddings:
            transfer_stages.check_feature_map(part)

    def trial_training(self, context: RunContext, most: int) -> tuple[TrainingJob, int] | None:
        """Return the training of the classifier that is reported in full, on some images."""
        fit = featured(context.config)
        classifier = new_classifier(context, fit, len(context.images("train").class_names))
        rows = rows_of_fit(context, fit)
        some = spread_rows(rows, most)
        return job_of(context, fit, classifier, some, some), len(rows)

    def check_more_epochs(self, config: RunConfig, run: str) -> None:
        """Refuse more epochs for a comparison, whose classifiers must have equal epochs.

        Raises:
            UserError: the mode is ``all``.
        """
        if transfer_of(config).mode == "all":
            raise UserError(
                f"run {run} compares classifiers trained for equal numbers of epochs: "
                f"start another comparison with --epochs"
            )

    def summary(self, card: Facts) -> dict[str, Any]:
        """Return the whole card as ``transfer``."""
        return {"transfer": card}

    def rows(self, summary: Facts) -> list[Row]:
        """Return the main results of a summary as rows of name and text."""
        return transfer_rows(summary["transfer"]) if "transfer" in summary else []

    def tables(self, card: Facts) -> list[Table]:
        """Return the evaluation card as tables."""
        return transfer_tables(card)

    def next_command(self, path: Path, summary: Facts) -> str:
        """Suggest to look at the evaluation card."""
        return shell_command("evaluate", path)

    def trained(self, context: StageContext) -> Any:
        """Return the trained classifier; called with images, it gives logits (B, K)."""
        return trained_classifier(context)

    def _report(self, context: StageContext, *, svg: bool) -> None:
        # Imported here, because figures are slow to import and most commands draw none.
        from latentkit.transfer.transfer_figures import report_transfer

        report_transfer(context, kind=self, svg=svg)
