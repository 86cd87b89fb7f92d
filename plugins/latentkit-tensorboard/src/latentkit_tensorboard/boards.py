"""Writes the events of runs as summaries to ``tensorboard/`` in each run's folder."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard.summary import hparams, text

from latentkit.errors import StorageError
from latentkit.plugin import EpochFinished, RunInfo, flat_figures, flat_options
from latentkit_tensorboard.event_file import EventFile
from latentkit_tensorboard.pictures import picture

FOLDER = "tensorboard"
_COLUMNS = ("objective/", "validation/", "reconstruction/", "likelihood/", "transfer/")
_COLUMN_ENDS = ("/trustworthiness", "/continuity", "/auc_r_nx")
_PROBES = "representation/spaces/latents/"


class Board:
    """The event file of one run.

    Args:
        run: the run; a resumed run writes another file next to the earlier ones.
    """

    def __init__(self, run: RunInfo) -> None:
        self._folder = run.path / FOLDER
        self._purges = run.resumed
        self._opened: EventFile | None = None
        self._step = 0

    def epoch(self, epoch: EpochFinished) -> None:
        """Write losses, learning rate and seconds of an epoch as scalars."""
        if self._purges:  # a killed run may have written epochs that are now trained again
            self._file.forget_from(epoch.epoch)
            self._purges = False
        self._step = epoch.epoch
        values = {f"train/{term}": value for term, value in epoch.train.items()}
        values |= {f"validation/{term}": value for term, value in epoch.validation.items()}
        values |= {"learning_rate": epoch.learning_rate, "seconds": epoch.seconds}
        self._file.add(_scalars(values), self._step)

    def end(self, run: RunInfo, status: str, summary: Mapping[str, Any], error: str) -> None:
        """Write the status of the run and, if it finished, its options, card and maps."""
        self._step = max(self._step, int(summary.get("epochs", 0)))
        line = f"{status}: {error}" if error else status
        self._file.add(text("status", line), self._step)
        if not summary:
            return
        figures = flat_figures(summary)
        main = {f"card/{key}": value for key, value in figures.items() if _is_column(key)}
        self._file.add(text("card", _table(figures)), self._step)
        self._file.add(_scalars(main), self._step)
        for part in hparams(_plain(flat_options(run.config)), main):
            self._file.add(part, self._step)
        for path in sorted((run.path / "figures").glob("map-*.png")):
            self._file.add(picture(f"maps/{path.stem}", path), self._step)

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._opened is not None:
            self._opened.close()

    @property
    def _file(self) -> EventFile:
        if self._opened is None:
            self._opened = EventFile(self._folder)
        return self._opened


class Boards:
    """The boards of this process's runs; a board that fails raises one error and is closed."""

    def __init__(self) -> None:
        self._open: dict[Path, Board] = {}

    def begin(self, run: RunInfo) -> None:
        """Open the board of a run."""
        self.end(run)
        self._open[run.path] = Board(run)

    def tell(self, run: RunInfo, what: Callable[[Board], None]) -> None:
        """Call ``what`` with a run's board, if the board is open.

        Raises:
            StorageError: the board cannot be written; it is closed.
        """
        board = self._open.get(run.path)
        if board is None:
            return
        try:
            what(board)
        except OSError as error:
            self.end(run)
            raise StorageError(
                f"{run.path / FOLDER} cannot be written ({error.strerror or error}): the rest of "
                f"this run is not written for TensorBoard"
            ) from error
        except BaseException:
            self.end(run)
            raise

    def end(self, run: RunInfo) -> None:
        """Close the board of a run."""
        board = self._open.pop(run.path, None)
        if board is not None:
            with contextlib.suppress(OSError):  # a full disk has already been reported
                board.close()


BOARDS = Boards()


def _scalars(values: Mapping[str, float]) -> Summary:
    return Summary(value=[Summary.Value(tag=k, simple_value=v) for k, v in values.items()])


def _is_column(figure: str) -> bool:
    """Return whether a number of the card is shown in the comparison of runs."""
    if figure.startswith(_PROBES):
        return figure.endswith(("/share-1.0/accuracy", "kmeans/accuracy"))
    return figure.startswith(_COLUMNS) or figure.endswith(_COLUMN_ENDS)


def _table(figures: Mapping[str, float]) -> str:
    rows = "\n".join(f"| {key} | {value:.6g} |" for key, value in figures.items())
    return f"| figure | value |\n| --- | --- |\n{rows}"


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as numbers and strings, which are all that the HParams table accepts."""
    return {k: v if isinstance(v, int | float | str) else str(v) for k, v in options.items()}
