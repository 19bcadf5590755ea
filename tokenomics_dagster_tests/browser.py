"""A real browser for tests of pages: Chromium by its debugging protocol, without a package of its own.

What a page asks for, what it says on its console, how wide it is and how it looks can be seen; nothing is mocked. Where
there is no Chromium on PATH the test is skipped.
"""

import json
import os
import shutil
import subprocess
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_S = 60


@dataclass
class Page:
    """One tab, and all that was seen of it since it was opened."""

    socket: ClientConnection
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    ids: Iterator[int] = field(default_factory=lambda: count(1))

    def call(self, method: str, **options: Any) -> dict[str, Any]:
        number = next(self.ids)
        self.socket.send(json.dumps({"id": number, "method": method, "params": options}))
        while True:
            told = self._heard()
            if told.get("id") == number:
                assert "error" not in told, told
                return dict(told["result"])

    def _heard(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.socket.recv(timeout=PATIENCE_S))
        method, said = told.get("method"), told.get("params", {})
        if method == "Network.requestWillBeSent":
            self.asked.append(said["request"]["url"])
        elif method == "Network.webSocketCreated":
            self.asked.append(said["url"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(said["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and said["type"] in ("error", "warning", "assert"):
            self.complaints.append(json.dumps(said["args"]))
        elif method == "Log.entryAdded" and said["entry"]["level"] in ("error", "warning"):
            self.complaints.append(said["entry"]["text"])
        return told

    def open(self, address: str, *, width: int, height: int = 900, scheme: str = "light", media: str = "") -> None:
        """Loads it anew as a screen of that width, or as paper, shows it; phones are those under 640 pixels."""
        self.asked.clear()
        self.complaints.clear()
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 640,
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media=media, features=features)
        self.call("Page.navigate", url=address)
        while self._heard().get("method") != "Page.loadEventFired":
            pass

    def evaluate(self, expression: str) -> Any:
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def picture(self, path: Path) -> None:
        """The whole page as PNG."""
        made = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(b64decode(made["data"]))

    def pdf(self) -> bytes:
        return b64decode(self.call("Page.printToPDF", printBackground=False, preferCSSPageSize=True)["data"])


LOOKS = [(390, "light", ""), (390, "dark", ""), (1440, "light", ""), (1440, "dark", ""), (794, "dark", "print")]
"""Width, colours and medium of every way in which a page of ours is read: phone, screen, paper."""

_DRAWN = """[...document.querySelectorAll('svg[role=img]')].map(s => [s.getBoundingClientRect().width,
  s.querySelectorAll('rect, path, polygon').length, s.querySelectorAll('text').length])"""
_SMALL = """[...document.querySelectorAll('svg text')].filter(t => parseFloat(getComputedStyle(t).fontSize)
  * t.getScreenCTM().a < 12).map(t => t.textContent)"""
# Two texts of a picture that lie upon each other by more than a pixel, and those that leave the screen.
_HIDDEN = """[...document.querySelectorAll('svg[role=img]')].flatMap(s => {
  const all = [...s.querySelectorAll('text')].map(t => [t.textContent, t.getBoundingClientRect()])
    .filter(([, b]) => b.width);
  const upon = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
    && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1;
  return [...all.flatMap(([t, a], n) => all.slice(n + 1).filter(([, b]) => upon(a, b)).map(([u]) => t + ' | ' + u)),
    ...all.filter(([, b]) => b.left < -1 || b.right > document.documentElement.clientWidth + 1).map(([t]) => t)];
})"""


def must_be_sound(tab: Page, file: Path, look: tuple[int, str, str], *, pictures: int) -> None:
    """A file of ours as it is read in one of LOOKS: it asks for nothing, complains of nothing, all of it is seen."""
    width, scheme, media = look
    tab.open(file.as_uri(), width=width, scheme=scheme, media=media)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width, "nothing is wider than the screen"
    drawn = tab.evaluate(_DRAWN)
    assert len(drawn) >= pictures
    assert all(wide > 250 and shapes > 0 and texts > 1 for wide, shapes, texts in drawn)
    assert not (small := tab.evaluate(_SMALL)), f"texts are scaled with their picture: {small}"
    assert not (hidden := tab.evaluate(_HIDDEN)), f"texts of a picture cannot be read: {hidden}"
    paper = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light" or media == "print")
    if media == "print":
        assert tab.pdf().startswith(b"%PDF-")
    assert tab.asked == [file.as_uri()], tab.asked
    assert not tab.complaints, tab.complaints


def chromium() -> str | None:
    return next((found for name in NAMES if (found := shutil.which(name))), None)


@contextmanager
def browser(profile: Path) -> Iterator[Page]:
    """A tab of a browser of its own, whose profile is that new folder."""
    program = chromium()
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is on PATH")
    options = ["--headless=new", "--disable-gpu", "--no-first-run", "--hide-scrollbars", "--disable-extensions"]
    options += ["--remote-debugging-port=0", f"--user-data-dir={profile}", "--disable-background-networking"]
    if os.getuid() == 0:
        options.append("--no-sandbox")  # it refuses to start for root
    with subprocess.Popen(
        [program, *options, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            line = next((line for line in process.stderr if "DevTools listening on " in line), "")
            assert line, "the browser did not start"
            port = line.split("ws://")[1].split("/")[0]
            with connect(f"ws://{port}{_tab(port)}", max_size=None) as socket:
                yield Page(socket)
        finally:
            process.terminate()


def _tab(port: str) -> str:
    import requests

    tabs = requests.get(f"http://{port}/json/list", timeout=PATIENCE_S).json()
    address = next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
    return "/" + str(address).split("/", 3)[3]
