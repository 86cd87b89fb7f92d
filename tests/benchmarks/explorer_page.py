"""How long a user of an explorer page waits: sizes, first picture, frames, pointing, decoding.

python tests/benchmarks/explorer_page.py EXPLORER.html [EXPLORER.html ...] [--rounds 3]

Each page is opened from disk in headless Chromium with software rendering, some rounds, and the
median of each figure is printed. A frame is timed from one animation frame to the next while the
view moves, so that it holds what the browser does, too. "Hover" is from a pointer's event to the
image, the values and the ten exact nearest neighbours drawn; "pin" adds the panel; "distances" is
a hover that colours all points. Every figure depends on what else the machine does: the load is
printed beside it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

_MEASURE = """async () => {
  const {explorer} = latentkitExplorer, view = explorer.views[0], {app} = explorer, {store} = app;
  const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
  const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];
  const frames = async (step) => {
    const times = [];
    let last = await frame();
    for (let i = 0; i < 50; i++) {
      step(i);
      const now = await frame();
      times.push(now - last);
      last = now;
    }
    return median(times);
  };
  const events = async (step) => {
    const times = [];
    for (let i = 0; i < 40; i++) {
      const began = performance.now();
      step(i);
      view.scene.flush();
      times.push(performance.now() - began);
      await frame();
    }
    return median(times);
  };
  const {clientWidth: width, clientHeight: height} = view.scene.element;
  const point = (i) => view.hover(width * (0.2 + 0.015 * i), height * (0.25 + 0.0125 * i));
  const found = {};
  await frame();
  found["pan, frame"] = await frames((i) => view.pan(i % 2 ? 9 : -9, 3));
  const zoom = (i) => view.zoom(i % 2 ? 1.1 : 1 / 1.1, width / 2, height / 2);
  found["zoom, frame"] = await frames(zoom);
  view.fit(false);
  found["hover"] = await events(point);
  found["pin with neighbours"] = await events((i) => app.pin((i * 7919) % app.data.count));
  if (app.space.latents) {
    store.update({distances: true, pinned: -1});
    found["distances, hover"] = await events(point);
    store.update({distances: false});
  }
  const live = app.decoder(app.space).now;
  if (live) {
    const latents = app.space.latents.now, {dim} = app.space;
    const decode = (i) => live.decoder.decode(latents.slice(i * dim, (i + 1) * dim));
    for (let i = 0; i < 20; i++) decode(i);
    const times = [];
    for (let i = 0; i < 60; i++) {
      const began = performance.now();
      for (let j = 0; j < 5; j++) decode(i);
      times.push((performance.now() - began) / 5);
    }
    found["decode"] = median(times);
    found["difference to PyTorch"] = live.difference;
  }
  return found;
}"""


def measured(browser: Browser, page: Path) -> dict[str, float]:
    """Return the figures of one opening, in milliseconds."""
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    tab = context.new_page()
    tab.goto(page.resolve().as_uri())
    tab.wait_for_selector("#explorer[data-complete], #explorer[data-failed]", timeout=120_000)
    marks = "performance.getEntriesByName('latentkit-first-picture')[0].startTime"
    figures: dict[str, Any] = {"first picture": tab.evaluate(marks)}
    figures |= tab.evaluate(_MEASURE)
    context.close()
    return figures


def main() -> None:
    """Print a table of medians for each page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    binary = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=binary, args=flags)
        # The pages alternate, so that a busy moment of the machine falls on all of them.
        rounds = [[measured(browser, page) for page in given.pages] for _ in range(given.rounds)]
        browser.close()
    for page, figures in zip(given.pages, zip(*rounds, strict=True), strict=True):
        print(f"{page.name}: {page.stat().st_size / 1e6:.1f} MB")
        for name in figures[0]:
            value = statistics.median(figure[name] for figure in figures)
            unit = "" if name.startswith("difference") else " ms"
            print(f"  {name:24} {value:10.3g}{unit}")
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
