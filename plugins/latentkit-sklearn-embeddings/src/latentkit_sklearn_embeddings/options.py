"""Options of the embeddings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from latentkit.plugin import Options, SearchRange, search_all


class MapOptions(Options):
    """Options of every embedding."""

    n_components: int = Field(2, ge=2, le=3, description="Dimensions of the map.")


class MdsOptions(MapOptions):
    """Options of ``mds``."""

    metric: bool = Field(
        True, description="Keep the distances; if false, keep only their order (non-metric MDS)."
    )
    init: Literal["classical", "random"] = Field(
        "classical", description="Start at the principal components, or at random."
    )
    n_init: int = Field(
        1, ge=1, le=100, description="Random starts; the best is kept. Only used with init=random."
    )
    max_iter: int = Field(300, ge=1, le=100_000, description="Largest number of steps.")
    eps: float = Field(
        1e-4, gt=0, le=1, description="Stop if a step changes the stress by less than this share."
    )


class ClassicalMdsOptions(MapOptions):
    """Options of ``classical-mds``."""

    metric: Literal["euclidean", "manhattan", "chebyshev", "cosine"] = Field(
        "manhattan", description="Distance between vectors."
    )


class SpectralOptions(MapOptions):
    """Options of ``spectral``."""

    affinity: Literal["nearest_neighbors", "rbf"] = Field(
        "nearest_neighbors",
        description="Join nearest neighbours, or all points by a Gaussian of their distance.",
    )
    n_neighbors: Annotated[int, SearchRange(5, 100, log=True)] = Field(
        15, ge=2, le=1000, description="Neighbours of each point; not used with rbf."
    )
    gamma: float = Field(
        0.0, ge=0, description="Of rbf, exp(-gamma d^2); 0 means 1 over the number of dimensions."
    )
    eigen_tol: float = Field(
        0.0, ge=0, le=1, description="Tolerance of the eigenvectors; 0 means machine precision."
    )


class LleOptions(MapOptions):
    """Options of ``lle``."""

    method: Annotated[Literal["standard", "modified", "hessian", "ltsa"], search_all] = Field(
        "standard",
        description="Local description: weights, several weights, Hessian, or tangent space.",
    )
    n_neighbors: Annotated[int, SearchRange(10, 100, log=True)] = Field(
        15,
        ge=3,
        le=1000,
        description="Neighbours of each point; hessian needs 6 in 2-D, 10 in 3-D.",
    )
    reg: float = Field(
        1e-3, gt=0, le=1, description="Regularisation of weights, relative to neighbours' variance."
    )
    eigen_solver: Literal["auto", "arpack", "dense"] = Field(
        "auto", description="arpack is fast; dense is reliable, but needs memory for all pairs."
    )


class FastIcaOptions(MapOptions):
    """Options of ``fast-ica``."""

    algorithm: Literal["parallel", "deflation"] = Field(
        "parallel", description="Find all components together, or one after the other."
    )
    fun: Literal["logcosh", "exp", "cube"] = Field(
        "logcosh", description="Function that measures how non-Gaussian a component is."
    )
    max_iter: int = Field(1000, ge=1, le=100_000, description="Largest number of steps.")
    tol: float = Field(1e-4, gt=0, le=1, description="Stop if a step changes less than this.")


class NmfOptions(MapOptions):
    """Options of ``nmf``."""

    init: Literal["nndsvda", "nndsvd", "random"] = Field(
        "nndsvda", description="Start from singular vectors, or at random."
    )
    beta_loss: Literal["frobenius", "kullback-leibler"] = Field(
        "frobenius", description="Loss; Kullback-Leibler is minimised by multiplicative steps."
    )
    alpha: float = Field(0.0, ge=0, le=1, description="Weight of the penalty on both factors.")
    l1_ratio: float = Field(
        0.0, ge=0, le=1, description="Share of L1 in the penalty; the rest is L2."
    )
    max_iter: int = Field(1000, ge=1, le=100_000, description="Largest number of steps.")
    tol: float = Field(1e-4, gt=0, le=1, description="Stop if a step changes less than this.")


class FactorAnalysisOptions(MapOptions):
    """Options of ``factor-analysis``."""

    rotation: Literal["none", "varimax", "quartimax"] = Field(
        "none", description="Rotation of the factors at the end."
    )
    max_iter: int = Field(1000, ge=1, le=100_000, description="Largest number of steps.")
    tol: float = Field(
        1e-2, gt=0, le=1, description="Stop if the likelihood grows by less than this."
    )
