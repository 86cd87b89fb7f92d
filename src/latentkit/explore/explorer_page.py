"""The explorer page ``explorer.html``: a run's images, maps, distances and decoder in one file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from latentkit.atomic import write_bytes
from latentkit.errors import BrokenEnvironmentError
from latentkit.explore.compare_models import settings_names
from latentkit.explore.explorer_html import explorer_html
from latentkit.explore.explorer_layout import (
    Layout,
    PageSpace,
    Precision,
    explorer_layout,
)
from latentkit.explore.page_items import ChosenItems, On, refuse_other_images, with_pictures
from latentkit.explore.page_spaces import Notes, PageSource
from latentkit.explore.thumbnails import tile_size
from latentkit.runs import run_files

STAGE = "explorer"
LARGEST = 30_000_000
"""Bytes of a page; what does not fit is rounded or left out, and the page says so."""
_LARGEST_DECODER = 20_000_000  # of these, for decoders
_HEADROOM = 0.97  # a share of items may take a little more bytes than its share


@dataclass(frozen=True)
class PageContent:
    """What a page shows, before it is fitted into a file.

    Args:
        title: title of the page.
        runs: the run or runs, in words.
        chosen: how many images were chosen, before some were left out.
        items: the images.
        spaces: one or more models of the same items.
        notes: what was left out, and why.
    """

    title: str
    runs: str
    chosen: int
    items: ChosenItems
    spaces: Sequence[PageSpace]
    notes: Sequence[str]

    @property
    def subtitle(self) -> str:
        """The line below the title."""
        which = "test images" if self.items.only_test else "images"
        return f"{self.runs}, {len(self.items):,} {which}"

    @property
    def all_notes(self) -> list[str]:
        """What was left out, also of the images."""
        if len(self.items) == self.chosen:
            return list(self.notes)
        left = f"{len(self.items):,} of {self.chosen:,} images are shown, evenly spread"
        return [*self.notes, f"{left}, because a page holds {LARGEST / 1e6:.0f} MB"]


def page_content(sources: Sequence[PageSource], on: On = "test") -> PageContent:
    """Return what a page shows of runs on the same images.

    Args:
        sources: one or more runs; the items are those of the first.
        on: which images to show.

    Raises:
        UserError: the runs are on different images, or have not as many as were asked for.
    """
    first, notes = sources[0], Notes()
    names = settings_names(sources) if len(sources) > 1 else [""]
    items = first.choose(on, notes)
    folders = [source.context.folder for source in sources]
    refuse_other_images(folders[0], folders[1:], only_test=items.only_test)
    chosen = len(items)
    items = with_pictures(_not_too_many(items, len(sources)), first.context, notes.add)
    spaces = [
        space
        for source, name in zip(sources, names, strict=True)
        for space in source.spaces(items, notes, name)
    ]
    models = ", ".join(dict.fromkeys(space.model for space in spaces))
    shown = f"Run {first.id}" if len(sources) == 1 else f"{len(sources)} runs"
    return PageContent(
        title=f"{models} on {first.context.config.dataset.name}",
        runs=shown,
        chosen=chosen,
        items=items,
        spaces=spaces,
        notes=notes.texts,
    )


def _not_too_many(items: ChosenItems, n_runs: int) -> ChosenItems:
    """Return as many items as might fit, because pictures of millions take long to make."""
    values = int(np.prod(tile_size(*items.shape[1:])))
    least = (_LEAST_OF_ITEM * n_runs + _LEAST_OF_VALUE * values) * 4 / 3
    most = max(1, int(LARGEST / least))
    if len(items) <= most:
        return items
    return items.some(np.linspace(0, len(items) - 1, most).astype(np.int64))


_LEAST_OF_ITEM, _LEAST_OF_VALUE = 16, 0.04  # bytes of an item's numbers and pixels, compressed


def explorer_page(content: PageContent, largest: int = LARGEST) -> bytes:
    """Return a page as HTML, of at most ``largest`` bytes."""
    script, style = asset("explorer.js"), asset("explorer.css")
    room = largest - len(script.encode()) - len(style.encode())
    return explorer_html(fitted_layout(content, room), script, style)


def write_page(source: PageSource) -> None:
    """Commit the page of a run's test images to its folder: the work of the stage ``explorer``."""
    page = explorer_page(page_content([source]))
    folder = source.context.folder
    folder.commit(run_files.EXPLORER, STAGE, lambda path: write_bytes(path, page))


def asset(name: str) -> str:
    """Return a file of the front end.

    Raises:
        BrokenEnvironmentError: it is missing from the installation.
    """
    try:
        return files(__package__).joinpath(name).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise BrokenEnvironmentError(
            f"latentkit's {name} is missing: install latentkit again, or in a source tree build it "
            f"in src/latentkit/explore/frontend with 'npm ci && npm run build'"
        ) from error


def fitted_layout(content: PageContent, room: int) -> Layout:
    """Return the container in at most about ``room`` bytes of base64.

    Decoders are left out if they are larger than a page allows. Then, until the rest fits, latents
    are rounded to float16, and some of the items are left out, evenly spread. The page says each.
    """
    fitting = _Fitting(content, room)
    fitting.decoders()
    if fitting.size > room:
        fitting.round_latents()
    for _ in range(_TRIES):
        if fitting.size <= room:
            break
        fitting.fewer_items()
    return fitting.layout


_TRIES = 4


class _Fitting:
    """A container that is made smaller, step by step.

    Args:
        content: what the page shows.
        room: bytes of base64.
    """

    def __init__(self, content: PageContent, room: int) -> None:
        self.content = content
        self._items = content.items.of_page()
        self._room = room
        self._precision: Precision = "f4"
        self._notes: list[str] = []
        self._make()

    def _make(self) -> None:
        content = self.content
        self.layout = explorer_layout(
            self._items,
            content.spaces,
            title=content.title,
            subtitle=content.subtitle,
            notes=[*content.all_notes, *self._notes],
            latents=self._precision,
        )

    @property
    def size(self) -> int:
        """Bytes of the blobs on the page."""
        return self.layout.bytes_of("")

    def decoders(self) -> None:
        """Leave out the largest decoders until the others take no more than their share."""
        size = self.layout.bytes_of("decoder-weights")
        spaces = list(self.content.spaces)
        weights = [one.decoder.weights.nbytes if one.decoder else 0 for one in spaces]
        each = size / max(1, sum(weights))
        for place in np.argsort(weights)[::-1].tolist():
            if each * sum(weights) <= _LARGEST_DECODER or not weights[place]:
                break
            why = (
                f"its decoder would take {each * weights[place] / 1e6:.0f} MB, and this page has "
                f"room for {_LARGEST_DECODER / 1e6:.0f} MB of decoders"
            )
            spaces[place] = replace(spaces[place], decoder=None, no_decoder=why)
            weights[place] = 0
        if each * sum(weights) < size:
            self.content = replace(self.content, spaces=spaces)
            self._make()

    def round_latents(self) -> None:
        """Round latents to float16."""
        self._precision = "f2"
        self._notes.append("latents are rounded to float16, three digits, to keep the page small")
        self._make()

    def fewer_items(self) -> None:
        """Leave out items, evenly spread."""
        items = self.content.items
        fixed = self.layout.bytes_of(
            "decoder-weights",
            "decoder-program",
            "probe-images",
            "probe-latents",
            "mixture-means",
            "mixture-cholesky",
        )
        share = max(0.0, (self._room - fixed) / max(1, self.size - fixed)) * _HEADROOM
        count = max(1, int(len(items) * share))
        rows = np.linspace(0, len(items) - 1, count).astype(np.int64)
        self.content = replace(
            self.content,
            items=items.some(rows),
            spaces=[_some(space, rows) for space in self.content.spaces],
        )
        self._items = self.content.items.of_page()
        self._make()


def _some(space: PageSpace, rows: NDArray[np.int64]) -> PageSpace:
    """Return a space with some of its items."""
    return replace(
        space,
        latents=space.latents[rows],
        columns=[replace(one, values=one.values[rows]) for one in space.columns],
        maps=[
            replace(
                one,
                coordinates=one.coordinates[rows],
                trust=None if one.trust is None else one.trust[rows],
            )
            for one in space.maps
        ],
    )
