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
from latentkit.testing import tuner_records, tuner_trials

TunerCheck = Callable[[Callable[[], Tuner], str], None]

TUNER_CHECKS: tuple[TunerCheck, ...] = (
    tuner_records.check_numbers_lie_in_their_ranges,
    tuner_records.check_numbers_have_the_type_of_their_range,
    tuner_records.check_choices_come_back_as_they_were_given,
    tuner_records.check_the_seed_decides_the_parameters,
    tuner_records.check_a_pause_changes_no_parameters,
    tuner_records.check_an_interruption_changes_no_parameters,
    tuner_trials.check_exactly_the_budget_is_run,
    tuner_trials.check_a_larger_budget_continues,
    tuner_trials.check_a_spent_budget_runs_nothing,
    tuner_trials.check_failed_and_pruned_trials_count,
    tuner_trials.check_no_time_begins_no_trial,
    tuner_trials.check_time_that_suffices_changes_nothing,
    tuner_trials.check_a_failing_trial_is_recorded_and_the_study_goes_on,
    tuner_trials.check_a_value_that_is_no_number_fails_its_trial,
    tuner_trials.check_a_stopped_study_ends_with_a_failed_trial,
    tuner_trials.check_a_pruned_trial_is_recorded,
    tuner_trials.check_an_interrupt_passes_through,
    tuner_trials.check_an_interrupted_trial_waits,
    tuner_trials.check_an_interrupted_trial_is_gone_on_with_first,
    tuner_records.check_nothing_stored_loads_as_none,
    tuner_records.check_what_is_loaded_is_what_was_given,
    tuner_records.check_a_trial_is_stored_as_it_begins,
    tuner_records.check_reports_are_stored,
    tuner_records.check_an_epoch_may_be_told_again,
    tuner_records.check_notes_are_stored,
    tuner_records.check_another_identity_is_refused,
    tuner_records.check_studies_of_one_storage_are_apart,
    tuner_records.check_the_least_is_best_when_minimised,
    tuner_records.check_the_greatest_is_best_when_maximised,
    tuner_records.check_two_objectives_make_a_front,
    tuner_trials.check_two_workers_share_a_study,
)
"""Every check of this module."""
