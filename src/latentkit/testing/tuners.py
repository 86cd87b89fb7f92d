"""The checks that every tuner must pass; they test the contract in `latentkit.plugin.studies`.

Each check takes a function without arguments that makes a tuner, and the SQLAlchemy URL of an
empty storage. It raises an AssertionError with a sentence that says what is wrong. With pytest:

    from functools import partial

    import pytest
    from latentkit.testing.tuners import TUNER_CHECKS, TunerCheck

    from latentkit_mytuner.options import MyTunerOptions
    from latentkit_mytuner.tuner import build

    @pytest.mark.parametrize("check", TUNER_CHECKS, ids=lambda check: check.__name__)
    def test_it_keeps_the_contract(check: TunerCheck, tmp_path):
        check(partial(build, MyTunerOptions()), f"sqlite:///{tmp_path / 'study.db'}")

The function is called many times, because a stored study outlives its tuner. It is also called in
other processes, so it must be picklable, as a ``partial`` of the plugin's ``build`` is. In a
script, run the checks under ``if __name__ == "__main__"``.

No check asks for more than 12 trials, and every search space has more combinations than that. A
tuner that ends when a finite space is exhausted therefore passes, if it tries every combination of
the choices and at least two values of each range.
"""

from __future__ import annotations

from collections.abc import Callable

from latentkit.plugin import Tuner
from latentkit.testing.tuner_checks.budgets import (
    check_a_larger_budget_continues,
    check_a_spent_budget_runs_nothing,
    check_exactly_the_budget_is_run,
    check_failed_and_pruned_trials_count,
    check_no_time_begins_no_trial,
    check_time_that_suffices_changes_nothing,
)
from latentkit.testing.tuner_checks.failures import (
    check_a_failing_trial_is_recorded_and_the_study_goes_on,
    check_a_pruned_trial_is_recorded,
    check_a_stopped_study_ends_with_a_failed_trial,
    check_a_value_that_is_no_number_fails_its_trial,
    check_an_interrupt_passes_through,
    check_an_interrupted_trial_is_gone_on_with_first,
    check_an_interrupted_trial_waits,
)
from latentkit.testing.tuner_checks.parameters import (
    check_a_pause_changes_no_parameters,
    check_an_interruption_changes_no_parameters,
    check_choices_come_back_as_they_were_given,
    check_numbers_have_the_type_of_their_range,
    check_numbers_lie_in_their_ranges,
    check_the_seed_decides_the_parameters,
)
from latentkit.testing.tuner_checks.records import (
    check_a_trial_is_stored_as_it_begins,
    check_an_epoch_may_be_told_again,
    check_another_identity_is_refused,
    check_notes_are_stored,
    check_nothing_stored_loads_as_none,
    check_reports_are_stored,
    check_studies_of_one_storage_are_apart,
    check_what_is_loaded_is_what_was_given,
)
from latentkit.testing.tuner_checks.results import (
    check_the_greatest_is_best_when_maximised,
    check_the_least_is_best_when_minimised,
    check_two_objectives_make_a_front,
)
from latentkit.testing.tuner_checks.workers import check_two_workers_share_a_study

TunerCheck = Callable[[Callable[[], Tuner], str], None]

TUNER_CHECKS: tuple[TunerCheck, ...] = (
    check_numbers_lie_in_their_ranges,
    check_numbers_have_the_type_of_their_range,
    check_choices_come_back_as_they_were_given,
    check_the_seed_decides_the_parameters,
    check_a_pause_changes_no_parameters,
    check_an_interruption_changes_no_parameters,
    check_exactly_the_budget_is_run,
    check_a_larger_budget_continues,
    check_a_spent_budget_runs_nothing,
    check_failed_and_pruned_trials_count,
    check_no_time_begins_no_trial,
    check_time_that_suffices_changes_nothing,
    check_a_failing_trial_is_recorded_and_the_study_goes_on,
    check_a_value_that_is_no_number_fails_its_trial,
    check_a_stopped_study_ends_with_a_failed_trial,
    check_a_pruned_trial_is_recorded,
    check_an_interrupt_passes_through,
    check_an_interrupted_trial_waits,
    check_an_interrupted_trial_is_gone_on_with_first,
    check_nothing_stored_loads_as_none,
    check_what_is_loaded_is_what_was_given,
    check_a_trial_is_stored_as_it_begins,
    check_reports_are_stored,
    check_an_epoch_may_be_told_again,
    check_notes_are_stored,
    check_another_identity_is_refused,
    check_studies_of_one_storage_are_apart,
    check_the_least_is_best_when_minimised,
    check_the_greatest_is_best_when_maximised,
    check_two_objectives_make_a_front,
    check_two_workers_share_a_study,
)
"""Every check of this module."""
