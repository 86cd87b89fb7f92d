"""A decorated function or class is a part like any other, and a faulty one is refused in a line."""

from __future__ import annotations

import inspect
import pickle
from textwrap import dedent

import numpy as np
import pytest
import torch

from latentkit.errors import PluginError, UserError
from latentkit.plugin import ImageData, SearchRange, decorators
from latentkit.plugin.options import search_domains, strength_option
from latentkit.registry.catalogue import Registry, default_registry
from latentkit.registry.discovery import find_plugins
from latentkit.registry.options import describe_options
from latentkit.testing.conformance import check_part

HEAD = """
from typing import Annotated, Literal
import numpy as np
import torch
from pydantic import Field
from latentkit.plugin import *
"""
SHADE = '''
@corruption
def shade(images, generator, *, share: float = 0.25):
    """Blacken the lower part of every image."""
    hidden = images.clone()
    hidden[:, :, images.shape[2] - round(share * images.shape[2]):] = 0
    return hidden
'''
KINDS = ["corruption", "dataset", "embedding", "model"]


@pytest.fixture
def loaded(tmp_path):
    """Return a function that loads code as a plugin file, and gives the file's parts by name."""

    def load(code, head=HEAD):
        path = tmp_path / "own.py"
        path.write_text(head + dedent(code))
        parts = default_registry([path]).parts()
        return {part.spec.name: part for part in parts if part.plugin.file}

    return load


@pytest.fixture
def refused(loaded):
    """Return a function that gives the one line with which code is refused."""

    def load(code):
        with pytest.raises(PluginError) as refusal:
            loaded(code)
        return str(refusal.value).partition("own.py is ")[2]

    return load


def built(part, *arguments, **options):
    return part.target()(part.options(options), *arguments)


def example(kind):
    """Return the code below ``Example::`` in the docstring of a decorator."""
    _, found, code = inspect.getdoc(getattr(decorators, kind)).partition("Example::\n")
    assert found, f"@{kind} shows no example"
    return dedent(code)


@pytest.mark.parametrize("kind", KINDS)
def test_the_example_of_each_decorator_passes_every_check_of_its_kind(kind, loaded):
    ((name, part),) = loaded(example(kind)).items()
    assert part.spec.kind == kind
    assert name.startswith("my-")
    assert [result for result in check_part(part) if result.outcome != "passed"] == []


def test_a_whole_plugin_is_one_function(loaded):
    part = loaded(SHADE, head="from latentkit.plugin import corruption\n")["shade"]
    assert part.spec.summary == "Blacken the lower part of every image"
    images = torch.ones(2, 1, 8, 8)
    assert built(part, share=0.5)(images, torch.Generator()).sum() == 64
    assert built(part)(images, torch.Generator()).sum() == 96
    with pytest.raises(UserError, match=r"no option 'shore'.*did you mean 'share'"):
        part.options({"shore": 1})
    ten_lines = decorators.__doc__.partition("loads::\n")[2].partition("\nThe part has")[0]
    assert loaded(ten_lines, head="")["shade"].options({}).share == 0.25


def test_what_is_decorated_is_unchanged():
    scope = {"__name__": __name__, "corruption": decorators.corruption}
    exec(SHADE, scope)
    images = torch.ones(1, 1, 8, 8)
    assert inspect.isfunction(scope["shade"])
    assert scope["shade"](images, None, share=1).sum() == 0
    assert scope["shade"].latentkit_part.spec.name == "shade"


OPTIONS = '''
from __future__ import annotations
from typing import Annotated, Literal
from pydantic import Field
from latentkit.plugin import SearchRange, corruption, search_all, strength

Share = Annotated[float, SearchRange(0.1, 0.5), strength]

@corruption(name="dark", tags={"noisy"}, requires=["numpy>=1"])
def shade_all_rows(
    images, generator, *,
    share: Annotated[Share, Field(ge=0, le=1, description="Share of the rows.")] = 0.25,
    side: Annotated[Literal["top", "bottom"], search_all] = "top",
    grey: tuple[int, ...] | None = None,
    often: bool = False,
    rows: Annotated[int, Field(ge=1)] = 3,
):
    """Darken rows. They are
    not restored.

    Args:
        images: not an option.
        share: not used, since the type says it.
        grey (tuple): shades of the rows,
            from 0 to 255.
        often: whether each image is meant.

    Returns:
        rows: not the option.
    """
    return images * (1 - share)
'''


def test_options_have_the_types_ranges_markers_and_descriptions_of_the_signature(loaded):
    part = loaded(OPTIONS, head="")["dark"]
    options = part.options_type()
    rows = {row["name"]: row for row in describe_options(options)}
    assert {name: row["description"] for name, row in rows.items()} == {
        "share": "Share of the rows.",
        "side": "",
        "grey": "shades of the rows, from 0 to 255.",
        "often": "whether each image is meant.",
        "rows": "",
    }
    assert [row["values"] for row in rows.values()] == [
        "float, at least 0, at most 1",
        "top | bottom",
        "list of int",
        "bool",
        "int, at least 1",
    ]
    assert rows["share"]["search"] == "0.1..0.5"
    searched = {name: domain for name, domain, _ in search_domains(options)}
    assert searched["share"] == SearchRange(0.1, 0.5)
    assert searched["side"].values == ("top", "bottom")
    assert strength_option(options) == ("share", 1)
    assert part.spec.summary == "Darken rows. They are"
    assert part.spec.tags == {"noisy"}
    assert part.spec.requires == ("numpy>=1",)
    with pytest.raises(UserError, match=r"share = 2\.0 is not valid: should be 1 or less"):
        part.options({"share": 2.0})


def test_options_and_target_are_found_by_pickle(loaded):
    part = loaded(OPTIONS, head="")["dark"]
    options = part.options({"share": 0.5, "grey": [1, 2]})
    assert pickle.loads(pickle.dumps(options)) == options
    assert pickle.loads(pickle.dumps(part.target())) is part.target()
    corrupt = pickle.loads(pickle.dumps(part.target()(options)))
    assert corrupt(torch.ones(1, 1, 2, 2), None).sum() == 2


CLASSES = '''
@model(learning_rate=1e-3, tags={"encoder", "frozen"})
class TinyNet(torch.nn.Module):
    """Two pixels."""

    def __init__(self, image_shape, *, latent_dim: int = 2):
        super().__init__()
        self.latent_dim = latent_dim

    def encode(self, images):
        return images.flatten(1)[:, : self.latent_dim]

@embedding(tags={"linear"})
class FirstTwo:
    """The first two dimensions."""

    def __init__(self, random_state, *, scale: float = 1.0):
        self.scale = scale

    def fit_transform(self, vectors):
        return self.scale * vectors[:, :2]

    transform = fit_transform
'''


def test_classes_are_built_with_the_options_of_their_init(loaded):
    parts = loaded(CLASSES)
    assert parts["tiny-net"].spec.learning_rate == 1e-3
    assert built(parts["tiny-net"], (1, 8, 8), latent_dim=5).latent_dim == 5
    assert parts["first-two"].spec.tags == {"linear"}
    assert np.all(built(parts["first-two"], 0, scale=3).transform(np.ones((4, 3))) == 3)


def test_an_embedding_that_is_a_function_gets_finite_vectors_and_places_no_new_points(loaded):
    part = loaded(example("embedding"))["my-plane"]
    assert part.spec.tags == {"transductive"}
    estimator = built(part, 0)
    assert not hasattr(estimator, "transform")
    with pytest.raises(UserError, match="embedding 'my-plane': row 1 of the vectors holds NaN"):
        estimator.fit_transform([[0, 1], [np.nan, 1]])


DATA = '''
@dataset
def pixels(split, *, form: Literal["images", "labels", "names", "all", "more", "none"] = "images"):
    """Noise of every form."""
    images = np.random.default_rng(0).random((4, 8, 8))
    codes = [0, 1, 0, 1]
    given = {
        "images": images,
        "labels": (images, ["dog", "cat", "dog", "cat"]),
        "names": (images, codes, ("dog", "cat")),
        "all": ImageData(to_uint8(images), codes, ("a", "b"), licence="CC0-1.0"),
        "more": (images, codes, ("a", "b"), 3),
        "none": (images, None),
    }
    return given[form]

@dataset
def downloaded(split, cache):
    """Where the files are."""
    raise FileNotFoundError(cache)
'''


def test_a_data_set_returns_images_with_labels_and_names_or_without(loaded):
    part = loaded(DATA)["pixels"]
    found = {
        form: built(part, "train", None, form=form)
        for form in ("images", "labels", "names", "all", "none")
    }
    assert all(isinstance(data, ImageData) for data in found.values())
    assert [data.class_names for data in found.values()] == [
        (),
        ("cat", "dog"),
        ("dog", "cat"),
        ("a", "b"),
        (),
    ]
    assert found["labels"].labels.tolist() == [1, 0, 1, 0]
    assert found["names"].labels.tolist() == [0, 1, 0, 1]
    assert found["all"].licence == "CC0-1.0"
    with pytest.raises(ValueError, match="it returns 4 values"):
        built(part, "train", None, form="more")


def test_a_data_set_that_takes_no_cache_needs_no_download(loaded, tmp_path):
    parts = loaded(DATA)
    assert parts["pixels"].spec.tags == {"bundled"}
    assert parts["downloaded"].spec.tags == frozenset()
    with pytest.raises(FileNotFoundError, match="here"):
        built(parts["downloaded"], "train", tmp_path / "here")


def option(text):
    return f'@corruption\ndef bad(images, generator, *, {text}):\n    """Bad."""\n'


def taking(text, kind="corruption"):
    return f'@{kind}\ndef bad({text}):\n    """Bad."""\n'


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (option("share: float"), "@corruption bad: option 'share' has no default"),
        (option("share=0.5"), "option 'share' has no type: write share: float = 0.5"),
        (option("share=()"), "option 'share' has no type: write share: TYPE = ()"),
        (option("share: float = Field(0.5)"), "the default of option 'share' is a Field"),
        (option("share: np.ndarray = 0"), "option 'share' has the type numpy.ndarray: use bool"),
        (option("share: list[int] = 0"), "option 'share' has the type list[int]: use bool"),
        (option("share: dict | None = None"), "option 'share' has the type dict | None"),
        (option("share: 'Flaot' = 0"), "the type of option 'share' cannot be read: name 'Flaot'"),
        (option("name: str = ''"), "an option cannot be called 'name'"),
        (option("_own: int = 1"), "an option cannot be called '_own'"),
        (option("copy: int = 1"), "an option cannot be called 'copy'"),
        (
            option("share: float = 'x'"),
            "the default of option 'share', 'x', is not valid: Input sh",
        ),
        (
            option("share: Annotated[int, Field(ge=2)] = 1"),
            "the default of option 'share', 1, is not",
        ),
        (
            option("share: Annotated[int, Field(max_digits=1)] = 1"),
            "of its options do not work: Unable",
        ),
        (taking("images, generator, **more"), "it takes **more: name each option instead"),
        (taking("images, generator, *more"), "it takes *more: name each option instead"),
        (taking("images"), "it takes (images), expected (images, generator), and then its options"),
        (taking("images, generator, share: float = 1"), "it takes (images, generator, share)"),
        (taking("", "dataset"), "it takes (), expected (split, cache), and"),
        (taking("image_shape, share=1", "model"), "as in (image_shape, *, size: int = 3)"),
        (taking("vectors", "embedding"), "expected (vectors, random_state)"),
        ("@corruption\ndef bad(images, generator): ...", "@corruption bad: it has no docstring"),
        ("bad = corruption(3)", "@corruption 3: this is not a function: write"),
        ("corruption('shade')", "@corruption 'shade': this is not a function"),
        (
            "model(torch.nn.Flatten())",
            "Flatten(start_dim=1, end_dim=-1): this is not a function or",
        ),
        ("@corruption\nclass Bad: 'Bad.'", "@corruption Bad: this is not a function"),
        ("bad = corruption(lambda images, generator: images)", "<lambda>: define it at the top"),
        (f"class Own:\n{SHADE.replace(chr(10), chr(10) + '    ')}", "Own.shade: define it at the"),
        ("@embedding\nclass Bad:\n 'Bad.'\n def __init__(self, seed): ...", "no method fit_trans"),
        (
            "@embedding\nclass Bad:\n 'Bad.'\n def fit_transform(self): ...",
            "expected (random_state)",
        ),
        ("@model\n" + SHADE.strip(), "@model shade: it has two decorators that make a part"),
        (SHADE + SHADE, "'shade' no longer means what @corruption decorated: use each name once"),
        (SHADE + "shade = 3", "'shade' no longer means what @corruption decorated"),
        ("@torch.no_grad()" + SHADE, "put @corruption above other decorators"),
        (
            SHADE + SHADE.replace("def shade", "def other").replace("n\n", "n(name='shade')\n", 1),
            "two corruptions are named 'shade': use @corruption(name=...) for one",
        ),
        (taking("images, generator").replace("bad", "_bad"), "name '-bad' is not lower case words"),
        (SHADE.replace("n\n", "n(tags='local')\n", 1), "shade: tags must be a collection of"),
        (SHADE.replace("n\n", "n(requires=['a b'])\n", 1), "'a b', which is not a pip requirement"),
        ("import json", "a file needs none if it has decorated parts, such as @corruption"),
        ("LATENTKIT_HOOKSPEC_VERSION = 1", "none of latentkit's hooks, and no part of its own is"),
        ("LATENTKIT_HOOKSPEC_VERSION = 2" + SHADE, "incompatible: it is written for version 2"),
    ],
)
def test_bad_use_is_one_line_that_says_what_to_do(code, message, refused):
    line = refused(code)
    assert message in line
    assert "\n" not in line


def test_a_decorator_that_torch_wraps_is_kept_below(loaded):
    part = loaded(SHADE.replace("@corruption\n", "@corruption\n@torch.no_grad()\n"))["shade"]
    weights = torch.ones(1, 1, 8, 8, requires_grad=True)
    assert not built(part)(weights, None).requires_grad


def test_one_file_may_have_hooks_and_decorated_parts(loaded):
    hook = """
    @hookimpl
    def latentkit_embeddings():
        yield EmbeddingSpec(name="mine", summary="Mine", target="json:loads")
    """
    assert set(loaded(dedent(hook) + SHADE)) == {"mine", "shade"}


def test_an_installed_module_may_decorate_if_it_states_the_version(install_plugin):
    code = "from latentkit.plugin import corruption\n" + SHADE
    install_plugin("stated", "LATENTKIT_HOOKSPEC_VERSION = 1\n" + code)
    install_plugin("silent", code)
    install_plugin("borrowed", "LATENTKIT_HOOKSPEC_VERSION = 1\nfrom stated import shade\n")
    registry = Registry(
        one for one in find_plugins() if one.module in ("stated", "silent", "borrowed")
    )
    (part,) = registry.parts("corruption")
    assert part.spec.target == "stated:shade.latentkit_part.build"
    assert built(part, share=1)(torch.ones(1, 1, 8, 8), None).sum() == 0
    assert {
        problem.plugin.name: problem.message.split(":")[0] for problem in registry.problems
    } == {
        "silent": "it does not state its version",
        "borrowed": "ValueError",
    }
    failed = [result for result in check_part(part) if result.outcome == "failed"]
    assert [result.check for result in failed] == ["check_options_are_described"]
