"""The conformance suite as the tests of a plugin author use it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from latentkit.errors import UserError
from latentkit.testing.suites import part_cases

PLUGIN = """
    from latentkit.plugin import CorruptionSpec, hookimpl
    LATENTKIT_HOOKSPEC_VERSION = 1

    @hookimpl
    def latentkit_corruptions():
        yield CorruptionSpec(name="negative", summary="Inverts", target="negative:build")
        yield CorruptionSpec(name="lazy", summary="Does nothing", target="negative:nothing")

    def build(options):
        return lambda images, generator: 1 - images

    def nothing(options):
        return lambda images, generator: images
"""
TESTS = """
import pytest
from latentkit.testing.suites import part_cases

EXPECTED = {"lazy": {"check_images_are_left_alone": "it is lazy"}}

@pytest.mark.parametrize("case", part_cases("negative", expected=EXPECTED))
def test_the_contract(case):
    case()

@pytest.mark.parametrize("case", part_cases("negative:lazy"))
def test_the_lazy_one(case):
    case()
"""


def test_three_lines_check_a_distribution(install_plugin, tmp_path):
    install_plugin("negative", PLUGIN, distribution="negatives")
    (tmp_path / "test_it.py").write_text(TESTS.replace('("negative"', '("negatives"')
                                         .replace("negative:lazy", "negatives:lazy"))  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-rx", "-p", "no:cacheprovider", "test_it.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "test_the_contract[negative-check_generator_decides] PASSED" in done.stdout
    assert "test_the_contract[lazy-check_images_are_left_alone] XFAIL" in done.stdout
    assert "it is lazy" in done.stdout
    assert "the result shares its memory with the images" in done.stdout
    assert "1 failed" in done.stdout
    assert "1 xfailed" in done.stdout


def test_an_expected_failure_that_passes_fails(install_plugin):
    install_plugin("negative", PLUGIN)
    reasons = {"negative": {"check_generator_decides": "it is random"}}
    (case,) = [c for c in part_cases("negative", expected=reasons) if c.expected]
    with pytest.raises(AssertionError, match="it passes, but was expected to fail: it is random"):
        case()


def test_a_name_selects_a_part_or_a_distribution_and_a_kind_narrows_it():
    assert {case.subject.spec.name for case in part_cases("pca", "blur")} == {"pca", "blur"}
    models = part_cases("latentkit", kind="model")
    assert {case.subject.spec.kind for case in models} == {"model"}


def test_a_data_set_of_user_files_is_checked_if_its_options_name_files(tmp_path):
    path = tmp_path / "images.npz"
    images = np.random.default_rng(0).integers(0, 256, (50, 8, 8), dtype=np.uint8)
    np.savez(path, images=images)
    for case in part_cases("npz", options={"npz": {"path": str(path)}}):
        case()


@pytest.mark.parametrize(
    ("names", "keywords", "message"),
    [
        (("blurr",), {}, r"no part and no distribution 'blurr' \(did you mean 'blur'\?\)"),
        (("blur",), {"options": {"bulr": {}}}, r"'bulr', which is not checked \(did you mean"),
        (("blur",), {"expected": {"blur": {"check_blur": "x"}}}, "no check 'check_blur'"),
        (("fashion-mnist",), {}, "none of the parts selected by fashion-mnist can be checked"),
    ],
)
def test_an_unknown_name_or_check_is_refused(names, keywords, message):
    with pytest.raises(UserError, match=message):
        part_cases(*names, **keywords)
