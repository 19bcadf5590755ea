"""Makes the pictures of README and docs/ that a browser has to draw: the Dagster UI and the pages after a demo.

    .venv/pictures/bin/python tokenomics_dagster_tests/documents/screenshots.py [NAME]...          (make screenshots)

All of them, or those that are named. It has an environment of its own, with nothing of the platform in it: everything
is run as a person runs it, `tokenomics --demo report` and `make ui`. The browser is the one on PATH; none is fetched.
A page that complains on its console, or asks anybody but this machine, is no picture of how it should be: it ends here.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

if TYPE_CHECKING:
    Page = Any  # of Playwright, which is not in the environment of the tests

REPOSITORY = Path(__file__).resolve().parents[2]
PICTURES = REPOSITORY / "docs/pictures"
DEMO = REPOSITORY / ".tokenomics/demo"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTH, LARGEST = 1280, 250_000
"""Pixels, of them one to a pixel of the page; bytes of a picture at most, for README loads several."""
_COLOURS = 256
_PATIENCE_S = 180


class Shot(NamedTuple):
    """`at`: a path of the UI, or a file of the folder of pages; `height` in pixels; `before`: what is done first."""

    at: str
    height: int
    before: Callable[[Page], None]


def _nothing(_: Page) -> None:
    """The page as it opens."""


def _last_hour(page: Page) -> None:
    page.get_by_text("1hr", exact=True).click()


def _whole_graph(page: Page) -> None:
    """All groups open, and nothing beside the graph."""
    page.get_by_text("Hide navigation").click()
    page.get_by_placeholder("Jump to…").locator("xpath=following::button[1]").click()
    page.wait_for_timeout(500)  # it fits the graph to the place that it then has
    page.keyboard.press("Alt+e")


def _its_picture(page: Page) -> None:
    page.get_by_text("[Show Markdown]").first.click()
    page.wait_for_function("[...document.images].some(one => one.complete && one.naturalWidth > 400)")


SHOTS = {
    "ui-timeline.png": Shot("/overview/activity/timeline", 520, _last_hour),
    "ui-graph.png": Shot("/asset-groups", 880, _whole_graph),
    "ui-scores.png": Shot("/assets/scores?view=events", 720, _its_picture),
    "report.png": Shot("report.html", 1560, _nothing),
    "tear-sheet.png": Shot("evidence.html", 1740, _nothing),
}


@contextmanager
def ui() -> Iterator[str]:
    """The address of `make ui` on the demo's folder, until the block ends. Raises OSError where it does not start."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryFile() as log:
        command = ["make", "-o", ".venv/ready", "ui", f"PORT={port}"]
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=log, stderr=log, start_new_session=True)
        try:
            _answering(process, f"{address}/server_info")
            yield address
        except OSError:
            log.seek(0)
            sys.stderr.buffer.write(log.read())
            raise
        finally:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(60)


def _answering(process: subprocess.Popen[bytes], address: str) -> None:
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until and process.poll() is None:
        try:
            urlopen(address, timeout=5).close()
        except URLError:
            time.sleep(0.5)
        else:
            return
    raise OSError(f"the UI does not answer at {address}: above is what it said")


def pages(folder: Path) -> None:
    """The report of the demo's week and the tear sheet of its market, as files of the folder."""
    report = [f"{REPOSITORY}/.venv/bin/tokenomics", "--demo", "report", "--out", f"{folder}/report.html"]
    subprocess.run(report, cwd=REPOSITORY, check=True, stdout=subprocess.DEVNULL)
    shutil.copy(DEMO / "evidence.html", folder)


def take(browser: Any, name: str, shot: Shot, base: str, file: Path) -> list[str]:
    """Writes a picture; what was wrong with its page, in sentences."""
    wrong: list[str] = []
    page = browser.new_page(
        viewport={"width": WIDTH, "height": shot.height},
        device_scale_factor=1,
        color_scheme="light",
        locale="en-US",
        timezone_id="America/New_York",
    )
    page.on("console", lambda said: wrong.append(f"{name}: {said.text}") if said.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(f"{name}: {error}"))
    page.on("request", lambda asked: wrong.extend(_asked_elsewhere(name, asked.url)))
    page.goto(base + shot.at, wait_until="networkidle")
    shot.before(page)
    page.wait_for_timeout(2_000)  # what moves has come to rest
    page.screenshot(path=file, animations="disabled")
    page.close()
    return wrong


def _asked_elsewhere(name: str, address: str) -> list[str]:
    parts = urlsplit(address)
    inside = parts.hostname == "127.0.0.1" or parts.scheme in ("file", "data", "blob")
    return [] if inside else [f"{name}: the page asks {parts.hostname}"]


def smaller(file: Path) -> None:
    """With a palette instead of true colour, a third of the bytes; nobody sees the difference on such pages."""
    from PIL import Image

    with Image.open(file) as picture:
        made = picture.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
    made.save(file, optimize=True)


def main(names: list[str]) -> int:
    program = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    unknown = sorted(set(names) - SHOTS.keys())
    if program is None or unknown:
        what = f"no picture is {', '.join(unknown)}: they are {', '.join(SHOTS)}"
        without = f"no browser: none of {', '.join(BROWSERS)} is on PATH; install Debian's package chromium"
        sys.stderr.write(f"error: {what if unknown else without}\n")
        return 2 if unknown else 1
    from playwright.sync_api import sync_playwright  # type: ignore[import-not-found]

    # Started in the background it would ignore Ctrl-C, and so would `make ui`, which ends by nothing else.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    wrong: list[str] = []
    options = ["--disable-gpu", *(["--no-sandbox"] if os.getuid() == 0 else [])]  # which refuses to start for root
    chosen = names or list(SHOTS)
    served = ui() if any(SHOTS[name].at.startswith("/") for name in chosen) else nullcontext("")
    with tempfile.TemporaryDirectory() as folder, served as address, sync_playwright() as playwright:
        pages(Path(folder))
        browser = playwright.chromium.launch(executable_path=program, args=options)
        for name in chosen:
            shot, file = SHOTS[name], PICTURES / name
            base = address if shot.at.startswith("/") else f"{Path(folder).as_uri()}/"
            wrong += take(browser, name, shot, base, file)
            smaller(file)
            size = file.stat().st_size
            wrong += [f"{name} has {size:,} bytes, more than {LARGEST:,}"] if size > LARGEST else []
            sys.stdout.write(f"{file.relative_to(REPOSITORY)}: {size:,} bytes\n")
        browser.close()
    sys.stderr.writelines(f"error: {one}\n" for one in wrong)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
