import pytest
import torch
from torch import nn

from latentkit.config import TrainingOptions
from latentkit.training.state import learning_rate, make_optimizer, set_learning_rate

STEPS = 1001


def rates(schedule):
    options = TrainingOptions(schedule=schedule, learning_rate=0.1)
    return [learning_rate(options, step, STEPS) for step in range(STEPS)]


def test_a_constant_schedule_stays_at_the_peak_rate():
    assert set(rates("constant")) == {0.1}


def test_cosine_falls_from_the_peak_to_nearly_zero():
    found = rates("cosine")
    assert found[0] == pytest.approx(0.1)
    assert found == sorted(found, reverse=True)
    assert found[-1] < 1e-6


def test_one_cycle_rises_for_three_tenths_and_falls_after():
    found = rates("one-cycle")
    assert found[0] == pytest.approx(0.1 / 25)
    assert found[300] == pytest.approx(0.1)
    assert found[:301] == sorted(found[:301])
    assert found[300:] == sorted(found[300:], reverse=True)
    assert found[-1] == pytest.approx(0.1 / 25 * 1e-4)


def test_one_cycle_agrees_with_torch():
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=STEPS)
    ours = rates("one-cycle")
    for step in range(STEPS - 1):
        # torch puts its peak one step earlier: at 0.3 * steps - 1.
        assert theirs.get_last_lr()[0] == pytest.approx(ours[step], rel=0.02, abs=2e-4)
        optimizer.step()
        theirs.step()


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_the_optimiser_skips_frozen_parameters(name):
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].requires_grad_(False)
    optimizer = make_optimizer(
        model, TrainingOptions(optimizer=name, learning_rate=0.1), torch.device("cpu")
    )
    assert len(optimizer.param_groups[0]["params"]) == 2


def test_tensor_learning_rates_are_updated_in_place_and_stay_tensors_after_loading():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    optimizer = make_optimizer(model, TrainingOptions(learning_rate=0.1), torch.device("cpu"))
    (group,) = optimizer.param_groups
    rate = group["lr"] = torch.tensor(0.1)  # as on CUDA
    group["rate"] = 0.5
    set_learning_rate(optimizer, 0.3)
    assert group["lr"] is rate
    assert rate.item() == pytest.approx(0.15)
    optimizer.load_state_dict(optimizer.state_dict())
    set_learning_rate(optimizer, 0.8)
    assert optimizer.param_groups[0]["lr"].item() == pytest.approx(0.4)
