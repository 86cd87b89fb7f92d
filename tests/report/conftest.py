"""A hostile page, and headless Chromium over the DevTools protocol (on a pair of pipes)."""

from __future__ import annotations

import base64
import io
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from latentkit.report.page import Picture, Section, Table, render_page

BINARY = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--remote-debugging-pipe",
)
_SECONDS = 60
# Chromium reads commands from descriptor 3 and answers on 4.
_LAUNCH = """
import os, sys
commands, answers, *program = sys.argv[1:]
os.dup2(int(commands), 30)
os.dup2(int(answers), 31)
os.dup2(30, 3)
os.dup2(31, 4)
os.execv(program[0], program)
"""


class Browser:
    """One page of a headless Chromium, which keeps every event since the page was opened."""

    def __init__(self, profile: Path) -> None:
        commands, self._write = os.pipe()
        self._read, answers = os.pipe()
        program = [str(BINARY), *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _LAUNCH, str(commands), str(answers), *program],
            pass_fds=(commands, answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(answers)
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Audits"):
            self.call(f"{domain}.enable")
        self.call("Page.setLifecycleEventsEnabled", enabled=True)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def open(self, url: str, width: int = 1280, height: int = 900, scheme: str = "light") -> None:
        """Show a page in a window of the given size with a preferred colour scheme."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)
        self.call("Page.navigate", url="about:blank")
        self.events.clear()
        loader = self.call("Page.navigate", url=url)["loaderId"]
        while not any(_is_load(event, loader) for event in self.events):
            self.events.append(self._receive())
        self.value("Promise.all([...document.images].map(i => i.decode().catch(() => 0)))")

    def value(self, expression: str) -> Any:
        """Return the value of a JavaScript expression in the page."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def screenshot(self, path: Path | None = None, *, whole: bool = False) -> np.ndarray:
        """Return the pixels of the window, or of the whole page."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        content = base64.b64decode(shot["data"])
        if path:
            path.write_bytes(content)
        return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))

    def printed(self) -> bytes:
        """Return the page as a PDF."""
        return base64.b64decode(self.call("Page.printToPDF", printBackground=False)["data"])

    def requested(self) -> list[str]:
        """Return the URLs that the page requested, without embedded data."""
        sent = (e for e in self.events if e["method"] == "Network.requestWillBeSent")
        urls = (event["params"]["request"]["url"] for event in sent)
        return [url for url in urls if not url.startswith("data:")]

    def complaints(self) -> list[str]:
        """Return errors, warnings, policy violations, and everything a script logged."""
        spoken = (
            "Log.entryAdded",
            "Runtime.consoleAPICalled",
            "Runtime.exceptionThrown",
            "Page.javascriptDialogOpening",
            "Audits.issueAdded",
        )
        return [json.dumps(event) for event in self.events if event["method"] in spoken]

    def close(self) -> None:
        """End the browser."""
        try:
            self._session = None
            self.call("Browser.close")
            self._process.wait(_SECONDS)
        except (OSError, RuntimeError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        os.close(self._write)
        os.close(self._read)

    def _receive(self) -> dict[str, Any]:
        deadline = time.monotonic() + _SECONDS
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise RuntimeError(f"chromium said nothing for {_SECONDS} s")
            chunk = os.read(self._read, 1 << 16)
            if not chunk:
                raise RuntimeError("chromium ended")
            self._buffer += chunk
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)


def _is_load(event: dict[str, Any], loader: str) -> bool:
    told = event["params"]
    return (
        event["method"] == "Page.lifecycleEvent"
        and told["name"] == "load"
        and told["loaderId"] == loader
    )


HOSTILE = (
    "<img src=x onerror=alert(1)>",
    '"></script><script>alert(2)</script>',
    "</style><link rel=stylesheet href=http://leak.invalid/a.css>",
    "' onmouseover='alert(3)",
    "{{ 7 * 7 }}",
    "javascript:alert(4)",
)


def png_bytes() -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (25, 45, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).resize((900, 500), 0).save(buffer, "PNG", dpi=(160, 160))
    return buffer.getvalue()


@pytest.fixture(scope="session")
def hostile() -> tuple[str, ...]:
    return HOSTILE


@pytest.fixture(scope="session")
def png() -> bytes:
    """Return a PNG of 900 x 500 pixels at 160 dots an inch."""
    return png_bytes()


@pytest.fixture(scope="session")
def hostile_page() -> str:
    """Return a page in which every text is hostile, with a wide table and wide pictures."""
    rows = [(name, "0.0123", "0.0120 to 0.0126", name) for name in HOSTILE]
    table = Table(HOSTILE[1], ("class", "MSE", HOSTILE[0], HOSTILE[2]), rows)
    pictures = [Picture(name, name, png_bytes(), key=name, alt=name) for name in HOSTILE]
    return render_page(
        title=HOSTILE[0],
        subtitle=HOSTILE[1],
        sections=[
            Section("Summary", "\n\n".join(HOSTILE), [table]),
            *(Section(name, pictures=pictures) for name in HOSTILE),
        ],
        config_toml="\n".join(HOSTILE),
        repeat_command=HOSTILE[2],
        environment=[(name, name) for name in HOSTILE],
    )


@pytest.fixture(scope="session")
def browser(tmp_path_factory) -> Iterator[Browser]:
    if BINARY is None:
        pytest.skip("no chromium here (apt install chromium)")
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()
