"""How fast regl-scatterplot draws in the browser that explorer pages are measured in.

python tests/benchmarks/scatterplot_peer.py [--points 70000]

Installs regl-scatterplot and esbuild with npm in a temporary folder, bundles a page, and moves the
view of normally distributed points in ten colours, 712 x 600 pixels. A frame is timed until a pixel
of it can be read, because WebGL draws after the call has returned. It runs once with the policy of
explorer pages, and prints what the browser refuses.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

_PAGE = """
import createScatterplot from "regl-scatterplot";
window.measure = async (count) => {
  const canvas = document.querySelector("canvas");
  const plot = createScatterplot({canvas, width: 712, height: 600, pointSize: count > 1e5 ? 1 : 3});
  const normal = () =>
    0.3 * Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(6.283 * Math.random());
  const [x, y] = [0, 1].map(() => Float32Array.from({length: count}, normal));
  const began = performance.now();
  plot.set({colorBy: "valueA", pointColor: Array.from({length: 10}, (_, i) => `#${i}${i}77aa`)});
  await plot.draw({x, y, valueA: x.map((_, i) => i % 10)});
  const first = performance.now() - began;
  const small = new OffscreenCanvas(1, 1).getContext("2d"), times = [];
  let last = performance.now();
  for (let i = 0; i < 15; i++) {
    const view = plot.get("cameraView");
    view[12] += i % 2 ? 0.01 : -0.01;
    plot.set({cameraView: view});
    await new Promise(requestAnimationFrame);
    small.drawImage(canvas, 0, 0, 1, 1);
    small.getImageData(0, 0, 1, 1);
    times.push(performance.now() - last);
    last = performance.now();
  }
  times.sort((a, b) => a - b);
  return {first, median: times[7]};
};
"""


def bundled(folder: Path) -> str:
    """Return the page's script, with all that it imports."""
    packages = ["regl-scatterplot@1.16", "pub-sub-es", "regl", "esbuild@0.28"]
    (folder / "page.js").write_text(_PAGE)
    subprocess.run(["npm", "install", "--silent", *packages], cwd=folder, check=True)
    command = ["npx", "esbuild", "page.js", "--bundle", "--minify", "--outfile=out.js"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return (folder / "out.js").read_text()


def main() -> None:
    """Print the size of the bundle, and the times for each number of points."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, nargs="+", default=[70_000])
    given = parser.parse_args()
    binary = shutil.which("chromium") or shutil.which("chromium-browser")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        script = bundled(folder)
        size = len(script.encode())
        print(f"bundle {size:,} bytes, gzip {len(gzip.compress(script.encode())):,}")
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        policy = f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'"
        tag = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        body = f'<canvas style="width:712px;height:600px"></canvas><script>{script}</script>'
        page = folder / "page.html"
        page.write_text(f"<!doctype html><meta charset=utf-8>{tag}{body}", "utf-8")
        flags = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=binary, args=flags)
        for count in given.points:
            tab = browser.new_page()
            tab.on("pageerror", lambda error: print("refused:", str(error)[:100]))
            tab.goto(page.as_uri())
            times = tab.evaluate(f"measure({count})")
            print(
                f"{count:>9,} points: first {times['first']:.0f} ms, frame {times['median']:.0f} ms"
            )
            tab.close()
        browser.close()
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
