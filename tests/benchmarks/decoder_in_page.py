"""The page's decoder and onnxruntime-web, side by side in headless Chromium.

    cd FOLDER && npm install onnxruntime-web@1.30.0   # any folder outside the repository
    cd src/latentkit/explore/frontend && npm ci
    python tests/benchmarks/decoder_in_page.py FOLDER

It needs playwright and Debian's chromium. Sizes are those in a page: gzip, then base64. The first
decode counts from bytes that the page has already unpacked. Nothing is fetched.
"""

from __future__ import annotations

import base64
import gzip
import json
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from playwright.sync_api import sync_playwright

from latentkit.explore import recorded_decoder
from latentkit.explore.recorded_decoder import record_decoder
from latentkit.export.onnx_export import export_onnx

FRONTEND = Path(recorded_decoder.__file__).parent / "frontend"
UNPACK = """
async function un(id) {
  const text = atob(document.getElementById(id).textContent);
  const bytes = Uint8Array.from(text, (c) => c.charCodeAt(0));
  const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return (await new Response(plain).arrayBuffer());
}
const median = (a) => a.sort((x, y) => x - y)[a.length >> 1];
"""
OWN = """
window.go = async () => {
  const w = new Float32Array(await un("weights")), z = new Float32Array(await un("latents"));
  const images = new Float32Array(await un("images"));
  const p = JSON.parse(new TextDecoder().decode(await un("program")));
  const start = performance.now();
  const d = await latentkitExplorer.createDecoder(p, w, PLAIN);
  d.decode(z.subarray(0, p.latent));
  const first = performance.now() - start, times = [];
  const off = latentkitExplorer.largestDifference(d, z, images);
  for (let i = 0; i < 100; i++) {
    const s = performance.now();
    for (let j = 0; j < 5; j++) d.decode(z.subarray(i % 16 * p.latent, (i % 16 + 1) * p.latent));
    times.push((performance.now() - s) / 5);
  }
  return { first_decode_ms: first, decode_ms: median(times), difference: off };
};
"""
ONNX = """
window.go = async () => {
  const wasm = new Uint8Array(await un("wasm")), mjs = new Blob([await un("mjs")], { type: "text/javascript" });
  const model = new Uint8Array(await un("onnx")), z = new Float32Array(await un("latents"));
  const images = new Float32Array(await un("images")), size = images.length / 16, d = z.length / 16;
  const start = performance.now();
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = wasm;
  ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(mjs) };
  const session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
  const run = async (i) => (await session.run({ latents: new ort.Tensor("float32", z.slice(i * d, i * d + d), [1, d]) })).images.data;
  await run(0);
  const first = performance.now() - start, times = [];
  let off = 0;
  for (let i = 0; i < 16; i++) (await run(i)).forEach((x, j) => { off = Math.max(off, Math.abs(x - images[i * size + j])); });
  for (let i = 0; i < 100; i++) {
    const s = performance.now();
    for (let j = 0; j < 5; j++) await run(i % 16);
    times.push((performance.now() - s) / 5);
  }
  return { first_decode_ms: first, decode_ms: median(times), difference: off };
};
"""  # noqa: E501


def packed(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, 9)).decode()


def page(script: str, code: str, blobs: dict[str, bytes]) -> str:
    elements = "".join(
        f'<script type="application/octet-stream" id="{name}">{packed(content)}</script>'
        for name, content in blobs.items()
    )
    return f"<!doctype html><meta charset=utf-8><script>{script}\n{UNPACK}{code}</script>{elements}"


def prepared(shape: tuple[int, int, int], folder: Path) -> dict[str, bytes]:
    """Record and export a conv-ae with random weights; return what the pages need, and print."""
    options = import_module("latentkit.builtins.models.options").ConvAutoencoderOptions()
    torch.manual_seed(0)
    model = import_module("latentkit.builtins.models.autoencoder").build_conv(options, shape)
    for parameter in model.parameters():  # trained weights do not compress as zeros do
        if not parameter.any():
            torch.nn.init.normal_(parameter, 0, 0.05)
    model.eval()
    record_decoder(model.decode, model.latent_dim)
    start = time.perf_counter()
    recorded = record_decoder(model.decode, model.latent_dim)
    print(f"  recorded in {time.perf_counter() - start:.2f} s")
    start = time.perf_counter()
    export_onnx(model, "conv-ae", shape, folder, {})
    print(f"  exported to ONNX in {time.perf_counter() - start:.2f} s (encoder and decoder)")
    latents = torch.randn(16, model.latent_dim)
    with torch.no_grad():
        images = model.decode(latents).numpy()
    return {
        "program": json.dumps(recorded.program).encode(),
        "weights": recorded.weights.astype(np.float32).tobytes(),
        "onnx": (folder / "decoder.onnx").read_bytes(),
        "latents": latents.numpy().tobytes(),
        "images": images.tobytes(),
    }


def main(packages: Path) -> None:
    ort = packages / "node_modules" / "onnxruntime-web" / "dist"
    runtime = {"wasm": (ort / "ort-wasm-simd-threaded.wasm").read_bytes()}
    runtime["mjs"] = (ort / "ort-wasm-simd-threaded.mjs").read_bytes()
    ort_script = (ort / "ort.wasm.min.js").read_text()
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        bundle = folder / "decoder.js"
        build = [str(FRONTEND / "node_modules" / ".bin" / "esbuild"), "--bundle", "--minify"]
        build += ["--format=iife", "--global-name=latentkitExplorer", "--log-level=error"]
        build += [str(FRONTEND / "src" / "decoder" / "index.ts"), f"--outfile={bundle}"]
        subprocess.run(build, check=True)
        script = bundle.read_text()
        sizes = {"own": len(script), "onnxruntime-web": len(ort_script)}
        sizes["onnxruntime-web"] += sum(len(packed(one)) for one in runtime.values())
        print(f"bytes of code in a page: {sizes}")
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        for shape in ((1, 28, 28), (3, 64, 64)):
            print(shape)
            blobs = prepared(shape, folder)
            for name in ("program", "weights", "onnx"):
                print(f"  {name}: {len(packed(blobs[name])):,} bytes in a page")
            pages = {
                "own": page(script, OWN.replace("PLAIN", "false"), blobs),
                "own, no WebAssembly": page(script, OWN.replace("PLAIN", "true"), blobs),
                "onnxruntime-web": page(ort_script, ONNX, blobs | runtime),
            }
            for kind, html in pages.items():
                (folder / "page.html").write_text(html)
                tab = browser.new_page()
                tab.goto((folder / "page.html").as_uri())
                found: dict[str, Any] = tab.evaluate("go()")
                print(f"  {kind}: " + ", ".join(f"{k} {v:.3g}" for k, v in found.items()))
                tab.close()
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
