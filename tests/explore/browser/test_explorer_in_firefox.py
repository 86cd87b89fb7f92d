"""An explorer page in Firefox, which is driven over its own protocol, Marionette."""

from __future__ import annotations

import base64
import io
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from .explorer_browser import cells, digits

BINARY = shutil.which("firefox-esr") or shutil.which("firefox")
_SECONDS = 60
_PREFERENCES = {
    "marionette.port": 0,  # any free one, which Firefox writes into the profile
    "devtools.console.stdout.content": True,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.enabled": False,
    "app.update.disabledForTesting": True,
}

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(BINARY is None, reason="no Firefox here (apt install firefox-esr)"),
]


class Firefox:
    """One window of a headless Firefox."""

    def __init__(self, profile: Path) -> None:
        lines = [
            f'user_pref("{name}", {json.dumps(value)});' for name, value in _PREFERENCES.items()
        ]
        (profile / "user.js").write_text("\n".join(lines))
        self._log = profile / "output.txt"
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                [str(BINARY), "--headless", "--marionette", "--no-remote", "--profile", profile],
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + _SECONDS
        port = profile / "MarionetteActivePort"
        while not (port.exists() and port.read_text().strip()):
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError(f"Firefox did not start: {self.output()}")
            time.sleep(0.1)
        self._socket = socket.create_connection(("127.0.0.1", int(port.read_text())), _SECONDS)
        self._stream = self._socket.makefile("rb")
        self._number = 0
        self._receive()  # its greeting
        self.call("WebDriver:NewSession")

    def call(self, command: str, **parameters: Any) -> Any:
        self._number += 1
        message = json.dumps([0, self._number, command, parameters])
        self._socket.sendall(f"{len(message)}:{message}".encode())
        _, _, error, result = self._receive()
        assert error is None, error
        return result

    def value(self, script: str) -> Any:
        """Return what a script gives that sees the page as the page does."""
        body = f"const page = window; {script}"
        return self.call("WebDriver:ExecuteScript", script=body, args=[])["value"]

    def wait(self, selector: str) -> None:
        deadline = time.monotonic() + _SECONDS
        while not self.value(f"return document.querySelector({json.dumps(selector)}) !== null"):
            assert time.monotonic() < deadline, self.output()
            time.sleep(0.05)

    def move(self, x: float, y: float) -> None:
        moves = [{"type": "pointerMove", "x": round(x), "y": round(y), "duration": 0}]
        pointer = {"type": "pointer", "id": "mouse", "actions": moves}
        self.call("WebDriver:PerformActions", actions=[pointer])

    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def close(self) -> None:
        try:
            self.call("Marionette:Quit", flags=["eForceQuit"])
            self._process.wait(20)
        except (OSError, AssertionError, ValueError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        self._socket.close()

    def _receive(self) -> Any:
        digits = b""
        while not digits.endswith(b":"):
            byte = self._stream.read(1)
            if not byte:
                raise OSError("Firefox ended")
            digits += byte
        return json.loads(self._stream.read(int(digits[:-1])))


@pytest.fixture(scope="module")
def firefox(tmp_path_factory) -> Iterator[Firefox]:
    browser = Firefox(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


def test_firefox_opens_the_page_from_disk_and_shows_images(firefox, page_of_digits):
    firefox.call("WebDriver:Navigate", url=page_of_digits.as_uri())
    firefox.wait("#explorer[data-complete]")
    shot = base64.b64decode(firefox.call("WebDriver:TakeScreenshot", full=False)["value"])
    colours = np.unique(
        np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).reshape(-1, 3), axis=0
    )
    assert len(colours) > 50, "no map was drawn"
    place = firefox.value(
        "const view = page.latentkitExplorer.explorer.views[0], {camera, element} = view.scene;"
        "const {left, top} = element.getBoundingClientRect(), positions = view.shown.positions;"
        "return [left + camera.screenX(positions[14]), top + camera.screenY(positions[15])];"
    )
    firefox.move(*place)
    firefox.wait(".lk-tooltip:not([hidden])")
    item = firefox.value("return page.latentkitExplorer.explorer.app.store.state.hovered")
    url = firefox.value("return document.querySelector('.lk-tooltip canvas').toDataURL()")
    content = base64.b64decode(url.partition(",")[2])
    drawn = cells(np.asarray(Image.open(io.BytesIO(content)).convert("RGB")), 8)
    images, _, labels = digits()
    np.testing.assert_array_equal(drawn[..., 0], images[item, 0])
    text = firefox.value("return document.querySelector('.lk-tooltip').textContent")
    assert f"digit {labels[item]}" in text
    # Firefox also writes what it complains of itself.
    ours = (page_of_digits.name, "Content-Security-Policy", "images cannot be shown")
    complaints = [
        line for line in firefox.output().splitlines() if any(word in line for word in ours)
    ]
    assert complaints == []
