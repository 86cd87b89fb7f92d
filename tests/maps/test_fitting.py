"""How the core fits one embedding: progress, facts, estimated cost, and refused results."""

import numpy as np
import pytest

from latentkit.errors import PluginError, ResourceError
from latentkit.maps import fitting
from latentkit.maps.fitting import ProgressEmitter, fit_embedding
from latentkit.plugin import ResourceEstimate
from latentkit.plugin.events import Notice, StageProgress

VECTORS = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)


class Map:
    """Embedding that keeps the first two dimensions and reports whatever it is given."""

    def __init__(self, calls=(), facts=None, estimate=None, raises=None):
        self.on_progress = None
        self._calls, self._raises = calls, raises
        if facts is not None:
            self.facts_ = facts
        if estimate is not None:
            self.estimate = lambda n, d: estimate

    def fit_transform(self, vectors):
        for call in self._calls:
            self.on_progress(*call)
        if self._raises:
            raise self._raises
        return vectors[:, :2]


def told_of(calls):
    events = []
    fit_embedding(Map(calls), "m", VECTORS, stage="embed:m", emit=events.append)
    return [(event.done, event.total, event.detail) for event in events]


def test_progress_becomes_events_of_the_stage():
    events = []
    fit_embedding(Map([(0, 2, "a")]), "m", VECTORS, stage="embed:m", emit=events.append)
    assert events == [StageProgress("embed:m", 0, 2, "a")]


def test_a_thousand_quick_steps_give_few_events_including_the_first_and_last():
    told = told_of([(step, 1000, "step") for step in range(1001)])
    assert told[0] == (0, 1000, "step")
    assert told[-1] == (1000, 1000, "step")
    assert len(told) < 100


def test_the_start_of_each_phase_is_reported_exactly_once():
    assert told_of([(0, 0, "compiling")] * 3 + [(0, 5, "fitting")] * 3) == [
        (0, 0, "compiling"),
        (0, 5, "fitting"),
    ]


def test_progress_is_reported_every_tenth_of_a_second(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(fitting.time, "monotonic", lambda: now[0])
    events = []
    teller = ProgressEmitter("embed:m", events.append)
    for step in range(1, 100):
        now[0] = step * 0.01
        teller(step, 100, "")
    assert 9 <= len(events) <= 11


def test_facts_come_back_as_json_values():
    coordinates, facts = fit_embedding(Map(facts={"used": ("a", 1)}), "m", VECTORS)
    assert coordinates.dtype == np.float64
    assert facts == {"used": ["a", 1]}
    assert fit_embedding(Map(), "m", VECTORS)[1] == {}


@pytest.mark.parametrize("facts", [{"x": np.float32(1)}, {"x": float("nan")}, 3])
def test_facts_that_are_not_json_are_a_plugin_error(facts):
    with pytest.raises(PluginError, match="'m' gave facts that are not a JSON object"):
        fit_embedding(Map(facts=facts), "m", VECTORS)


@pytest.mark.parametrize(
    ("estimate", "line"),
    [
        (ResourceEstimate(2**29 + 2**27, 5.2), "m of 50 points: about 0.6 GiB, 5 s"),
        (ResourceEstimate(3 * 2**20, 0.1), "m of 50 points: about 3 MiB, less than a second"),
        (ResourceEstimate(10, 600), "m of 50 points: about 1 MiB, 10 min"),
    ],
)
def test_the_estimated_cost_is_reported_before_the_fit(estimate, line, monkeypatch):
    monkeypatch.setattr(fitting, "available_memory_bytes", lambda: 2**30)
    events = []
    fit_embedding(Map([(0, 1, "")], estimate=estimate), "m", VECTORS, emit=events.append)
    assert events[0] == Notice("embedding-estimate", line, "info")


def test_a_map_that_needs_too_much_memory_is_refused_before_the_fit(monkeypatch):
    monkeypatch.setattr(fitting, "available_memory_bytes", lambda: 2**30)
    greedy = Map(estimate=ResourceEstimate(2**33, 1), raises=AssertionError("begun"))
    with pytest.raises(ResourceError, match=r"8\.0 GiB of memory, but only 1\.0 GiB are free"):
        fit_embedding(greedy, "m", VECTORS)


def test_running_out_of_memory_is_not_a_plugin_error():
    with pytest.raises(ResourceError, match="'m' ran out of memory on 50 points: map fewer"):
        fit_embedding(Map(raises=MemoryError()), "m", VECTORS)
