"""What the studies share: chapters that are done once, and one page that shows them.

A chapter is a dictionary of what `latentkit.write_page` takes: title, text, figures, tables, links.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import latentkit as lk
from latentkit.errors import LatentkitError

Chapter = dict[str, Any]
TIME = "If a chapter was interrupted, its seconds are those of the call that finished it."


class Chapters:
    """The chapters of a study; a file keeps what is done, so that a second call repeats nothing.

    Args:
        path: the file, JSON.
        root: the folder of runs that the page shows.
        page: the page; files that it links are beside it.
    """

    def __init__(self, path: Path, root: Path, page: Path) -> None:
        self.path = path
        self.root = root
        self.page = page
        self.known = json.loads(path.read_text()) if path.exists() else {}
        self.done: list[Chapter] = []
        self.seconds: dict[str, float] = {}

    def add(self, chapter: Chapter, work: Callable[[], Chapter], made: str) -> None:
        """Do a chapter's work, unless it was done before and its results exist.

        Args:
            chapter: what is known of the chapter before its work, at least its title.
            work: does the work, and returns what else the page shows.
            made: what the work follows from; if it differs, the work is done again.
        """
        title = chapter["title"]
        before = self.known.get(title)
        if (
            before is None
            or before["made"] != made
            or not self._exists({**chapter, **before["found"]})
        ):
            print(f"# {title}", flush=True)
            started = time.perf_counter()
            found = work()
            seconds = round(time.perf_counter() - started, 2)
            self.known[title] = {"seconds": seconds, "made": made, "found": found}
            half = self.path.with_suffix(".part")
            half.write_text(json.dumps(self.known, indent=2))
            half.replace(self.path)  # a reader never sees half a file
        self.done.append({**chapter, **self.known[title]["found"]})
        self.seconds[title] = self.known[title]["seconds"]

    def _exists(self, chapter: Chapter) -> bool:
        """Return whether the runs and the files that a chapter shows exist."""
        shown = [
            *chapter.get("figures", ()),
            *chapter.get("tables", ()),
            *chapter.get("compare", ()),
        ]
        files = [*chapter.get("links", {}).values(), *chapter.get("pictures", {}).values()]
        paths = [self.root / name.split("/")[0] for name in shown]
        return all(path.exists() for path in [*paths, *(self.page.parent / name for name in files)])

    def write_page(self, title: str, subtitle: str) -> None:
        """Write the page and print the seconds of each chapter."""
        seconds = {**self.seconds, "Together": sum(self.seconds.values())}
        rows = [[name, f"{value:.1f}"] for name, value in seconds.items()]
        times = {"title": "Time", "text": TIME, "header": ["", "seconds"], "rows": rows}
        story = {"title": title, "subtitle": subtitle, "chapter": [*self.done, times]}
        lk.write_page(story, root=self.root, out=self.page)
        for name, value in rows:
            print(f"{name:50} {value:>10}")
        print(f"page {self.page}")


def finish(study: Callable[[], None]) -> None:
    """Run a study; end with one line if it is interrupted or cannot be done."""
    try:
        study()
    except KeyboardInterrupt:
        sys.exit("interrupted; run the same command again to resume")
    except LatentkitError as error:
        sys.exit(f"study: error: {error}")
