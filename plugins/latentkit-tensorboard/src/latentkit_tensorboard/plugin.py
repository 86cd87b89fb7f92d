"""Hooks that write runs for TensorBoard; ``LATENTKIT_TENSORBOARD=off`` disables them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from latentkit.plugin import hookimpl

if TYPE_CHECKING:
    from latentkit.plugin import EpochFinished, RunInfo

LATENTKIT_HOOKSPEC_VERSION = 1


def _is_on() -> bool:
    return os.environ.get("LATENTKIT_TENSORBOARD", "").lower() not in ("0", "off", "no", "false")


# Every command imports this module, so TensorBoard itself is only imported at the first run.


@hookimpl
def latentkit_run_started(run: RunInfo) -> None:
    """Start an event file; that of a resumed run continues the earlier ones."""
    if _is_on():
        from latentkit_tensorboard.boards import BOARDS

        BOARDS.begin(run)


@hookimpl
def latentkit_epoch_finished(run: RunInfo, epoch: EpochFinished) -> None:
    """Write the losses of an epoch."""
    if _is_on():
        from latentkit_tensorboard.boards import BOARDS

        BOARDS.tell(run, lambda board: board.epoch(epoch))


@hookimpl
def latentkit_run_finished(
    run: RunInfo, status: str, summary: Mapping[str, Any], error: str
) -> None:
    """Write the evaluation card and the maps, and close the file."""
    if _is_on():
        from latentkit_tensorboard.boards import BOARDS

        BOARDS.tell(run, lambda board: board.end(run, status, summary, error))
        BOARDS.end(run)
