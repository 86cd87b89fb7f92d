"""Creates a new distribution with one working part from templates."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

from latentkit.errors import StorageError, UserError, describe_os_error, did_you_mean
from latentkit.plugin.hookspecs import HOOKSPEC_VERSION

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_PREFIX = "latentkit-"


@dataclass(frozen=True)
class _Kind:
    """The settings that differ between kinds of parts.

    Args:
        modules: modules with the part's code; the first one has the target.
        needs: requirements in addition to latentkit.
        usage: command that uses the part, with ``{}`` in place of its name.
    """

    modules: tuple[str, ...]
    needs: tuple[str, ...]
    usage: str


_NO_DECODER = "encoder"
_KINDS = {
    "model": _Kind(("network",), ("torch>=2.5",), "run --model {} --epochs 5"),
    _NO_DECODER: _Kind(("network",), ("torch>=2.5",), "run --model {} --epochs 5"),
    "dataset": _Kind(("images",), ("numpy>=1.26",), "run --dataset {} --epochs 5"),
    "corruption": _Kind(("rectangle",), ("torch>=2.5",), "run --corrupt {} --epochs 5"),
    "embedding": _Kind(("components",), ("numpy>=1.26",), "run --embed {} --epochs 5"),
    "tuner": _Kind(
        ("search", "records"), ("psutil>=5.9",), "tune --tuner {} --trials 3 --epochs 1"
    ),
}
KINDS = tuple(kind for kind in _KINDS if kind != _NO_DECODER)


def new_distribution(name: str, kind: str, out: Path, *, decoder: bool = True) -> list[Path]:
    """Write a distribution with one part.

    Args:
        name: name of the part; the distribution is called ``latentkit-NAME``.
        kind: one of the five kinds.
        out: folder in which the distribution's folder is created.
        decoder: whether a model has a decoder.

    Returns:
        The written files; the first is ``pyproject.toml`` in the distribution's folder.

    Raises:
        UserError: the name is not valid, the kind does not exist, something other than a model
            should have no decoder, or the folder already exists.
        StorageError: the folder cannot be written.
    """
    name = name.removeprefix(_PREFIX)
    _check(name, kind)
    if not decoder and kind != "model":
        raise UserError(
            f"--no-decoder is for models, and a {kind} has no decoder anyway: leave it out"
        )
    template = kind if decoder else _NO_DECODER
    root = out / f"{_PREFIX}{name}"
    if root.exists():
        raise UserError(f"{root} already exists: choose another name, or another --out")
    written = []
    try:
        for relative, content in _content(name, kind, template):
            path = root / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
            written.append(path)
    except OSError as error:
        raise StorageError(
            f"cannot write {root}: {describe_os_error(error)}; choose another folder with --out"
        ) from error
    return written


def _check(name: str, kind: str) -> None:
    if kind not in KINDS:
        raise UserError(
            f"there is no kind {kind!r}{did_you_mean(kind, KINDS)}; known kinds: {', '.join(KINDS)}"
        )
    if not _NAME.fullmatch(name):
        words = re.findall(r"[a-z0-9]+", name.lower())
        proposed = "-".join(words).lstrip("0123456789-")
        hint = f", such as {proposed!r}" if proposed else ""
        raise UserError(
            f"name {name!r} must be lower-case words joined by hyphens and begin with a letter: "
            f"choose another{hint}"
        )


def _content(name: str, kind: str, template: str) -> Iterator[tuple[str, str]]:
    """Yield each file's path relative to the distribution's folder, and its content."""
    of = _KINDS[template]
    words = _words(name, kind, of)
    package = f"src/{words['package']}"
    yield "pyproject.toml", _filled("common/pyproject.toml", words)
    yield "README.md", _filled("common/README.md", words)
    yield f"{package}/__init__.py", _filled("common/__init__.py", words)
    yield f"{package}/py.typed", ""
    for module in ("plugin", "options", *of.modules):
        yield f"{package}/{module}.py", _filled(f"{template}/{module}.py", words)
    yield f"tests/test_{words['package']}.py", _filled(f"{template}/test.py", words)


def _words(name: str, kind: str, of: _Kind) -> dict[str, str]:
    """Return the replacement of each ``$word`` in the templates."""
    distribution = f"{_PREFIX}{name}"
    return {
        "name": name,
        "kind": kind,
        "distribution": distribution,
        "package": distribution.replace("-", "_"),
        "stem": "".join(word.capitalize() for word in name.split("-")),
        "module": of.modules[0],
        "version": str(HOOKSPEC_VERSION),
        "dependencies": ", ".join(f'"{item}"' for item in ("latentkit>=0.1", *of.needs)),
        "usage": of.usage.format(name),
    }


def _filled(template: str, words: Mapping[str, str]) -> str:
    source = files("latentkit.scaffold").joinpath("templates", f"{template}.tmpl")
    return Template(source.read_text(encoding="utf-8")).substitute(words)
