"""The values that ``auto`` is replaced with."""

import pytest

from latentkit.config import build_config
from latentkit.registry.catalogue import default_registry
from latentkit.runs.prepare import suited_learning_rate, with_counts


def counted(n, rate=8e-3, side=28, **training):
    config = build_config({"training": training}, default_registry())
    return with_counts(config, n, rate, (1, side, side)).training


def test_small_sets_get_small_batches_and_more_epochs():
    many, few = counted(60_000), counted(1_000)
    assert (many.batch_size, many.epochs) == (256, 10)
    assert (few.batch_size, few.epochs) == (32, 50)


@pytest.mark.parametrize(
    ("rate", "batch", "expected"),
    [
        (1.6e-2, 256, 1.6e-2),
        (1.6e-2, 1024, 1.6e-2),
        (1.6e-2, 128, 1.6e-2 / 2**0.5),
        (1.6e-2, 32, 8e-3),  # not below the common default
        (8e-3, 32, 8e-3),
        (2e-3, 32, 2e-3),
    ],
)
def test_the_learning_rate_is_the_models_and_lower_for_small_batches(rate, batch, expected):
    assert counted(48_000, rate, batch_size=batch).learning_rate == pytest.approx(expected)


def test_a_given_learning_rate_is_kept():
    assert counted(1_000, 1.6e-2, learning_rate=0.5).learning_rate == 0.5


def test_a_models_declaration_states_its_learning_rate():
    registry = default_registry()
    rates = {
        name: suited_learning_rate(build_config({}, registry, model=name))
        for name in ("conv-ae", "conv-vae")
    }
    assert rates["conv-ae"] > rates["conv-vae"] == 8e-3


def test_few_larger_images_are_shifted_by_a_twentieth_of_their_side():
    assert counted(3_000, side=64).shift == 3
    assert counted(3_000, side=128).shift == 6
    assert counted(10_000, side=64).shift == 0
    assert counted(3_000, side=28).shift == 0
    assert counted(3_000, side=64, shift=1).shift == 1


def test_a_model_may_state_its_learning_rate():
    config = build_config({}, default_registry(), model="conv-ae")
    model = config.model.build((3, 64, 64))
    assert suited_learning_rate(config, model) == model.learning_rate < suited_learning_rate(config)
