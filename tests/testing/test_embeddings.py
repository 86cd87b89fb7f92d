"""Each check of embeddings finds the fault that it looks for."""

from __future__ import annotations

import pytest

PLANE = """
    import numpy as np

    from latentkit.plugin import ResourceEstimate

    class Plane:
        def __init__(self, random_state):
            self.random_state = random_state
            self.on_progress = None

        def fit_transform(self, vectors):
            if not np.isfinite(vectors).all():
                raise ValueError("not finite")
            generator = np.random.default_rng(self.random_state)
            self.axes, _ = np.linalg.qr(generator.normal(size=(vectors.shape[1], 2)))
            if self.on_progress:
                self.on_progress(1, 1, "projecting")
            self.facts_ = {"method": "qr"}
            return self.transform(vectors)

        def transform(self, vectors):
            return vectors @ self.axes

        def inverse_transform(self, coordinates):
            return coordinates @ self.axes.T

        def estimate(self, n, d):
            return ResourceEstimate(bytes=16 * n, seconds=1e-6 * n)

    def build(options, random_state):
        return Plane(random_state)
"""
TAGS = ("inverse", "linear")
FAULTS = {
    "fewer coordinates than vectors": ("return self.transform(vectors)",
                                       "return self.transform(vectors)[1:]",
                                       "check_coordinates_of_every_vector"),
    "coordinates that are a list": ("return self.transform(vectors)",
                                    "return self.transform(vectors).tolist()",
                                    "check_coordinates_of_every_vector"),
    "a demand for float32": ("generator = np", 'assert vectors.dtype == "f4"; generator = np',
                             "check_other_precision_and_order"),
    "a map of no seed": ("default_rng(self.random_state)", "default_rng()",
                         "check_seed_decides_the_map"),
    "seeds of 31 bits only": ("self.random_state = random_state",
                              "self.random_state = random_state; assert random_state < 2**31",
                              "check_seed_decides_the_map"),
    "vectors that are changed": ("generator = np", "vectors -= 1; generator = np",
                                 "check_vectors_are_left_alone"),
    "NaN that is mapped": ("if not np.isfinite(vectors).all()", "if False",
                           "check_what_cannot_be_mapped_is_refused"),
    "an estimate that shrinks": ("1e-6 * n", "1 / n", "check_estimate_grows"),
    "progress beyond its end": ('on_progress(1, 1, "', 'on_progress(2, 1, "',
                                "check_progress_and_facts"),
    "facts that are no JSON": ('"qr"}', "np.ones(2)}", "check_progress_and_facts"),
    "no transform and no tag": ("def transform(self", "def project(self",
                                "check_tags_of_new_points"),
    "points that are placed elsewhere": ("return self.transform(vectors)",
                                         "return 5 + self.transform(vectors)",
                                         "check_points_of_the_fit_are_placed_near"),
    "an inverse of another size": ("coordinates @ self.axes.T", "coordinates",
                                   "check_inverse_gives_vectors"),
    "a map that is not linear": ("return vectors @ self.axes",
                                 "return (vectors @ self.axes) ** 2", "check_map_is_linear"),
}  # fmt: skip


def test_a_good_embedding_passes(faults_of):
    assert faults_of("embedding", PLANE, tags=TAGS) == {}


def test_a_minimal_embedding_passes(faults_of):
    code = PLANE.replace("def transform(", "def _project(").replace(
        "self.transform(", "self._project("
    )
    code = code.replace("def inverse_transform", "def _back").replace("def estimate", "def _guess")
    assert faults_of("embedding", code, tags=("transductive",)) == {}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_fault_is_found(fault, faults_of):
    old, new, check = FAULTS[fault]
    assert old in PLANE
    code = PLANE.replace(old, new, 1)
    assert check in faults_of("embedding", code, tags=TAGS)


def test_a_transform_that_contradicts_the_tags_is_found(faults_of):
    assert list(faults_of("embedding", PLANE, tags=("transductive",))) == [
        "check_tags_of_new_points"
    ]
