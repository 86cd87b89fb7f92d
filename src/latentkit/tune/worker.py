"""Worker process of a study: ``python -m latentkit.tune.worker STUDY``."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

from latentkit.errors import INTERRUPTED_EXIT_CODE, LatentkitError
from latentkit.plugin.events import ignore
from latentkit.registry.catalogue import default_registry
from latentkit.tune.study import Search
from latentkit.tune.study_folder import StudyFolder
from latentkit.tune.workers import WORKER_STORAGE


def main() -> int:
    """Run trials until the study is over; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--until-eof", action="store_true", help="exit when stdin is closed")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    if asked.until_eof:
        threading.Thread(target=_end_at_eof, daemon=True).start()
    try:
        study = StudyFolder.open(asked.study)
        search = Search(study, default_registry(), ignore, os.environ.get(WORKER_STORAGE))
        search.work(asked.seconds, asked.threads)
    except LatentkitError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED_EXIT_CODE
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End as on Ctrl-C, so that the trial can be resumed."""
    raise KeyboardInterrupt


def _end_at_eof() -> None:
    """End this process when its standard input closes, because its parent process is gone."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
