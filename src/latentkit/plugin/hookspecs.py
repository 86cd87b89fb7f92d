"""The hooks a plugin may implement: five that offer parts, five that watch runs and studies.

A plugin is an importable module named in the entry-point group ``latentkit.plugins``. It states
the version of this contract that it was written for and implements any of the hooks below::

    from latentkit.plugin import ModelSpec, hookimpl

    LATENTKIT_HOOKSPEC_VERSION = 1

    @hookimpl
    def latentkit_models():
        yield ModelSpec(
            name="my-net",
            summary="A network of my own",
            target="my_package.net:build",
            options="my_package.options:MyNetOptions",
        )

Keep this module light: targets are strings, imported only when a part is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from latentkit.plugin.events import EpochFinished, RunInfo, StudyInfo
    from latentkit.plugin.specs import (
        CorruptionSpec,
        DatasetSpec,
        EmbeddingSpec,
        ModelSpec,
        TunerSpec,
    )

HOOKSPEC_VERSION = 1
"""Major version of this contract. A plugin that states another one is not loaded."""

hookspec = pluggy.HookspecMarker("latentkit")
hookimpl = pluggy.HookimplMarker("latentkit")


@hookspec
def latentkit_models() -> Iterable[ModelSpec]:  # type: ignore[empty-body]
    """Offer models (autoencoders).

    Example::

        @hookimpl
        def latentkit_models():
            yield ModelSpec(
                name="my-net",
                summary="A network of my own",
                target="my_package.net:build",  # build(options, image_shape) -> nn.Module
                options="my_package.options:MyNetOptions",
            )
    """


@hookspec
def latentkit_datasets() -> Iterable[DatasetSpec]:  # type: ignore[empty-body]
    """Offer data sets.

    Example::

        @hookimpl
        def latentkit_datasets():
            yield DatasetSpec(
                name="my-images",
                summary="Images of my own",
                target="my_package.images:load",  # load(options, split, cache) -> ImageData
            )
    """


@hookspec
def latentkit_corruptions() -> Iterable[CorruptionSpec]:  # type: ignore[empty-body]
    """Offer corruptions: what is done to the input of a denoising model.

    Example::

        @hookimpl
        def latentkit_corruptions():
            yield CorruptionSpec(
                name="my-noise",
                summary="Noise of my own",
                target="my_package.noise:build",  # build(options) -> f(images, generator)
                options="my_package.options:MyNoiseOptions",
            )
    """


@hookspec
def latentkit_embeddings() -> Iterable[EmbeddingSpec]:  # type: ignore[empty-body]
    """Offer embeddings: methods that map latents to 2-D or 3-D coordinates.

    Example::

        @hookimpl
        def latentkit_embeddings():
            yield EmbeddingSpec(
                name="my-map",
                summary="A map of my own",
                target="my_package.maps:build",  # build(options, random_state) -> estimator
                options="my_package.options:MyMapOptions",
                requires=("my-library>=1.0",),
                tags=frozenset({"transductive"}),
            )
    """


@hookspec
def latentkit_tuners() -> Iterable[TunerSpec]:  # type: ignore[empty-body]
    """Offer tuners: engines that search hyper-parameters.

    Example::

        @hookimpl
        def latentkit_tuners():
            yield TunerSpec(
                name="my-search",
                summary="A search of my own",
                target="my_package.search:build",  # build(options) -> Tuner
            )
    """


@hookspec
def latentkit_run_started(run: RunInfo) -> None:
    """Be told that a run begins or is resumed.

    Args:
        run: its id, folder, resolved configuration, whether it is resumed, and of which study it
            is a trial, if it is one.

    Example::

        @hookimpl
        def latentkit_run_started(run):
            print("started", run.id)
    """


@hookspec
def latentkit_epoch_finished(run: RunInfo, epoch: EpochFinished) -> None:
    """Be told the losses of an epoch, once each.

    Args:
        run: the run that trains.
        epoch: its number, the mean loss terms on train and validation images, and its seconds.

    Where ``training.snapshots`` names the epoch, its weights lie below ``run.path`` already, as
    ``weights/epoch-0001.safetensors``.

    Example::

        @hookimpl
        def latentkit_epoch_finished(run, epoch):
            my_tracker.log(epoch.validation, step=epoch.epoch)
    """


@hookspec
def latentkit_run_finished(
    run: RunInfo, status: str, summary: Mapping[str, Any], error: str
) -> None:
    """Be told how a run ended; not where its process was killed.

    A run may end more than once: interrupted and then resumed, or finished and then given one more
    map. Where it has a report, it is ``run.path / "report.html"``, and its pictures are
    ``run.path / "figures"``, those of maps ``map-*.png``.

    Args:
        run: the run.
        status: ``"finished"``, ``"interrupted"``, ``"failed"``, or ``"pruned"`` by a tuner.
        summary: the figures that ``latentkit run --json`` prints; empty unless finished.
        error: why it failed or was pruned, in a line; else empty.

    Example::

        @hookimpl
        def latentkit_run_finished(run, status, summary, error):
            notify_me(f"{run.id}: {status} {error}")
    """


@hookspec
def latentkit_study_started(study: StudyInfo) -> None:
    """Be told that a study begins or is gone on with, before any of its trials is.

    Each trial is a run, and is told of by the hooks of runs, in the process that works on it: this
    one, or a worker's. A machine that joins a study is told so too.

    Args:
        study: its name, folder, what is searched and for what.

    Example::

        @hookimpl
        def latentkit_study_started(study):
            print("started", study.name, "for", ", ".join(study.objectives))
    """


@hookspec
def latentkit_study_finished(
    study: StudyInfo, status: str, summary: Mapping[str, Any], error: str
) -> None:
    """Be told how work on a study ended; its page is ``study.path / "report.html"`` then.

    Args:
        study: the study.
        status: ``"finished"``, ``"interrupted"`` or ``"failed"``.
        summary: ``"trials"``, how many are in which state; ``"best_trial"``, its number, and
            ``"best_values"``, by objective, ``"best_params"``, ``"best_run"``, the path of its
            run where it is on this machine. Empty unless finished; only the first where no trial
            completed.
        error: why it failed, in a line; else empty.

    Example::

        @hookimpl
        def latentkit_study_finished(study, status, summary, error):
            notify_me(f"{study.name}: {status}, best {summary.get('best_values')} {error}")
    """
