"""Studies: a tuner chooses options, and each trial is a run of its own."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from latentkit.api.handle import Run
from latentkit.api.places import STUDIES, data_dir
from latentkit.api.request import Path_, configure
from latentkit.config import RunConfig, build_config, choose_part, find_part
from latentkit.errors import PluginError, StorageError, describe_os_error
from latentkit.pipeline.run import Place, start_run
from latentkit.pipeline.work import training_plan
from latentkit.plugin.events import EpochFinished, Event, Listener, fan_out, ignore
from latentkit.plugin.protocols import Budget, StudyResult, Trial
from latentkit.plugin.seeds import short_stream_seed
from latentkit.registry.catalogue import Registry, default_registry
from latentkit.registry.targets import fault_of
from latentkit.runs.folder import RunFolder
from latentkit.tuning.space import search_space


@dataclass(frozen=True)
class Study:
    """What a study found.

    Args:
        path: its folder: ``study.db``, and the trials' runs in ``runs``.
        result: every trial.
        runs: the folder of each trial's run, by trial number.
    """

    path: Path
    result: StudyResult
    runs: Mapping[int, Path]

    @property
    def best_params(self) -> Mapping[str, Any]:
        """The options of the best completed trial; empty where none completed."""
        best = self.result.best
        return {} if best is None else best.params

    @property
    def best_run(self) -> Run | None:
        """The run of the best completed trial, or None."""
        best = self.result.best
        if best is None or best.number not in self.runs:
            return None
        return Run(RunFolder.open(self.runs[best.number]))


def tune(
    *,
    model: str | None = None,
    dataset: str | None = None,
    trials: int = 10,
    seconds: float | None = None,
    corrupt: Iterable[str] = (),
    options: Mapping[str, Any] | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    device: str | None = None,
    config: Path_ | Mapping[str, Any] | None = None,
    tuner: str = "optuna",
    tuner_options: Mapping[str, Any] | None = None,
    name: str = "study",
    out: Path_ = STUDIES,
    data: Path_ | None = None,
    listener: Listener = ignore,
) -> Study:
    """Search the options that carry a search range for the least validation loss.

    Options that are set here are not searched. A study of the same name in ``out`` is
    continued until it holds ``trials`` finished trials.

    Args:
        model: as in `latentkit.run`, like ``dataset``, ``corrupt``, ``options``, ``epochs``,
            ``seed``, ``device``, ``config`` and ``data``.
        dataset: see ``model``.
        trials: finished trials after which the study is over, completed, pruned or failed.
        seconds: no trial begins later than this.
        corrupt: see ``model``.
        options: see ``model``.
        epochs: see ``model``.
        seed: see ``model``.
        device: see ``model``.
        config: see ``model``.
        tuner: a tuner's name.
        tuner_options: the tuner's options.
        name: of the study, and of its folder.
        out: the folder of studies.
        data: see ``model``.
        listener: is called with the events of every trial's run.

    Raises:
        latentkit.errors.LatentkitError: of the kind that tells what is wrong.
    """
    registry = default_registry()
    base = configure(
        registry,
        config=config,
        model=model,
        dataset=dataset,
        corrupt=corrupt,
        options=options,
        epochs=epochs,
        seed=seed,
        device=device,
    )
    base = replace(base, embeddings=())
    part = choose_part(registry, "tuner", {"name": tuner, **(tuner_options or {})})
    path = Path(out) / name
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"cannot create {path}: {describe_os_error(error)}; choose another folder with --out"
        ) from error
    objective = _TrialRunner(base, registry, Place(path / "runs", data_dir(data)), listener)
    space = search_space(base, (options or {}).keys())
    build = find_part(registry, "tuner", part).target()
    with fault_of(f"tuner {part.name!r} failed"):
        result = build(part.options).optimize(
            objective,
            space=space,
            budget=Budget(trials, seconds),
            storage=f"sqlite:///{path / 'study.db'}",
            study=name,
            seed=short_stream_seed(base.run.seed, "study"),
        )
    if not isinstance(result, StudyResult):
        raise PluginError(f"tuner {part.name!r} gave {type(result).__name__}, expected StudyResult")
    return Study(path, result, objective.runs())


class _TrialRunner:
    """Runs a trial: the base configuration with the trial's options, trained and validated."""

    def __init__(
        self, base: RunConfig, registry: Registry, place: Place, listener: Listener
    ) -> None:
        self._base = base
        self._registry = registry
        self._place = place
        self._listener = listener

    def __call__(self, trial: Trial) -> float:
        config = build_config(self._base.as_dict(), self._registry, overrides=trial.params)
        losses: list[float] = []

        def watch(event: Event) -> None:
            if isinstance(event, EpochFinished):
                losses.append(event.validation["loss"])
                trial.report(event.epoch, losses[-1])

        place = replace(self._place, runs=self._runs_of(trial.number))
        start_run(config, self._registry, place, fan_out(self._listener, watch), training_plan)
        return min(losses)

    def runs(self) -> dict[int, Path]:
        """Return the folder of each trial's latest run."""
        found = {}
        for folder in sorted(self._place.runs.glob("trial-*/*/run.json"), key=os.path.getmtime):
            found[int(folder.parts[-3].removeprefix("trial-"))] = folder.parent
        return found

    def _runs_of(self, number: int) -> Path:
        return self._place.runs / f"trial-{number:04d}"
