"""The spaces of an explorer page: what it shows of one run, and of each kept epoch."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import torch

from latentkit.data.batches import DeviceImages
from latentkit.errors import UserError, leaving_out
from latentkit.evaluation.inference import decode, encode
from latentkit.explore.compare_models import Configured
from latentkit.explore.explored_run import ExploredRun
from latentkit.explore.explorer_layout import Mixture, PageDecoder, PageSpace
from latentkit.explore.overview import COMPONENTS
from latentkit.explore.page_columns import columns
from latentkit.explore.page_items import (
    ChosenItems,
    On,
    choose_items,
    image_keys,
    pixels_of,
)
from latentkit.explore.page_maps import own_map, rows_of_keys, run_maps
from latentkit.explore.samples import fit_mixture
from latentkit.explore.scale import Floats, LatentScale, latent_scale
from latentkit.runs import run_files
from latentkit.runs.context import no_decoder_text

_PROBES = 16  # latents whose images are stored, to compare the page's decoder with
_MOST_PROBED = 2**19  # values of these images
_ENCODED_AT_ONCE = 4096


@dataclass
class Notes:
    """What a page says was left out, each sentence once."""

    texts: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        """Add a sentence."""
        if text not in self.texts:
            self.texts.append(text)


class PageSource(Configured, Protocol):
    """A run of any kind, as a page shows it."""

    def choose(self, on: On, notes: Notes) -> ChosenItems:
        """Return the images that a page of this run shows."""

    def spaces(self, items: ChosenItems, notes: Notes, title: str) -> list[PageSpace]:
        """Return the run's spaces of these images; an empty title stands for the run's own."""


class TrainedSource:
    """An autoencoder or encoder, with the epochs whose weights it kept.

    Args:
        run: the run.
    """

    def __init__(self, run: ExploredRun) -> None:
        self.run = run
        self.id = run.id
        self.context = run.context

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        return self.run.image_shape

    def choose(self, on: On, notes: Notes) -> ChosenItems:
        """Return the images that a page of this run shows."""
        return choose_items(self.context, on, self.run.class_names, notes.add)

    def spaces(self, items: ChosenItems, notes: Notes, title: str) -> list[PageSpace]:
        """Return the space of the final weights, and one for each kept epoch."""
        final = space_of(self.run, items, notes, title=title)
        if not self.context.config.training.snapshots:
            return [final]
        if all(one.inverse is None for one in final.maps) and (own := own_map(final.latents)):
            final = replace(final, maps=[*final.maps, own])
        return [final, *epoch_spaces(self.run, items, final, notes)]


def latents_of(run: ExploredRun, items: ChosenItems) -> Floats:
    """Return a run's latents (N, D) of a page's items, which may have been chosen in another run.

    Raises:
        UserError: the run does not have all of them.
    """
    context = run.context
    splits = ("test",) if items.only_test else run_files.SPLITS
    parts = [context.folder.arrays(run_files.latents_path(split)) for split in splits]
    keys = np.concatenate(
        [
            image_keys(np.full(len(part["index"]), run_files.SPLITS.index(split)), part["index"])
            for split, part in zip(splits, parts, strict=True)
        ]
    )
    rows = rows_of_keys(keys, items.keys)
    if rows is None:
        raise UserError(f"run {run.id} has no latents of some of the page's images")
    latents: Floats = np.concatenate([part["latents"] for part in parts])[rows]
    return latents


def space_of(run: ExploredRun, items: ChosenItems, notes: Notes, *, title: str = "") -> PageSpace:
    """Return what a page shows of a run's final weights.

    Args:
        run: an autoencoder or encoder.
        items: the page's items.
        notes: receives what is left out.
        title: the run's name for readers; by default made of its model.
    """
    latents = latents_of(run, items)
    maps = run_maps(run.context, items, latents, notes.add)
    if not maps and (own := own_map(latents)) is not None:
        notes.add(f"run {run.id} has no map of these images: the page has made one with PCA")
        maps = [own]
    reasons: list[str] = []
    decoder = mixture = None
    if not run.has_decoder:
        reasons.append(no_decoder_text(run.context))
    else:
        with leaving_out(reasons.append):
            decoder = _recorded(run, latents)
    if decoder is not None:
        with leaving_out(lambda why: notes.add(f"samples of a mixture are left out: {why}")):
            mixture = _mixture(run)
    scale = run.scale
    return PageSpace(
        name=run.id,
        model=run.context.config.model.name,
        title=title or f"{run.context.config.model.name}, {latents.shape[1]} latents",
        latents=latents,
        mean=scale.mean,
        sigma=scale.sigma,
        weights=scale.weight,
        order=scale.order,
        prior=run.has_prior,
        columns=columns(run, items, latents),
        maps=maps,
        mixture=mixture,
        decoder=decoder,
        no_decoder="" if decoder is not None else " ".join(reasons),
    )


def epoch_spaces(
    run: ExploredRun, items: ChosenItems, final: PageSpace, notes: Notes
) -> list[PageSpace]:
    """Return a space for each epoch whose weights were kept, with a map that fits the final one.

    Args:
        run: the run.
        items: the page's items.
        final: the space of the final weights, with a linear map.
        notes: receives what is left out.
    """
    found: list[PageSpace] = []
    with leaving_out(lambda why: notes.add(f"kept epochs are left out: {why}")):
        linear = next((one for one in final.maps if one.inverse is not None), None)
        for epoch, model in run.context.snapshots().items():
            latents = _encoded(run, model, items)
            scale: LatentScale = latent_scale(latents)
            shown = own_map(latents, None if linear is None else linear.coordinates)
            found.append(
                PageSpace(
                    name=run.id,
                    model=final.model,
                    title=f"{final.title}, after epoch {epoch}",
                    latents=latents,
                    mean=scale.mean,
                    sigma=scale.sigma,
                    weights=scale.weight,
                    order=scale.order,
                    prior=final.prior,
                    epoch=epoch,
                    maps=[] if shown is None else [shown],
                    no_decoder="the page has the decoder of the final weights only",
                )
            )
    return found


def _encoded(run: ExploredRun, model: Any, items: ChosenItems) -> Floats:
    rows = np.arange(len(items))
    parts = np.array_split(rows, -(-len(rows) // _ENCODED_AT_ONCE))
    device = run.context.device
    return np.concatenate(
        [encode(model, DeviceImages(pixels_of(items, run.context, part), device)) for part in parts]
    )


def _mixture(run: ExploredRun) -> Mixture:
    latents = run.drawn_latents
    fitted = fit_mixture(latents, min(COMPONENTS, len(latents)), run.seed)
    spread = fitted.covariances_
    cholesky = np.linalg.cholesky(spread) if spread.ndim == 3 else np.sqrt(spread)
    return Mixture(fitted.weights_, fitted.means_, cholesky)


def _recorded(run: ExploredRun, latents: Floats) -> PageDecoder:
    """Return the decoder as a program.

    Raises:
        LatentkitError: the decoder has an operation that the page does not know.
    """
    from latentkit.explore.recorded_decoder import record_decoder

    model, cpu = run.model, torch.device("cpu")
    if run.context.device != cpu:
        model = copy.deepcopy(model).to(cpu)
    recorded = record_decoder(model.decode, latents.shape[1])
    count = max(1, min(_PROBES, _MOST_PROBED // int(np.prod(run.image_shape)), len(latents)))
    probes = latents[np.linspace(0, len(latents) - 1, count).astype(np.int64)]
    return PageDecoder(recorded.program, recorded.weights, probes, decode(model, probes, cpu))
