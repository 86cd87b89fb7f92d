"""The checks pass a tuner that keeps the contract, and name the rule that another one breaks."""

from __future__ import annotations

from pathlib import Path

import pytest

from latentkit.testing import tuner_records, tuner_trials
from latentkit.testing.tuners import TUNER_CHECKS

WORKERS = "check_two_workers_share_a_study"
BROKEN = {
    "OutOfRange": {"numbers_lie_in_their_ranges"},
    "OffItsSteps": {"numbers_lie_in_their_ranges"},
    "FloatsForIntegers": {"numbers_have_the_type_of_their_range"},
    "ListsForTuples": {"choices_come_back_as_they_were_given"},
    "NumbersForSwitches": {"choices_come_back_as_they_were_given"},
    "Unseeded": {
        "the_seed_decides_the_parameters",
        "a_pause_changes_no_parameters",
        "an_interruption_changes_no_parameters",
    },
    "RepeatsAfterAPause": {
        "a_pause_changes_no_parameters",
        "an_interruption_changes_no_parameters",
    },
    "NewParametersAfterAnInterrupt": {
        "an_interruption_changes_no_parameters",
        "an_interrupted_trial_is_gone_on_with_first",
    },
    "OneTooMany": {
        "exactly_the_budget_is_run",
        "a_larger_budget_continues",
        "failed_and_pruned_trials_count",
        "time_that_suffices_changes_nothing",
    },
    "OneTooManyWhenGoneOnWith": {"a_larger_budget_continues"},
    "CountsCompletedOnly": {"failed_and_pruned_trials_count"},
    "BeginsAnew": {
        "a_larger_budget_continues",
        "a_spent_budget_runs_nothing",
    },
    "IgnoresSeconds": {"no_time_begins_no_trial"},
    "ForgetsReasons": {
        "a_failing_trial_is_recorded_and_the_study_goes_on",
        "a_stopped_study_ends_with_a_failed_trial",
        "a_value_that_is_no_number_fails_its_trial",
    },
    "KeepsNaN": {"a_value_that_is_no_number_fails_its_trial"},
    "GoesOnWhenStopped": {"a_stopped_study_ends_with_a_failed_trial"},
    "FailsThePruned": {"a_pruned_trial_is_recorded"},
    "SwallowsInterrupts": {
        "an_interrupt_passes_through",
        "an_interrupted_trial_waits",
        "an_interrupted_trial_is_gone_on_with_first",
    },
    "FailsTheInterrupted": {
        "an_interrupted_trial_waits",
        "an_interrupted_trial_is_gone_on_with_first",
    },
    "ForgetsReports": {"reports_are_stored", "an_epoch_may_be_told_again"},
    "RefusesToldEpochs": {"an_epoch_may_be_told_again"},
    "ForgetsNotes": {"notes_are_stored"},
    "LoadsTheEmpty": {"nothing_stored_loads_as_none"},
    "StoresAtTheEnd": {"a_trial_is_stored_as_it_begins"},
    "IgnoresIdentity": {"another_identity_is_refused"},
    "OneStudyAFile": {
        "studies_of_one_storage_are_apart",
        "nothing_stored_loads_as_none",
        "the_seed_decides_the_parameters",
    },
    "AlwaysMinimises": {
        "the_greatest_is_best_when_maximised",
        "two_objectives_make_a_front",
    },
}


@pytest.fixture
def ledger(monkeypatch):
    """Return the module of the tuners, which both worker processes can import too."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import ledger

    return ledger


def failing(make, checks, folder) -> set[str]:
    """Return the names, without ``check_``, of the checks that a tuner fails with a message."""
    found = set()
    for check in checks:
        try:
            check(make, f"sqlite:///{folder / check.__name__}.db")
        except AssertionError as error:
            if str(error):
                found.add(check.__name__.removeprefix("check_"))
    return found


def test_every_check_of_the_module_is_listed_once_and_says_what_it_checks():
    modules = (tuner_records, tuner_trials)
    named = [
        getattr(module, name)
        for module in modules
        for name in dir(module)
        if name.startswith("check_")
    ]
    assert sorted(map(str, named)) == sorted(map(str, TUNER_CHECKS))
    assert all(check.__doc__ for check in TUNER_CHECKS)


@pytest.mark.parametrize("check", TUNER_CHECKS, ids=lambda check: check.__name__)
def test_a_tuner_that_keeps_the_contract_passes(check, ledger, tmp_path):
    check(ledger.LedgerTuner, f"sqlite:///{tmp_path / 'study.db'}")


@pytest.mark.parametrize("name", BROKEN)
def test_the_checks_find_what_is_broken_and_nothing_else(name, ledger, tmp_path):
    checks = [check for check in TUNER_CHECKS if check.__name__ != WORKERS]
    assert failing(getattr(ledger, name), checks, tmp_path) == BROKEN[name]


def test_a_tuner_that_stops_at_a_failing_trial_raises_in_the_check(ledger, tmp_path):
    check = tuner_trials.check_a_failing_trial_is_recorded_and_the_study_goes_on
    with pytest.raises(RuntimeError, match="a trial failed"):
        check(ledger.EndsWithAFailure, f"sqlite:///{tmp_path / 'study.db'}")


@pytest.mark.parametrize(
    ("name", "message"),
    [("RunsWhatOthersRun", "workers started trials"), ("OneTooMany", "workers started trials")],
)
def test_two_workers_that_share_badly_are_found(name, message, ledger, tmp_path):
    with pytest.raises(AssertionError, match=message):
        getattr(tuner_trials, WORKERS)(getattr(ledger, name), f"sqlite:///{tmp_path / 'study.db'}")


def test_a_function_that_other_processes_cannot_call_is_refused(ledger, tmp_path):
    with pytest.raises(AssertionError, match=r"functools\.partial"):
        getattr(tuner_trials, WORKERS)(
            lambda: ledger.LedgerTuner(), f"sqlite:///{tmp_path}/study.db"
        )
