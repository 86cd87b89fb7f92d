"""The hooks that a plugin may implement: five that offer parts, five that watch runs and studies.

A plugin is an importable module named in the entry-point group ``latentkit.plugins``. It states
the version of this contract that it is written for, and implements any of the hooks below::

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

Keep the plugin's module light: targets are strings, which latentkit imports only when it uses the
part. A plugin in a single file may use decorators instead (`latentkit.plugin.decorators`).
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
"""Major version of this contract. A plugin that states a different version is not loaded."""

hookspec = pluggy.HookspecMarker("latentkit")
hookimpl = pluggy.HookimplMarker("latentkit")


@hookspec
def latentkit_models() -> Iterable[ModelSpec]:  # type: ignore[empty-body]
    """Offer models: autoencoders and other encoders.

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
    """Receive a notification when a run starts or is resumed.

    Args:
        run: its id, its folder, its resolved configuration, whether it is resumed, and, if it is a
            trial, the trial and its study.

    Example::

        @hookimpl
        def latentkit_run_started(run):
            print("started", run.id)
    """


@hookspec
def latentkit_epoch_finished(run: RunInfo, epoch: EpochFinished) -> None:
    """Receive the losses of each epoch, once per epoch.

    Args:
        run: the run that trains.
        epoch: its number, the mean loss terms on train and validation images, and its seconds.

    If ``training.snapshots`` lists the epoch, its weights are already saved below ``run.path``, as
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
    """Receive the outcome of a run. The hook is not called if the run's process is killed.

    A run may end more than once: it may be interrupted and then resumed, or finished and then given
    another map. The report, if there is one, is ``run.path / "report.html"``. Its figures are in
    ``run.path / "figures"``; those of maps are called ``map-*.png``.

    Args:
        run: the run.
        status: ``"finished"``, ``"interrupted"``, ``"failed"``, or ``"pruned"`` by a tuner.
        summary: the results that ``latentkit run --json`` prints; empty unless finished.
        error: one line that says why it failed or was pruned; otherwise empty.

    Example::

        @hookimpl
        def latentkit_run_finished(run, status, summary, error):
            notify_me(f"{run.id}: {status} {error}")
    """


@hookspec
def latentkit_study_started(study: StudyInfo) -> None:
    """Receive a notification when a study starts or is resumed, before any of its trials starts.

    Each trial is a run, so the run hooks are called for it, in the process that executes it: this
    process or a worker. This hook is also called on each machine that joins the study.

    Args:
        study: its name, its folder, its search space and its objectives.

    Example::

        @hookimpl
        def latentkit_study_started(study):
            print("started", study.name, "for", ", ".join(study.objectives))
    """


@hookspec
def latentkit_study_finished(
    study: StudyInfo, status: str, summary: Mapping[str, Any], error: str
) -> None:
    """Receive the outcome of work on a study. Its report is ``study.path / "report.html"``.

    Args:
        study: the study.
        status: ``"finished"``, ``"interrupted"`` or ``"failed"``.
        summary: ``"trials"``, the number of trials in each state; ``"best_trial"``, the number of
            the best trial; its ``"best_values"``, by objective; its ``"best_params"``; and
            ``"best_run"``, the path of its run if that is on this machine. Empty unless finished.
            Contains only ``"trials"`` if no trial completed.
        error: one line that says why it failed; otherwise empty.

    Example::

        @hookimpl
        def latentkit_study_finished(study, status, summary, error):
            notify_me(f"{study.name}: {status}, best {summary.get('best_values')} {error}")
    """
