"""Random streams differ by name and do not depend on each other."""

from hypothesis import given
from hypothesis import strategies as st

from latentkit.plugin.seeds import short_stream_seed, stream_seed

SHUFFLE_3 = 2386335075006008887  # the first 63 bits of SHA-256 of b"0/shuffle/3"
NAMES = st.lists(st.one_of(st.text(min_size=1), st.integers()), min_size=1, max_size=3)


@given(st.integers(0, 2**31 - 1), NAMES)
def test_a_stream_is_repeatable_and_in_range(seed, name):
    assert stream_seed(seed, *name) == stream_seed(seed, *name)
    assert 0 <= stream_seed(seed, *name) < 2**63
    assert 0 <= short_stream_seed(seed, *name) < 2**32


def test_each_epoch_purpose_and_seed_has_its_own_stream():
    streams = {stream_seed(seed, use, n) for seed in (0, 1) for use in "ab" for n in range(50)}
    assert len(streams) == 200


def test_the_streams_of_a_seed_are_the_same_in_every_version():
    # A run that is repeated years later must draw the same numbers.
    assert stream_seed(0, "shuffle", 3) == SHUFFLE_3
    assert short_stream_seed(0, "shuffle", 3) == SHUFFLE_3 % 2**32
