"""Whether an autoencoder was worth its training, in one sentence.

The best autoencoder is compared with what costs nothing: PCA of as many dimensions and raw pixels,
by 10-NN accuracy with all labels, and PCA by test MSE. It is also compared with the best encoder
without a decoder. Each answer is yes, no, or that it cannot be told: the 95 % interval of the
difference decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from latentkit.evaluation.encoder_differences import difference
from latentkit.evaluation.encoder_rows import Encoder, Json, column_of, is_of_map

Answer = Literal["yes", "no", "unclear"]

MAIN = "knn 100%"
"""The figure that decides if there are labels; else it is the test MSE."""
_MOST_DIGITS = 9


@dataclass(frozen=True)
class _Contest:
    """An encoder against another row, by one figure; ``whose`` says what the other row is."""

    key: str
    one: Encoder
    other: Encoder
    found: Json
    whose: str = ""

    @property
    def answer(self) -> Answer:
        """Whether the encoder is better; unclear if the interval contains 0."""
        sign = 1 if column_of(self.key).better == "high" else -1
        ends = sorted(sign * self.found[end] for end in ("low", "high"))
        return "yes" if ends[0] > 0 else "no" if ends[1] < 0 else "unclear"

    @property
    def size(self) -> str:
        """The difference without its sign, and its interval; with its sign if it is unclear."""
        digits = column_of(self.key).digits
        value, low, high = (self.found[key] for key in ("value", "low", "high"))
        if self.answer == "unclear":
            return f"{value:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"
        ends = sorted((abs(low), abs(high)))
        while round(ends[0], digits) == 0 and digits < _MOST_DIGITS:
            digits += 1
        return f"{abs(value):.{digits}f} [{ends[0]:.{digits}f}, {ends[1]:.{digits}f}]"

    def as_json(self) -> Json:
        return {
            "figure": self.key,
            "of": self.one.name,
            "against": self.other.name,
            "difference": self.found,
            "better": self.answer,
        }


def was_it_worth(rows: Sequence[Encoder], *, paired: bool, n_images: int) -> Json:
    """Return whether the best autoencoder of a table was worth its training.

    Args:
        rows: encoders and baselines.
        paired: whether all were measured on the same test images.
        n_images: number of these images.

    Returns:
        ``answer``: ``yes``, ``no``, ``unclear`` if these images cannot tell, or ``none`` if there
        is nothing to compare; ``text``: a sentence that says so; ``comparisons``: each with
        ``figure``, ``of``, ``against``, ``difference`` with its interval, and ``better``.
    """
    if not paired:
        text = (
            "Whether the autoencoder was worth its training is not answered, because the runs have "
            "different test images: compare runs of the same images."
        )
        return {"answer": "none", "text": text, "comparisons": []}
    trained = [row for row in rows if row.kind == "autoencoder" and row.trained]
    own = _best(trained, MAIN) or _best(trained, "mse")
    if own is None:
        return _without_autoencoder(rows, n_images)
    free = _against_free(own, rows)
    pca = _contest(own, _pca_of(own, rows, "mse"), "mse")
    encoder = _contest(own, _best([r for r in rows if r.kind == "encoder"], MAIN), MAIN)
    contests = [one for one in (free, pca, encoder) if one is not None]
    first = free or pca
    if first is None:
        text = (
            f"Whether {own.name} was worth its training cannot be said, because the cards have no "
            f"figures of PCA or raw pixels."
        )
        return {"answer": "none", "text": text, "comparisons": [one.as_json() for one in contests]}
    parts = [_main_part(first)]
    if free is not None and pca is not None:
        parts.append(_reconstruction_part(free.answer, pca))
    if encoder is not None:
        parts.append(_encoder_part(encoder))
    if free is None:
        parts.append(_unlabelled_part(own))
    return {
        "answer": first.answer,
        "text": f"{''.join(parts)} ({_basis(contests, n_images)}).",
        "comparisons": [one.as_json() for one in contests],
    }


def _best(rows: Sequence[Encoder], key: str) -> Encoder | None:
    having = [row for row in rows if key in row.figures]
    sign = 1 if column_of(key).better == "high" else -1
    return max(having, key=lambda row: sign * row.figures[key]["value"], default=None)


def _contest(one: Encoder, other: Encoder | None, key: str) -> _Contest | None:
    if other is None or key not in one.figures or key not in other.figures:
        return None
    found = difference(one, other, key, paired=True)
    return None if found is None else _Contest(key, one, other, found)


def _pca_of(own: Encoder, rows: Sequence[Encoder], key: str) -> Encoder | None:
    """Return PCA of as many dimensions, of the same images and split."""
    for row in rows:
        if (row.space, row.latent_dim, row.images) == ("pca", own.latent_dim, own.images):
            return row if key in row.figures else None
    return None


def _against_free(own: Encoder, rows: Sequence[Encoder]) -> _Contest | None:
    """Return the contest with the better of PCA of as many dimensions and raw pixels."""
    of_pixels = (row for row in rows if row.space == "raw_pixels" and row.images == own.images)
    raw = next(of_pixels, None)
    others = [row for row in (_pca_of(own, rows, MAIN), raw) if row is not None]
    found = _contest(own, _best(others, MAIN), MAIN)
    whose = "the better of what needs no training" if len(others) > 1 else "which needs no training"
    return None if found is None else replace(found, whose=f", {whose}")


def _value(row: Encoder, key: str) -> str:
    return f"{row.figures[key]['value']:.{column_of(key).digits}f}"


def _what(contest: _Contest) -> str:
    """Return the figure of the encoder beside the other: what is how far above or below."""
    own = f"its {_NAMES[contest.key]} of {_value(contest.one, contest.key)}"
    other = contest.other.name + contest.whose
    if contest.answer == "unclear":
        return f"{own} differs by {contest.size} from that of {other}"
    side = "above" if contest.found["value"] > 0 else "below"
    return f"{own} is {contest.size} {side} that of {other}"


_NAMES = {MAIN: "10-NN accuracy", "mse": "test MSE"}


def _main_part(first: _Contest) -> str:
    head = {
        "yes": f"Yes, {first.one.name} was",
        "no": f"No, {first.one.name} was not",
        "unclear": f"It cannot be told with these images whether {first.one.name} was",
    }[first.answer]
    purpose = "" if first.key == MAIN else " for reconstruction"
    return f"{head} worth its training{purpose}: {_what(first)}"


def _reconstruction_part(main: Answer, pca: _Contest) -> str:
    """Return how it reconstructs, after what was said about labels."""
    if pca.answer == "unclear":
        return f"; {_what(pca)}, which is not a clear difference"
    word = "and" if pca.answer == main else "but"
    way = "better" if pca.answer == "yes" else "worse"
    return f", {word} it reconstructs {way}: {_what(pca)}"


def _encoder_part(encoder: _Contest) -> str:
    other = encoder.other.name
    if encoder.answer == "unclear":
        return (
            f"; {other}, the best encoder without a decoder, cannot be told from it by 10-NN "
            f"accuracy ({encoder.size})"
        )
    way = "less" if encoder.answer == "yes" else "more"
    return f"; {other}, the best encoder without a decoder, has {encoder.size} {way} accuracy"


def _unlabelled_part(own: Encoder) -> str:
    """Return what is known without probes besides reconstructions: how far maps are right."""
    lacking = "nothing is said about classes, because the cards have no probes of labels to compare"
    maps = [key for key in own.figures if is_of_map(key)]
    if not maps:
        return f"; {lacking}"
    best = max(maps, key=lambda key: float(own.figures[key]["value"]))
    name = best.partition(" ")[2]
    return f"; its map {name} has a trustworthiness of {_value(own, best)}, and {lacking}"


def _without_autoencoder(rows: Sequence[Encoder], n_images: int) -> Json:
    """Return how the best encoder compares with what needs no training."""
    own = _best([row for row in rows if row.kind != "baseline"], MAIN)
    contest = None if own is None else _against_free(own, rows)
    if contest is None:
        text = "No run is a trained autoencoder, so there is no answer whether one was worth it."
        return {"answer": "none", "text": text, "comparisons": []}
    clear = "" if contest.answer != "unclear" else ", which is not a clear difference"
    text = (
        f"No run is a trained autoencoder; the best encoder is {contest.one.name}: "
        f"{_what(contest)}{clear} ({_basis([contest], n_images)})."
    )
    return {"answer": "none", "text": text, "comparisons": [contest.as_json()]}


def _basis(contests: Sequence[_Contest], n_images: int) -> str:
    """Return what the intervals are over."""
    seeds = min(len(one.one.runs) for one in contests)
    over = f"{seeds} seeds" if seeds > 1 else "one seed, so that another may differ"
    first = contests[0]
    measured = first.one.of_images.get(column_of(first.key).of_images, ())
    n = len(measured[0]) if measured else n_images
    return f"95 % intervals over {n:,} test images and {over}"
