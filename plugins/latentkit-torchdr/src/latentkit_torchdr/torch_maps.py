"""The embeddings, computed by TorchDR.

TorchDR: H. Van Assel et al., https://github.com/TorchDR/TorchDR. ``umap``: L. McInnes, J. Healy,
J. Melville (2018). ``largevis``: J. Tang et al., WWW (2016). ``infotsne``: S. Damrich et al., ICLR
(2023). ``tsne``: L. van der Maaten, G. Hinton, JMLR 9 (2008). ``phate``: K. Moon et al., Nature
Biotechnology 37 (2019). ``pacmap``: Y. Wang et al., JMLR 22 (2021).
"""

from __future__ import annotations

import importlib
import os
import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from latentkit.errors import ResourceError, UserError
from latentkit.plugin import (
    Embedding,
    ResourceEstimate,
    check_map_size,
    checked_new_vectors,
    checked_vectors,
)
from latentkit_torchdr import options as kinds
from latentkit_torchdr.map_input import Floats, Frame

_LEAST = 6
_PACMAP_CANDIDATES = 52
"""Points that PaCMAP in TorchDR needs in addition to its near pairs."""


# Rough figures, measured on one core with TorchDR 0.5 and 16 dimensions.
_FIXED_BYTES = 250 * 2**20
_SECONDS_PER_DISTANCE = 2e-10


@dataclass(frozen=True)
class _Method:
    """A class of TorchDR, and what it costs.

    Args:
        kind: name of the class.
        bytes_each: memory for each neighbour of each point, or for each pair of points.
        seconds_each: time of a step for each of these, on one core.
        arguments: arguments that are the same for all options.
        pairs: whether it computes with all pairs of points.
        cubic: whether it multiplies matrices of all pairs.
        candidates: vectors that it needs in addition to ``n_neighbors``; 0 if `_LEAST` is enough.
    """

    kind: str
    bytes_each: float
    seconds_each: float
    arguments: tuple[tuple[str, Any], ...] = ()
    pairs: bool = False
    cubic: bool = False
    candidates: int = 0


class TorchMap:
    """An embedding of TorchDR, with scikit-learn's conventions.

    Args:
        name: name of the embedding, for messages.
        method: TorchDR's class and its cost.
        options: options of the embedding.
        random_state: seed, 0 to 2**32 - 1.

    Raises:
        UserError: there is no GPU, but the options ask for one or several.
    """

    _frame: Frame

    def __init__(
        self, name: str, method: _Method, options: kinds.TorchOptions, random_state: int
    ) -> None:
        self.name = name
        self.options = options
        self.random_state = random_state
        self.on_progress: Callable[[int, int, str], None] | None = None
        self.facts_: dict[str, Any] = {}
        self._method = method
        self._fitted: Any = None
        self._dimensions: int | None = None
        found = torch.cuda.is_available()
        if not found and (options.device == "cuda" or options.on_several_gpus):
            option = "distributed=true" if options.on_several_gpus else "device=cuda"
            raise UserError(
                f"{name}.{option} needs a GPU, and torch finds none: leave it out, or install a "
                f"torch for your GPU"
            )
        if options.on_several_gpus and options.device == "cpu":
            raise UserError(f"{name}.distributed=true needs GPUs: leave out {name}.device=cpu")
        self._device = "cuda" if found and options.device != "cpu" else "cpu"

    def fit(self, vectors: NDArray[np.floating[Any]]) -> TorchMap:
        """Fit to vectors (N, D)."""
        self.fit_transform(vectors)
        return self

    def fit_transform(self, vectors: NDArray[np.floating[Any]]) -> Floats:
        """Map vectors (N, D) to coordinates (N, n_components); equal vectors get one place.

        Raises:
            UserError: too few different vectors or dimensions, or not all finite.
            ResourceError: memory does not suffice.
        """
        points = checked_vectors(
            vectors, self.name, n_components=self.options.n_components, least=self._least
        )
        frame = Frame(points)
        different = len(frame.vectors)
        if different < self._least:
            raise UserError(
                f"embedding {self.name!r} needs {self._least} different vectors or more, but of "
                f"{len(points):,} only {different} differ: map more"
            )
        neighbors = self.options.neighbors(different)
        with self._computing(different):
            fitted = self._estimator(neighbors)
            fitted.on_step = self._on_step
            coordinates: Floats = fitted.fit_transform(frame.vectors)
            fitted.on_step = None
        steps = int(fitted.n_iter_) + 1
        self._fitted, self._frame, self._dimensions = fitted, frame, points.shape[1]
        self.facts_ = {
            **{key: value for key, value in neighbors.items() if key != "k"},
            "device": self._device,
            "steps": steps,
            "different_vectors": different,
        }
        return coordinates[frame.places]

    def estimate(self, n: int, d: int) -> ResourceEstimate:
        """Estimate memory and time for ``n`` vectors of ``d`` dimensions on one core.

        On a GPU, this memory is needed there.

        Raises:
            UserError: so few vectors or dimensions cannot be mapped.
            ResourceError: the GPU has less memory.
        """
        method, options = self._method, self.options
        check_map_size(n, d, self.name, n_components=options.n_components, least=self._least)
        if method.pairs:
            count: float = n * n
        else:
            near = next(iter(options.neighbors(n).values()))
            count = n * (near + options.others().get("n_negatives", 0) / 3)
        needed = _FIXED_BYTES + count * method.bytes_each + 24 * n * d
        if self._device == "cuda" and needed > (there := torch.cuda.mem_get_info()[1]):
            raise ResourceError(
                f"embedding {self.name!r} of {n:,} points needs about {needed / 1e9:.0f} GB, and "
                f"the GPU has {there / 1e9:.0f}: map fewer points, or choose another embedding"
            )
        before = _SECONDS_PER_DISTANCE * n * n * (d + (10 * n if method.cubic else 0))
        steps = count * method.seconds_each * options.n_iter
        return ResourceEstimate(bytes=int(needed), seconds=1 + before + steps)

    @property
    def _least(self) -> int:
        candidates = self._method.candidates
        return max(_LEAST, candidates and self.options.neighbors(0)["n_neighbors"] + candidates)

    def _estimator(self, neighbors: dict[str, Any]) -> Any:
        library = _torchdr(self.options.on_several_gpus)
        chosen = dict(self._method.arguments)
        if isinstance(self.options, kinds.DistributedOptions):
            chosen["distributed"] = self.options.distributed
        return _reporting(getattr(library, self._method.kind))(
            n_components=self.options.n_components,
            max_iter=self.options.n_iter,
            init="normal" if self.options.init == "random" else "pca",
            device=self._device,
            random_state=self.random_state,
            **neighbors,
            **self.options.others(),
            **chosen,
        )

    def _on_step(self, done: int) -> None:
        if self.on_progress is not None:
            self.on_progress(done, self.options.n_iter, "optimising")

    @contextmanager
    def _computing(self, n: int) -> Iterator[None]:
        """Seed all random numbers, and turn TorchDR's errors into messages."""
        try:
            with _own_state(self.random_state, self._device):
                yield
        except torch.OutOfMemoryError as error:
            raise ResourceError(
                f"embedding {self.name!r}: the GPU has too little memory for {n:,} "
                f"different vectors: map fewer, or set {self.name}.device=cpu"
            ) from error
        except (ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split()).removeprefix("[TorchDR] ERROR ")
            if "can't allocate memory" in reason or "not enough memory" in reason:
                raise ResourceError(
                    f"embedding {self.name!r}: there is too little memory for {n:,} different "
                    f"vectors: map fewer, or choose another embedding"
                ) from error
            raise UserError(f"embedding {self.name!r} failed: {reason}") from error


class PlacingTorchMap(TorchMap):
    """An embedding of TorchDR that also places new points."""

    def transform(self, vectors: NDArray[np.floating[Any]]) -> Floats:
        """Place new vectors (M, D) in the fitted map, by their neighbours among the fitted ones.

        Returns:
            Coordinates (M, n_components). They depend slightly on which vectors are placed
            together, because these draw their random numbers together.

        Raises:
            UserError: the map is not fitted, or the vectors are not finite or differ in dimension
                from the fitted ones.
        """
        points = checked_new_vectors(vectors, self.name, self._dimensions)
        if not len(points):
            return np.empty((0, self.options.n_components), np.float32)
        frame = self._frame
        with self._computing(len(points)), self._step_for(len(points)):
            coordinates: Floats = self._fitted.transform(frame.moved(points), X_train=frame.vectors)
        return coordinates

    @contextmanager
    def _step_for(self, new: int) -> Iterator[None]:
        """Scale the step to the number of new points.

        The objectives of LargeVis and InfoTSNE are means over points, so their step grows with the
        number of points. TorchDR 0.5 places new points with the step of the fitted ones, and moves
        a single one by more than the extent of the map.
        """
        fitted = self._fitted
        if fitted.lr != "auto":
            yield
            return
        n = fitted.n_samples_in_
        fitted.lr = max(n / fitted.early_exaggeration_coeff / 4, 50) * new / n
        try:
            yield
        finally:
            fitted.lr = "auto"


_GRAPH = (("backend", "faiss"), ("process_duplicates", False))


def build_umap(options: kinds.UmapOptions, random_state: int) -> Embedding:
    """Return the ``torchdr-umap`` estimator."""
    method = _Method("UMAP", 400, 6e-7, _GRAPH)
    return PlacingTorchMap("torchdr-umap", method, options, random_state)


def build_largevis(options: kinds.LargevisOptions, random_state: int) -> Embedding:
    """Return the ``torchdr-largevis`` estimator."""
    method = _Method("LargeVis", 350, 1e-6, _GRAPH)
    return PlacingTorchMap("torchdr-largevis", method, options, random_state)


def build_infotsne(options: kinds.InfotsneOptions, random_state: int) -> Embedding:
    """Return the ``torchdr-infotsne`` estimator."""
    method = _Method("InfoTSNE", 300, 8e-7, _GRAPH)
    return PlacingTorchMap("torchdr-infotsne", method, options, random_state)


def build_tsne(options: kinds.PerplexityOptions, random_state: int) -> Embedding:
    """Return the ``torchdr-tsne`` estimator."""
    method = _Method("TSNE", 24, 3e-8, _GRAPH, pairs=True)
    return TorchMap("torchdr-tsne", method, options, random_state)


def build_phate(options: kinds.PhateOptions, random_state: int) -> Embedding:
    """Return the ``torchdr-phate`` estimator."""
    method = _Method("PHATE", 48, 3e-8, pairs=True, cubic=True)
    return TorchMap("torchdr-phate", method, options, random_state)


def build_pacmap(options: kinds.PacmapOptions, random_state: int) -> Embedding:
    """Return the ``torchdr-pacmap`` estimator."""
    method = _Method("PACMAP", 600, 1e-6, _GRAPH, candidates=_PACMAP_CANDIDATES)
    return TorchMap("torchdr-pacmap", method, options, random_state)


def _torchdr(distributed: bool) -> Any:
    """Import TorchDR; join the other processes of its launcher only if ``distributed``.

    When imported in a process of a launcher, TorchDR joins the others by itself. A run of latentkit
    that was started on several GPUs would then wait for processes that do not map.

    Raises:
        UserError: the process was not started by a launcher.
    """
    launched = None if distributed else os.environ.pop("LOCAL_RANK", None)
    try:
        library = importlib.import_module("torchdr")
    finally:
        if launched is not None:
            os.environ["LOCAL_RANK"] = launched
    if distributed:
        together = importlib.import_module("torchdr.distributed")
        together.init_distributed()
        if not together.is_distributed():
            raise UserError(
                "distributed=true needs one process per GPU: start your script with  torchdr "
                "SCRIPT.py  or leave the option out"
            )
    return library


@cache
def _reporting(method: type[Any]) -> type[Any]:
    """Return a class of TorchDR that calls ``on_step`` after each step."""

    def on_training_step_end(self: Any) -> Any:
        ended = method.on_training_step_end(self)
        if self.on_step is not None:
            self.on_step(int(self.n_iter_) + 1)
        return ended

    return type(
        method.__name__,
        (method,),
        {"on_step": None, "on_training_step_end": on_training_step_end},
    )


@contextmanager
def _own_state(seed: int, device: str) -> Iterator[None]:
    """Compute with ``seed`` and repeatably; restore all that TorchDR changes for the process.

    TorchDR seeds Python, NumPy and torch globally when an estimator is made. On several threads,
    torch adds gradients up in the order of arrival unless deterministic algorithms are asked for.
    """
    numbers, legacy = random.getstate(), np.random.get_state()
    hashes = os.environ.get("PYTHONHASHSEED")
    cudnn = torch.backends.cudnn
    chosen = cudnn.deterministic, cudnn.benchmark
    strict = torch.are_deterministic_algorithms_enabled()
    only_warn = torch.is_deterministic_algorithms_warn_only_enabled()
    devices = range(torch.cuda.device_count()) if device == "cuda" else ()
    with torch.random.fork_rng(devices), torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(strict, warn_only=only_warn)
            cudnn.deterministic, cudnn.benchmark = chosen
            random.setstate(numbers)
            np.random.set_state(legacy)
            os.environ.pop("PYTHONHASHSEED", None)
            if hashes is not None:
                os.environ["PYTHONHASHSEED"] = hashes
