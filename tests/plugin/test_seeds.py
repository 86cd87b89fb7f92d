"""Random streams are told apart by name and do not depend on each other."""

from hypothesis import given
from hypothesis import strategies as st

from latentkit.plugin.events import EpochFinished, Notice, fan_out
from latentkit.plugin.seeds import short_stream_seed, stream_seed

NAMES = st.lists(st.one_of(st.text(min_size=1), st.integers()), min_size=1, max_size=3)


@given(st.integers(0, 2**31 - 1), NAMES)
def test_a_stream_is_repeatable_and_in_range(seed, name):
    assert stream_seed(seed, *name) == stream_seed(seed, *name)
    assert 0 <= stream_seed(seed, *name) < 2**63
    assert 0 <= short_stream_seed(seed, *name) < 2**32


def test_epochs_purposes_and_seeds_have_streams_of_their_own():
    streams = {stream_seed(seed, use, n) for seed in (0, 1) for use in "ab" for n in range(50)}
    assert len(streams) == 200


def test_events_are_told_to_all_in_order_and_are_plain_json():
    heard = []
    tell = fan_out(lambda e: heard.append(("first", e)), lambda e: heard.append(("second", e)))
    tell(Notice("code", "message"))
    assert [who for who, _ in heard] == ["first", "second"]
    record = EpochFinished(1, 2, {"loss": 0.5}, {"loss": 0.4}, 1e-3, 2.0).as_dict()
    assert record["event"] == "EpochFinished"
    assert record["validation"] == {"loss": 0.4}
