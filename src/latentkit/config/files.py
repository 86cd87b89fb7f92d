"""Parse what the user writes, a TOML file or ``part.key=value``, into plain values."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from latentkit.errors import UserError, describe_os_error


def read_config_file(path: Path) -> dict[str, Any]:
    """Read a TOML configuration without validating its content.

    Raises:
        UserError: the file cannot be read or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read configuration {path}: {describe_os_error(error)}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"configuration {path} is not valid TOML: {error}") from error


def parse_override(text: str) -> tuple[str, Any]:
    """Split ``"part.key=value"``; a value that is not TOML is a plain string.

    Raises:
        UserError: there is no ``=``, or nothing before it.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UserError(f"-o {text!r} is not PART.KEY=VALUE, e.g. -o model.latent_dim=3")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    return key.strip(), parsed
