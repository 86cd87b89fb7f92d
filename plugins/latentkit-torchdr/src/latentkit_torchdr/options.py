"""Options of the embeddings."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from latentkit.plugin import Options, SearchRange

_EXAGGERATED = 250
"""Most steps of t-SNE and InfoTSNE that exaggerate attraction."""


class TorchOptions(Options):
    """Options that all embeddings share."""

    n_components: int = Field(2, ge=2, le=3, description="Dimensions of the map.")
    n_iter: int = Field(1000, ge=1, le=100_000, description="Number of steps.")
    init: Literal["pca", "random"] = Field("pca", description="Initial positions of the points.")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where the map is computed; auto takes a GPU if there is one."
    )

    @property
    def on_several_gpus(self) -> bool:
        """Whether the processes of a launcher fit one map together."""
        return False

    def neighbors(self, n: int) -> dict[str, Any]:
        """Return TorchDR's argument for the size of a neighbourhood, lowered for ``n`` points."""
        raise NotImplementedError

    def others(self) -> dict[str, Any]:
        """Return TorchDR's arguments that only this method has."""
        return {}


class DistributedOptions(TorchOptions):
    """Options of methods that TorchDR can divide between GPUs."""

    distributed: bool = Field(
        False,
        description="In a script that TorchDR's launcher starts once per GPU: fit one map together."
        " Every process must fit the same vectors.",
    )

    @property
    def on_several_gpus(self) -> bool:
        """Whether the processes of a launcher fit one map together."""
        return self.distributed


class UmapOptions(DistributedOptions):
    """Options of ``torchdr-umap``."""

    n_neighbors: Annotated[int, SearchRange(5, 100, log=True)] = Field(
        15,
        ge=3,
        le=1000,
        description="Number of neighbours of each point; lowered if points are few.",
    )
    min_dist: Annotated[float, SearchRange(0.0, 0.9)] = Field(
        0.1, ge=0, lt=1, description="How close together points may be in the map."
    )
    negative_sample_rate: int = Field(
        5, ge=1, le=100, description="Points that push a point away, for each that pulls it."
    )

    def neighbors(self, n: int) -> dict[str, Any]:
        """Return the number of neighbours; TorchDR needs two points more."""
        return {"n_neighbors": min(self.n_neighbors, n - 2)}

    def others(self) -> dict[str, Any]:
        """Return UMAP's own arguments."""
        return {"min_dist": self.min_dist, "negative_sample_rate": self.negative_sample_rate}


class PerplexityOptions(DistributedOptions):
    """Options of ``torchdr-tsne``, and those that LargeVis and InfoTSNE share with it."""

    perplexity: Annotated[float, SearchRange(5, 100, log=True)] = Field(
        30.0,
        ge=2,
        le=300,
        description="Effective number of neighbours of each point; lowered if points are few.",
    )

    def neighbors(self, n: int) -> dict[str, Any]:
        """Return the perplexity; TorchDR looks at three times as many neighbours."""
        return {"perplexity": min(self.perplexity, (n - 1) / 3)}

    def others(self) -> dict[str, Any]:
        """Return how many steps exaggerate attraction, which forms the clusters."""
        return {"early_exaggeration_iter": min(_EXAGGERATED, self.n_iter // 4)}


class LargevisOptions(PerplexityOptions):
    """Options of ``torchdr-largevis``."""

    n_negatives: int = Field(
        5, ge=1, le=1000, description="Points that push a point away in each step."
    )

    def others(self) -> dict[str, Any]:
        """Return the number of points that push; LargeVis does not exaggerate."""
        return {"n_negatives": self.n_negatives}


class InfotsneOptions(PerplexityOptions):
    """Options of ``torchdr-infotsne``."""

    n_negatives: int = Field(
        300, ge=1, le=10_000, description="Points that push a point away in each step."
    )

    def others(self) -> dict[str, Any]:
        """Return InfoTSNE's own arguments."""
        return {**super().others(), "n_negatives": self.n_negatives}


class PhateOptions(TorchOptions):
    """Options of ``torchdr-phate``."""

    n_neighbors: Annotated[int, SearchRange(3, 30)] = Field(
        5,
        ge=2,
        le=1000,
        description="Neighbour whose distance is the width of a point's kernel; lowered if points"
        " are few.",
    )
    t: Annotated[int, SearchRange(5, 200, log=True)] = Field(
        100, ge=1, le=10_000, description="Steps of the random walk; more of them smooth the map."
    )
    alpha: float = Field(
        10.0, gt=0, le=100, description="How fast the kernel falls beyond its width."
    )

    def neighbors(self, n: int) -> dict[str, Any]:
        """Return the number of neighbours."""
        return {"k": min(self.n_neighbors, n - 2)}

    def others(self) -> dict[str, Any]:
        """Return PHATE's own arguments."""
        return {"t": self.t, "alpha": self.alpha}


class PacmapOptions(TorchOptions):
    """Options of ``torchdr-pacmap``."""

    n_neighbors: Annotated[int, SearchRange(5, 50)] = Field(
        10, ge=2, le=1000, description="Near pairs per point; more of them keep coarser structure."
    )
    # TorchDR needs at least one pair of each kind for each point.
    mn_ratio: Annotated[float, SearchRange(0.5, 2.0)] = Field(
        0.5, ge=0.5, le=10, description="Mid-near pairs per near pair; they arrange the clusters."
    )
    fp_ratio: Annotated[float, SearchRange(0.5, 4.0)] = Field(
        2.0, ge=0.5, le=20, description="Far pairs per near pair; they push points apart."
    )
    n_iter: int = Field(
        450, ge=3, le=100_000, description="Number of steps; 2 in 9 each for the first two phases."
    )

    def neighbors(self, n: int) -> dict[str, Any]:
        """Return the number of near pairs."""
        return {"n_neighbors": self.n_neighbors}

    def others(self) -> dict[str, Any]:
        """Return PaCMAP's own arguments."""
        return {
            "MN_ratio": self.mn_ratio,
            "FP_ratio": self.fp_ratio,
            "iter_per_phase": max(1, self.n_iter * 2 // 9),
        }
