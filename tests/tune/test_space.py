import pytest

from latentkit.config import build_config
from latentkit.errors import UserError
from latentkit.plugin import SearchChoice, SearchRange
from latentkit.registry.catalogue import default_registry
from latentkit.tune.space import parse_search, search_space, space_as_json, space_from_json, within


@pytest.fixture(scope="module")
def registry():
    return default_registry()


@pytest.fixture(scope="module")
def config(registry):
    return build_config({}, registry, corruptions=["gaussian-noise"])


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("model.latent_dim=2..64", SearchRange(2, 64)),
        ("training.learning_rate = 1e-4..1e-2:log", SearchRange(1e-4, 1e-2, log=True)),
        ("training.batch_size=32..128:step=32", SearchRange(32, 128, step=32)),
        ("model.activation=relu,silu", SearchChoice(("relu", "silu"))),
        ("model.hidden=[256],[512,128]", SearchChoice(([256], [512, 128]))),
        ("training.batch_size=64,128", SearchChoice((64, 128))),
    ],
)
def test_a_range_or_a_list_is_parsed(text, domain):
    assert parse_search(text) == (text.partition("=")[0].strip(), domain)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model.latent_dim", "write KEY=LOW..HIGH"),
        ("model.latent_dim=4..2", "the range is reversed"),
        ("model.latent_dim=2..2", "the range is empty"),
        ("model.latent_dim=2..x", "write KEY=LOW..HIGH"),
        ("model.latent_dim=2..8:lg", "write KEY=LOW..HIGH"),
        ("model.latent_dim=-2..8:log", "needs low > 0"),
        ("model.norm=batch", "fewer than two values"),
    ],
)
def test_text_that_is_not_a_range_is_refused(text, said):
    with pytest.raises(UserError, match=said):
        parse_search(text)


def test_options_with_a_search_range_are_searched_unless_fixed(config, registry):
    space = search_space(config, registry, fixed=["conv-ae.latent_dim"])
    assert set(space) == {"model.activation", "training.learning_rate"} | {
        key for key in space if key.startswith("gaussian-noise.")
    }
    assert space["model.activation"].values[0] == "relu"


def test_a_given_range_replaces_the_options_own_and_gets_its_type(config, registry):
    given = {"conv-ae.latent_dim": SearchRange(2, 8), "gaussian-noise.std": SearchRange(0, 1)}
    space = search_space(config, registry, given)
    assert space["model.latent_dim"] == SearchRange(2, 8)
    assert isinstance(space["gaussian-noise.std"].high, float)
    choice = {"model.hidden": SearchChoice(([256], [512, 128]))}
    assert search_space(config, registry, choice)["model.hidden"].values == ((256,), (512, 128))


@pytest.mark.parametrize(
    ("searched", "said"),
    [
        ({"model.latnt_dim": SearchRange(2, 4)}, "did you mean 'latent_dim'"),
        ({"modl.latent_dim": SearchRange(2, 4)}, "did you mean 'model'"),
        ({"model.latent_dim": SearchRange(0, 4)}, "should be 1 or more"),
        ({"model.norm": SearchRange(1, 3)}, "norm = 1 is not valid"),
        ({"model.activation": SearchChoice(("relu", "rleu"))}, "'rleu' is not valid"),
    ],
)
def test_a_range_with_values_that_the_option_refuses_is_refused(config, registry, searched, said):
    with pytest.raises(UserError, match=said):
        search_space(config, registry, searched)


@pytest.mark.parametrize("key", ["seed", "split.validation", "digits.nothing", "dataset.path"])
def test_options_that_change_the_validation_images_cannot_be_searched(config, registry, key):
    with pytest.raises(UserError, match="could not be compared"):
        search_space(config, registry, {key: SearchRange(0, 1)})


def test_only_values_within_the_space_are_kept():
    space = {
        "n": SearchRange(2, 64, log=True),
        "x": SearchRange(0.0, 1.0, step=0.25),
        "widths": SearchChoice(((256,), (512, 128))),
    }
    inside = {"n": 16, "x": 0.75, "widths": [512, 128]}
    assert within(space, inside) == {"n": 16, "x": 0.75, "widths": (512, 128)}
    assert within(space, {"n": 65, "x": 0.3, "widths": [1], "other": 1}) == {}
    assert within(space, {"n": "auto"}) == {}


def test_contradictory_searches_are_refused(config, registry):
    with pytest.raises(UserError, match=r"model\.latent_dim is both searched and fixed"):
        search_space(
            config, registry, {"model.latent_dim": SearchRange(2, 4)}, ["model.latent_dim"]
        )
    with pytest.raises(UserError, match="no option 'nothing'"):
        search_space(config, registry, fixed=["model.nothing"])
    everything = list(search_space(config, registry))
    with pytest.raises(UserError, match="nothing to search"):
        search_space(config, registry, fixed=everything)


def test_a_space_is_unchanged_by_a_round_trip_through_json():
    space = {
        "a": SearchRange(1, 8, log=True),
        "b": SearchRange(0.0, 1.0, step=0.25),
        "c": SearchChoice(("x", (1, 2), True)),
    }
    assert space_from_json(space_as_json(space)) == space
