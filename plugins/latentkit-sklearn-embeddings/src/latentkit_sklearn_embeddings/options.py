"""Options of the embeddings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from latentkit.plugin import Options, SearchRange, search_all


class MapOptions(Options):
    """What every map has."""

    n_components: int = Field(2, ge=2, le=3, description="Dimensions of the map.")


class MdsOptions(MapOptions):
    """Options of ``mds``."""

    metric: bool = Field(
        True, description="Keep the distances; if false, only their order (non-metric MDS)."
    )
    init: Literal["classical", "random"] = Field(
        "classical", description="Where it starts: the principal components, or at random."
    )
    n_init: int = Field(
        1, ge=1, le=100, description="Random starts, of which the best is kept; else of no effect."
    )
    max_iter: int = Field(300, ge=1, le=100_000, description="Most steps.")
    eps: float = Field(
        1e-4, gt=0, le=1, description="It stops where a step changes less of the stress than this."
    )


class ClassicalMdsOptions(MapOptions):
    """Options of ``classical-mds``."""

    metric: Literal["euclidean", "manhattan", "chebyshev", "cosine"] = Field(
        "manhattan", description="Distance of the vectors."
    )


class SpectralOptions(MapOptions):
    """Options of ``spectral``."""

    affinity: Literal["nearest_neighbors", "rbf"] = Field(
        "nearest_neighbors",
        description="What joins points: being neighbours, or a Gaussian of the distance of all.",
    )
    n_neighbors: Annotated[int, SearchRange(5, 100, log=True)] = Field(
        15, ge=2, le=1000, description="Neighbours of each point; without effect with rbf."
    )
    gamma: float = Field(
        0.0, ge=0, description="Of rbf, exp(-gamma d^2); 0 takes 1 over the number of dimensions."
    )
    eigen_tol: float = Field(
        0.0, ge=0, le=1, description="Tolerance of the eigenvectors; 0 is that of the machine."
    )


class LleOptions(MapOptions):
    """Options of ``lle``."""

    method: Annotated[Literal["standard", "modified", "hessian", "ltsa"], search_all] = Field(
        "standard",
        description="Weights of the neighbours; several such; their Hessian; their tangent space.",
    )
    n_neighbors: Annotated[int, SearchRange(10, 100, log=True)] = Field(
        15,
        ge=3,
        le=1000,
        description="Neighbours of each point; hessian needs 6 in 2-D, 10 in 3-D.",
    )
    reg: float = Field(
        1e-3, gt=0, le=1, description="Regularisation of the weights, by the neighbours' variance."
    )
    eigen_solver: Literal["auto", "arpack", "dense"] = Field(
        "auto", description="arpack is quick; dense is sure, and needs memory for all pairs."
    )


class FastIcaOptions(MapOptions):
    """Options of ``fast-ica``."""

    algorithm: Literal["parallel", "deflation"] = Field(
        "parallel", description="All components at once, or one after the other."
    )
    fun: Literal["logcosh", "exp", "cube"] = Field(
        "logcosh", description="The measure of being Gaussian."
    )
    max_iter: int = Field(1000, ge=1, le=100_000, description="Most steps.")
    tol: float = Field(1e-4, gt=0, le=1, description="It stops where a step changes less.")


class NmfOptions(MapOptions):
    """Options of ``nmf``."""

    init: Literal["nndsvda", "nndsvd", "random"] = Field(
        "nndsvda", description="Where it starts: by singular vectors, or at random."
    )
    beta_loss: Literal["frobenius", "kullback-leibler"] = Field(
        "frobenius", description="What is minimised; of Kullback-Leibler by multiplicative steps."
    )
    alpha: float = Field(0.0, ge=0, le=1, description="Weight of the penalty on both factors.")
    l1_ratio: float = Field(0.0, ge=0, le=1, description="Share of L1 in the penalty; rest is L2.")
    max_iter: int = Field(1000, ge=1, le=100_000, description="Most steps.")
    tol: float = Field(1e-4, gt=0, le=1, description="It stops where a step changes less.")


class FactorAnalysisOptions(MapOptions):
    """Options of ``factor-analysis``."""

    rotation: Literal["none", "varimax", "quartimax"] = Field(
        "none", description="How the factors are turned at the end."
    )
    max_iter: int = Field(1000, ge=1, le=100_000, description="Most steps.")
    tol: float = Field(1e-2, gt=0, le=1, description="It stops where the likelihood grows less.")
