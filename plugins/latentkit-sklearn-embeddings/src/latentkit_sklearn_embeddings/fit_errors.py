"""Warnings and errors of scikit-learn's fits."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from latentkit.errors import UserError


@contextmanager
def fitting(name: str, advice: str) -> Iterator[list[str]]:
    """Collect scikit-learn's warnings in the block, and turn its errors into a UserError.

    Args:
        name: name of the embedding, for messages.
        advice: what the user can try if the fit fails.

    Yields:
        A list that has the warnings' messages after the block.

    Raises:
        UserError: the eigenvectors or factors cannot be found.
    """
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", ResourceWarning)  # of files that other code left open
        try:
            yield said
        except (ValueError, np.linalg.LinAlgError, RuntimeError) as error:
            first = str(error).split(". ")[0]
            raise UserError(f"embedding {name!r} failed ({first}): {advice}") from error
        finally:
            said += [str(warning.message) for warning in caught]
