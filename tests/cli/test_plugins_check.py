"""``latentkit plugins check`` on good parts, broken parts, and parts that cannot be checked."""

from __future__ import annotations

import json
import re
from textwrap import dedent

import pytest

pytestmark = pytest.mark.usefixtures("blank_figures")

PLUGIN = """
    from latentkit.plugin import CorruptionSpec, DatasetSpec, hookimpl
    LATENTKIT_HOOKSPEC_VERSION = 1

    @hookimpl
    def latentkit_corruptions():
        yield CorruptionSpec(name="negative", summary="Inverts", target="inverters:build")
        yield CorruptionSpec(name="lazy", summary="Does nothing", target="inverters:nothing")

    @hookimpl
    def latentkit_datasets():
        yield DatasetSpec(
            name="far", summary="Far away", target="inverters:build", tags={"download"}
        )

    def build(options):
        return lambda images, generator: 1 - images

    def nothing(options):
        return lambda images, generator: images
"""


@pytest.fixture
def inverters(install_plugin):
    install_plugin("inverters", PLUGIN)


def test_a_good_part_passes(latentkit, inverters):
    ended = latentkit("plugins", "check", "negative")
    assert ended.code == 0
    assert "14 of 14 passed" in ended.out
    assert "checking corruption negative (1 of 1)" in ended.err


def test_a_distribution_is_checked_completely_and_a_failure_is_named_and_exits_with_1(
    latentkit, inverters
):
    ended = latentkit("plugins", "check", "inverters")
    assert ended.code == 1
    assert ended.error.endswith("1 check failed, of lazy")
    assert "13 of 14 passed" in ended.out
    assert "check_images_are_left_alone" in ended.out
    assert "the result shares its memory with the images" in ended.out
    (line,) = [line for line in ended.out.splitlines() if "far" in line]
    assert "left out" in line
    assert "would be downloaded" in line


def test_the_result_is_also_available_as_json(latentkit, inverters):
    ended = latentkit("plugins", "check", "inverters", "--json", "--kind", "corruption")
    assert ended.code == 1
    lazy, negative = json.loads(ended.out)
    assert negative["qualified_name"] == "inverters:negative"
    assert {check["outcome"] for check in negative["checks"]} == {"passed"}
    (failed,) = [check for check in lazy["checks"] if check["outcome"] == "failed"]
    assert failed["check"] == "check_images_are_left_alone"


def test_a_part_is_checked_with_the_options_that_are_given(latentkit):
    ended = latentkit("plugins", "check", "blur", "-o", "blur.sigma=0.0", "--json")
    assert ended.code == 0
    assert latentkit("plugins", "check", "blur", "-o", "blur.sigma=-1").code == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fashion-mnist",), "nothing was checked"),
        (("blurr",), "no part and no distribution 'blurr' (did you mean 'blur'?)"),
        (("blur", "-o", "masking.share=0.5"), "write NAME.KEY=VALUE, with the name of a part"),
    ],
)
def test_a_part_that_cannot_be_checked_is_reported_in_one_line(arguments, message, latentkit):
    ended = latentkit("plugins", "check", *arguments)
    assert ended.code == 2
    assert message in ended.error


def test_a_plugin_in_a_single_file_is_listed_and_checked(latentkit, tmp_path):
    file = tmp_path / "inverters.py"
    file.write_text(dedent(PLUGIN).replace('"inverters:', '__name__ + ":'))
    listed = latentkit("plugins", "list", "--plugin", file, "--kind", "corruption")
    assert re.search(r"negative +Inverts +inverters\.py [0-9a-f]{12}", listed.out)
    assert latentkit("plugins", "check", "negative", "--plugin", file).code == 0


def test_a_missing_plugin_file_exits_with_2(latentkit):
    ended = latentkit("run", "--plugin", "none.py")
    assert ended.code == 2
    assert "none.py: No such file or directory" in ended.error


def test_a_plugin_that_does_not_load_fails_and_the_rest_is_checked(latentkit, install_plugin):
    site = install_plugin("half_broken", PLUGIN.replace("inverters:", "half_broken:"))
    (site / "other_half.py").write_text("1 / 0\n")
    (entries,) = site.glob("*/entry_points.txt")
    entries.write_text("[latentkit.plugins]\ngood = half_broken\nbad = other_half\n")
    ended = latentkit("plugins", "check", "half-broken", "--json")
    assert ended.code == 1
    facts = {fact["name"]: fact for fact in json.loads(ended.out)}
    assert {"negative", "lazy", "half-broken:bad"} <= set(facts)
    (check,) = facts["half-broken:bad"]["checks"]
    assert check["check"] == "plugin_loads"
    assert "ZeroDivisionError" in check["reason"]


def test_a_broken_distribution_is_not_reported_as_unknown(latentkit, install_plugin):
    install_plugin("import_fails", "1 / 0")
    ended = latentkit("plugins", "check", "import-fails")
    assert ended.code == 9
    assert "import-fails 1.0 is broken" in ended.error
