"""Facts for plugins about a study, and about a run that is one of its trials."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from latentkit.config import canonical_sha256
from latentkit.errors import LatentkitError
from latentkit.plugin.events import StudyInfo, TrialInfo
from latentkit.tuning.folder import RUNS, STUDY, StudyFolder

_TRIAL = re.compile(r"trial-(\d{4,})(-\w+)?")


def study_info(study: StudyFolder) -> StudyInfo:
    """Return the facts about a study that plugins receive."""
    plan = study.plan
    identity = json.loads(json.dumps({"name": plan.name, **plan.identity()}, default=str))
    return StudyInfo(
        name=plan.name,
        path=study.path,
        identity=canonical_sha256(identity),
        trials=plan.trials,
        objectives=tuple(goal.label for goal in plan.goals),
        directions=tuple(goal.direction for goal in plan.goals),
        space=plan.space,
        tuner=plan.tuner,
        config=plan.config,
        storage=plan.storage,
    )


def trial_of(run: Path, value: Callable[[str], Any]) -> TrialInfo | None:
    """Return the trial that a run is; None if the run is no trial of a study.

    A trial is recognised by its folder, which is in a study's folder of runs, so it does not
    matter who starts or resumes it.

    Args:
        run: the run's folder.
        value: returns the run's value of an option, given as ``"part.option"``.
    """
    run = run.absolute()
    home, named = run.parent.parent, _TRIAL.fullmatch(run.name)
    if named is None or run.parent.name != RUNS or not (home / STUDY).is_file():
        return None
    try:
        study = StudyFolder.open(home)
        params = {key: value(key) for key in study.plan.space}
    except (LatentkitError, KeyError):  # the study is damaged or another: treat the run as no trial
        return None
    return TrialInfo(study_info(study), int(named[1]), params)
