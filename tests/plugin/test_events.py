"""A run reports events as data: several listeners get them, and they can be saved and read."""

import dataclasses
import json

import pytest

from latentkit.plugin.events import BatchFinished, EpochFinished, Event, Notice, fan_out, ignore

SAMPLES = {
    "int": 1,
    "float": 0.5,
    "str": "text",
    "bool": True,
    "tuple[str, ...]": ("train", "encode"),
    "tuple[bool, ...]": (True, False),
    "tuple[float, ...]": (0.5, 2.0),
    "Mapping[str, Any]": {"model.latent_dim": 3},
    "Mapping[str, float]": {"loss": 0.5},
}


def example(kind):
    """Return an event of a kind, with its default values if it has any."""
    fields = dataclasses.fields(kind)
    bare = [f for f in fields if f.default is f.default_factory is dataclasses.MISSING]
    return kind(**{field.name: SAMPLES[field.type] for field in bare})


@pytest.mark.parametrize("kind", Event.__subclasses__(), ids=lambda kind: kind.__name__)
def test_every_event_is_a_strict_json_object_that_names_its_type(kind):
    event = example(kind)
    back = json.loads(json.dumps(event.as_dict(), allow_nan=False))
    assert back.pop("event") == kind.__name__
    assert list(back) == [field.name for field in dataclasses.fields(kind)]


@pytest.mark.parametrize("kind", Event.__subclasses__(), ids=lambda kind: kind.__name__)
def test_events_are_immutable(kind):
    event = example(kind)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(event, dataclasses.fields(kind)[0].name, None)


def test_epochs_are_saved_and_batches_are_for_display_only():
    assert not example(EpochFinished).transient
    assert example(BatchFinished).transient
    assert "transient" not in example(BatchFinished).as_dict()


def test_every_listener_gets_all_events_in_order():
    heard = []
    emit = fan_out(
        lambda e: heard.append(("first", e)), ignore, lambda e: heard.append(("last", e))
    )
    notice = Notice("code", "message")
    emit(notice)
    assert heard == [("first", notice), ("last", notice)]
