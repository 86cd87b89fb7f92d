"""Every kind of run announces the names of exactly the stages that it plans."""

import pytest

from latentkit.api.inputs import configure
from latentkit.api.kinds import AUTOENCODER, TRANSFER, TRIAL, kind_of_config
from latentkit.config import build_config
from latentkit.registry.catalogue import default_registry
from latentkit.tune.goals import choose_goals
from latentkit.tune.trial import TrialKind

COMPARISON = {
    "transfer": {
        "mode": "all",
        "labels": ["1%", "10%"],
        "fit_epochs": [1, 1],
        "fit_batch_sizes": [32, 32],
        "seeds": 1,
    },
    "init": {"path": "x"},
    "training": {"epochs": 1, "batch_size": 32, "learning_rate": 0.01},
}
FINETUNED = {**COMPARISON, "transfer": {"mode": "finetune"}}


def configuration(**asked):
    return configure(default_registry(), **asked)


@pytest.mark.parametrize(
    ("kind", "asked"),
    [
        (AUTOENCODER, {}),
        (AUTOENCODER, {"embed": ["pca", "isomap"], "init_from": "w.safetensors"}),
        (TRIAL, {"embed": ["pca"]}),
        (TrialKind(choose_goals(["mse"])), {"init_from": "w.safetensors"}),
        (TRANSFER, {"config": FINETUNED, "embed": ["pca"]}),
        (TRANSFER, {"config": COMPARISON}),
    ],
)
def test_a_kind_announces_the_stages_that_it_plans(kind, asked):
    config = configuration(**asked)
    assert kind.stage_names(config) == tuple(stage.name for stage in kind.plan(config))


def test_the_configuration_decides_whether_a_run_is_a_transfer():
    registry = default_registry()
    assert kind_of_config(build_config({}, registry)) is AUTOENCODER
    scratch = {"transfer": {"mode": "scratch"}}
    assert kind_of_config(build_config(scratch, registry)) is TRANSFER


def test_a_trial_of_a_study_ends_with_its_objective_unless_it_is_the_best():
    config = configuration()
    searching = TrialKind(choose_goals(["mse"]))
    assert searching.stage_names(config) == ("data", "train", "objective")
    assert TRIAL.stage_names(config) == AUTOENCODER.stage_names(config)
