"""What plugins are told of a study, and of a run that is one of its trials."""

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
    """Return what plugins are told of a study."""
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
    """Return which trial the run in a folder is; None where it is a run on its own.

    A study's trials lie in its folder of runs, whoever begins or resumes them.

    Args:
        run: the run's folder.
        value: gives the run's value of ``"part.option"``.
    """
    run = run.absolute()
    home, named = run.parent.parent, _TRIAL.fullmatch(run.name)
    if named is None or run.parent.name != RUNS or not (home / STUDY).is_file():
        return None
    try:
        study = StudyFolder.open(home)
        params = {key: value(key) for key in study.plan.space}
    except (LatentkitError, KeyError):  # of a damaged study, or another one: the run goes on alone
        return None
    return TrialInfo(study_info(study), int(named[1]), params)
