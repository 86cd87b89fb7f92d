import pytest

from latentkit.plugin import SearchChoice, SearchRange
from latentkit.tune.advice import advice
from latentkit.tune.study_folder import StudyPlan

RATE = {"training.learning_rate": SearchRange(1e-3, 1e-2, log=True)}
ACTIVATION = {"model.activation": SearchChoice(("relu", "gelu"))}


def codes(space, objectives=("mse",), schedule="one-cycle", corruption=(), tuner=None):
    config = {
        "seed": 0,
        "training": {"schedule": schedule},
        "corruption": [{"name": name} for name in corruption],
    }
    tuner = tuner or {"name": "optuna", "pruner": "asha"}
    plan = StudyPlan("s", config, space, objectives, tuner, data_dir="data")
    return [notice.code for notice in advice(plan)]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"space": ACTIVATION}, []),
        ({"space": RATE}, ["early-epochs-mislead"]),
        ({"space": RATE, "schedule": "constant"}, []),
        ({"space": RATE, "tuner": {"name": "optuna", "pruner": "none"}}, []),
        ({"space": RATE, "tuner": {"name": "grid"}}, []),
        ({"space": RATE, "objectives": ("knn",)}, ["not-pruned"]),
        ({"space": RATE, "objectives": ("mse", "knn")}, ["not-pruned"]),
        ({"space": {"model.latent_dim": SearchRange(2, 64)}}, ["latent-dim-searched"]),
        ({"space": {"model.beta": SearchRange(0.1, 10.0)}}, ["beta-searched"]),
        (
            {"space": {"blur.sigma": SearchRange(0.1, 1.0)}, "corruption": ("blur",)},
            ["corruption-searched"],
        ),
    ],
)
def test_notices_warn_of_what_a_user_may_not_expect(asked, said):
    assert codes(**asked) == said


def test_notes_of_the_images_are_notices():
    plan = StudyPlan(
        "s", {}, ACTIVATION, ("mse",), {"name": "grid"}, "data", notes=("all is dark",)
    )
    assert [(notice.code, notice.message) for notice in advice(plan)] == [("images", "all is dark")]
