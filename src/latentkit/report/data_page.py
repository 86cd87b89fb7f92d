"""The page and the JSON document of a data set's check, see `latentkit.data.data_check`."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from latentkit.data.data_check import PARTS, DataCheck
from latentkit.errors import leaving_out
from latentkit.figures.image_grids import image_table
from latentkit.figures.shown_images import displayed, unit_range
from latentkit.figures.style import (
    PALETTE,
    bins,
    cut,
    describe,
    empty_figure,
    house_style,
    save_png,
)
from latentkit.plugin.image_formats import how_to_read
from latentkit.report.page import Picture, Section, Table, render_page

_ROWS = 12  # of pairs in a picture
_MOST_PICTURES = 2  # of each kind
_MOST_LISTED = 30  # rows of a table
_MOST_IN_JSON = 10_000
_TILE = 96  # pixels
_ORIENTATIONS = {
    2: "mirrored",
    3: "turned by 180°",
    4: "mirrored and turned by 180°",
    5: "mirrored and turned by 90°",
    6: "turned by 90°",
    7: "mirrored and turned by 270°",
    8: "turned by 270°",
}


def check_document(check: DataCheck) -> dict[str, Any]:
    """Return a check as a JSON object; lists of images have up to 10,000 of them."""

    def images(rows: Iterable[int]) -> list[dict[str, str]]:
        return [
            {"name": check.names[row], "split": str(check.parts[row]), "class": check.class_of(row)}
            for row in list(rows)[:_MOST_IN_JSON]
        ]

    equal, pairs = check.equal[:_MOST_IN_JSON], check.pairs[:_MOST_IN_JSON]
    return {
        "source": check.source,
        "dataset": check.dataset,
        "images": len(check),
        "splits": {part: int((check.parts == part).sum()) for part in PARTS},
        "classes": {part: check.counts(part) for part in PARTS},
        "classes_without_images": check.empty_classes,
        "sizes": [
            {"height": h, "width": w, "images": n}
            for (h, w), n in Counter(map(tuple, check.sizes.tolist())).most_common(_MOST_IN_JSON)
        ],
        "forms": [
            {"format": form[0], "mode": form[1], "depth": form[2], "images": n}
            for form, n in check.forms.items()
        ],
        "numbers": {
            "low": float(check.limits[:, 0].min()),
            "high": float(check.limits[:, 1].max()),
        },
        "orientations": {str(tag): n for tag, n in check.orientations.items()},
        "unreadable": dict(check.unreadable),
        "left_out": dict(check.left_out),
        "wrong_endings": dict(check.wrong_endings),
        "constant": images(check.constant),
        "near_black": images(check.near_black),
        "near_white": images(check.near_white),
        "odd_aspects": images(check.odd_aspects),
        "cropped_share": None if check.lost is None else float(check.lost.mean()),
        "equal": [{"same_file": one.same_file, "images": images(one.rows)} for one in equal],
        "near_duplicates": [
            {"alike": round(float(alike), 4), "images": images(rows)}
            for rows, alike in zip(pairs, check.near.alike, strict=False)
        ],
        "near_duplicates_complete": check.near.complete,
        "test_images_in_training": images(check.in_training),
        "label_conflicts": [images(rows) for rows in check.conflicts[:_MOST_IN_JSON]],
        "notes": list(check.notes),
    }


def findings(check: DataCheck) -> list[tuple[str, str]]:
    """Return what was found as rows of name and text; what is as it should be says ``none``."""
    same_file = sum(one.same_file for one in check.equal)
    across = sum(len(set(check.parts[list(rows)])) > 1 for rows in check.groups)
    tests = int((check.parts == "test").sum())
    lost = "nothing" if check.lost is None else f"{check.lost.mean():.1%} of an image in the mean"
    orientations = ", ".join(
        f"{n:,} {_ORIENTATIONS.get(tag, f'with unknown tag {tag}')}"
        for tag, n in sorted(check.orientations.items())
    )
    left_out = "; ".join(
        f"{n:,} {ending or 'without ending'}"
        + (f", {advice}" if (advice := how_to_read(ending)) else "")
        for ending, n in Counter(check.left_out).most_common()
    )
    counts = sorted(check.counts().values()) if check.codes is not None else []
    each = f"{counts[0]:,} to {counts[-1]:,}" if counts else ""
    classes = f"{len(counts):,}, of {each} images" if counts else "none"
    rows = [
        ("Images", f"{len(check):,}"),
        ("Splits", ", ".join(f"{n:,} {p}" for p in PARTS if (n := int((check.parts == p).sum())))),
        ("Classes", classes),
        ("Files that cannot be read", _count(len(check.unreadable))),
        ("Files of other kinds, left out", left_out or "none"),
        ("Files with the ending of another format", _count(len(check.wrong_endings))),
        ("Files with an orientation tag", f"{orientations}; all are turned upright")
        if orientations
        else ("Files with an orientation tag", "none"),
        ("Classes without a readable image", ", ".join(check.empty_classes[:10]) or "none"),
        ("Constant images", _count(len(check.constant))),
        ("Nearly black images", _count(len(check.near_black))),
        ("Nearly white images", _count(len(check.near_white))),
        ("Images three times as long as wide, or longer", _count(len(check.odd_aspects))),
        ("Cut away by the crop", lost),
        ("Groups of equal images", f"{len(check.equal):,}, {same_file:,} of equal files")
        if check.equal
        else ("Groups of equal images", "none"),
        (
            "Pairs of near duplicates",
            _count(len(check.pairs)) + ("" if check.near.complete else ", not all compared"),
        ),
        ("Groups and pairs across splits", _count(across)),
        (
            "Test images that are also in training",
            _count(len(check.in_training)) + (f" of {tests:,}" if check.in_training else ""),
        ),
        ("The same picture in several classes", _count(len(check.conflicts))),
    ]
    if check.codes is None:
        rows = [row for row in rows if row[0] != "Classes without a readable image"]
    return rows


def _count(n: int) -> str:
    return f"{n:,}" if n else "none"


def data_page(check: DataCheck) -> str:
    """Return a check as an HTML page that contains its pictures and loads nothing."""
    return render_page(
        title=f"Data check: {check.source}",
        subtitle=f"{len(check):,} images, data set {check.dataset}",
        sections=[
            Section("Findings", tables=[Table("", ("", "found"), findings(check))]),
            _splits(check),
            _form(check),
            *_files(check),
            *_shades(check),
            *_aspects(check),
            *_duplicates(check),
            *_notes(check),
        ],
    )


def _splits(check: DataCheck) -> Section:
    parts = [part for part in PARTS if (check.parts == part).any()]
    totals = ("all", *(f"{int((check.parts == part).sum()):,}" for part in parts))
    if check.codes is None:
        return Section("Splits", tables=[Table("", ("", *parts), [totals])])
    counts = {part: check.counts(part) for part in parts}
    overall = check.counts()
    order = sorted(overall, key=lambda name: -overall[name])
    rows = [(name, *(f"{counts[part][name]:,}" for part in parts)) for name in order]
    largest, smallest = overall[order[0]], overall[order[-1]]
    ratio = f"{largest / smallest:.1f} times as many as the smallest" if smallest else "others none"
    text = f"{len(order):,} classes; the largest has {largest:,} images, {ratio}."
    table = Table("", ("class", *parts), [totals, *_first(rows)])
    return Section("Splits and classes", text, tables=[table])


def _form(check: DataCheck) -> Section:
    sizes = Counter(map(tuple, check.sizes.tolist()))
    rows = [(f"{h} x {w}", f"{n:,}") for (h, w), n in sizes.most_common()]
    forms = Counter(check.forms).most_common()
    low, high = float(check.limits[:, 0].min()), float(check.limits[:, 1].max())
    said = f"The numbers reach from {low:g} to {high:g}."
    if any(form[0] == "JPEG" for form in check.forms):
        said += " Large JPEGs were decoded at a fraction of their size, which may narrow this."
    return Section(
        "Sizes and formats",
        said,
        tables=[
            Table("Sizes", ("height x width, pixels", "images"), _first(rows, 12)),
            Table(
                "Formats",
                ("format", "mode", "depth", "images"),
                _first([(*form, f"{n:,}") for form, n in forms]),
            ),
        ],
    )


def _first(rows: Sequence[Sequence[str]], most: int = _MOST_LISTED) -> list[Sequence[str]]:
    """Return the first rows of a table, and a row that says how many more there are."""
    if len(rows) <= most:
        return list(rows)
    more = (f"and {len(rows) - most:,} more", *[""] * (len(rows[0]) - 1))
    return [*rows[:most], more]


def _files(check: DataCheck) -> list[Section]:
    sections = []
    if check.unreadable:
        rows = list(check.unreadable.items())
        text = f"{len(rows):,} files cannot be read."
        table = Table("", ("file", "why"), _first(rows))
        sections.append(Section("Files that cannot be read", text, tables=[table]))
    if check.wrong_endings:
        rows = list(check.wrong_endings.items())
        text = "These are read by their content, whatever their name says."
        table = Table("", ("file", "is a"), _first(rows))
        sections.append(Section("Files with the ending of another format", text, tables=[table]))
    return sections


def _shades(check: DataCheck) -> list[Section]:
    named = {
        "Constant": check.constant,
        "Nearly black": check.near_black,
        "Nearly white": check.near_white,
    }
    tables, pictures = [], []
    for name, found in named.items():
        if found:
            rows = [(check.names[row], f"{check.limits[row, 0]:g}") for row in found]
            tables.append(Table(f"{name}: {len(found):,}", ("image", "least number"), _first(rows)))
            title = f"{name} images"
            pictures += _drawn(title, partial(_tiles, check, found, title), "")
    return [Section("Images without content", tables=tables, pictures=pictures)] if tables else []


def _aspects(check: DataCheck) -> list[Section]:
    aspect = check.sizes[:, 1] / check.sizes[:, 0]
    odd = check.odd_aspects
    if len(np.unique(check.sizes, axis=0)) == 1 and not odd and check.lost is None:
        return []
    tables = []
    if odd:
        rows = [(check.names[row], "{} x {}".format(*check.sizes[row])) for row in odd]
        header = ("image", "height x width")
        tables.append(Table("Three times as long as wide, or longer", header, _first(rows)))
    text = "The data set does not crop, so nothing is lost."
    if check.lost is not None:
        many = int((check.lost > 0.25).sum())
        text = (
            f"The crop (fit=crop) cuts away {check.lost.mean():.1%} of an image in the mean, "
            f"{check.lost.max():.1%} at most, and more than a quarter of {many:,} of them. "
            f"fit=pad and fit=stretch cut nothing away."
        )
    pictures = _drawn("Aspect and crop", lambda: _histograms(aspect, check.lost), "")
    return [Section("Aspect ratios", text, tables=tables, pictures=pictures)]


def _histograms(aspect: NDArray[np.float64], lost: NDArray[np.float64] | None) -> Figure:
    shown = [(aspect, "width / height")]
    if lost is not None:
        shown.append((100 * lost, "% of an image that the crop cuts away"))
    with house_style():
        figure = empty_figure(4.2 * len(shown), 2.8)
        for axes, (values, label) in zip(
            np.atleast_1d(figure.subplots(1, len(shown))), shown, strict=True
        ):
            axes.hist(values, bins=bins(len(values)), color=PALETTE[0])
            axes.set(xlabel=label, ylabel="images")
        describe(figure, f"{len(aspect):,} images")
    return figure


def _duplicates(check: DataCheck) -> list[Section]:
    alike = dict(zip(check.pairs, check.near.alike.tolist(), strict=True))
    members = set(check.in_training)
    leaks = [rows for rows in check.groups if members & set(rows)]
    kinds = (
        (
            "Test images that are also in training",
            (
                f"Test images with a duplicate among the training or validation images: "
                f"{len(members):,}. What is measured on them flatters the model."
            ),
            leaks,
        ),
        (
            "The same picture in several classes",
            "At least one of the labels is wrong, unless a picture may have several.",
            check.conflicts,
        ),
        (
            "Equal images",
            "Every pixel is the same. Constant images are not counted.",
            [one.rows for one in check.equal],
        ),
        (
            "Near duplicates",
            (
                "The same picture saved again, resized, made brighter or slightly cropped. "
                "Mirrored and turned copies are not found. The number is the correlation of "
                "neighbouring pixels' differences."
            ),
            check.pairs,
        ),
    )
    sections = []
    for title, text, groups in kinds:
        if groups:
            shown = [groups[at : at + _ROWS] for at in range(0, len(groups), _ROWS)]
            shown = shown[:_MOST_PICTURES]
            count = sum(map(len, shown))
            said = f"{len(groups):,} in all, {'all' if count == len(groups) else count} shown."
            pictures = [
                picture
                for at, few in enumerate(shown)
                for picture in _drawn(
                    f"{title}, {at * _ROWS + 1} to {at * _ROWS + len(few)}",
                    partial(_pairs, check, few, alike),
                    "",
                )
            ]
            sections.append(Section(title, f"{text}\n\n{said}", pictures=pictures))
    return sections


def _notes(check: DataCheck) -> list[Section]:
    rows = [(note,) for note in check.notes]
    return [Section("Notes", tables=[Table("", ("",), rows)])] if rows else []


def _drawn(title: str, draw: Callable[[], Figure], caption: str) -> list[Picture]:
    """Return a figure as a picture; none if it cannot be drawn, as when a file was changed."""
    pictures: list[Picture] = []
    with leaving_out(lambda why: None):
        buffer: Any = io.BytesIO()
        save_png(draw(), buffer)
        pictures.append(Picture(title, caption, buffer.getvalue()))
    return pictures


def _tile(check: DataCheck, row: int) -> NDArray[np.float64]:
    """Return an image to look at, (3, 96, 96), in [0, 1], on white."""
    from PIL import Image

    image = displayed(unit_range(check.picture(row)))
    pixels = np.rint(np.broadcast_to(image, (3, *image.shape[1:])) * 255).astype(np.uint8)
    picture = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    scale = _TILE / max(picture.size)
    filter_ = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BOX
    size = [max(1, round(side * scale)) for side in picture.size]
    tile = np.ones((3, _TILE, _TILE))
    resized = np.asarray(picture.resize((size[0], size[1]), filter_)).transpose(2, 0, 1) / 255
    tile[:, : size[1], : size[0]] = resized
    return tile


def _pairs(
    check: DataCheck, groups: Sequence[tuple[int, ...]], alike: Mapping[Any, float]
) -> Figure:
    """Draw the first two images of each group side by side, with their names."""
    names = []
    for rows in groups:
        lines = [cut(check.names[row], 60) for row in rows[:2]]
        kind = f"alike {alike[rows]:.3f}" if rows in alike else "equal"
        more = f", {len(rows) - 2:,} more" if len(rows) > 2 else ""
        classes = [check.class_of(row) for row in rows[:2]]
        said = f"; {classes[0]} and {classes[1]}" if classes[0] != classes[1] else ""
        names.append("\n".join([*lines, kind + more + said]))
    cells = np.stack([np.stack([_tile(check, row) for row in rows[:2]]) for rows in groups])
    figure = image_table(cells, names, (), "")
    with house_style():
        figure.draw_without_rendering()  # the first layout cuts long names off
    return figure


def _tiles(check: DataCheck, rows: Sequence[int], title: str) -> Figure:
    """Draw up to eight images in a row."""
    few = rows[:8]
    cells = np.stack([_tile(check, row) for row in few])[None]
    return image_table(cells, [""], (), f"{title}, {len(few)} of {len(rows):,}")
