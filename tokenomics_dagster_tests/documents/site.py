"""The site of the documents: its pages are put together here, zensical builds them, and what came out is looked at.

    python -m tokenomics_dagster_tests.documents.site            (the last part of make docs)

The pages are those of the repository. Here only what differs between the two places is changed: README is the front
page, a link to a file that is no page is a name, and what a block says of how it was shown to work goes.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tokenomics_dagster_tests.conftest import REPOSITORY
from tokenomics_dagster_tests.documents.blocks import FENCE

FOLDER = REPOSITORY / ".tokenomics/docs"
ZENSICAL = REPOSITORY / ".venv/docs/bin/zensical"
ELSEWHERE = {
    "README.md": "index.md",
    "CHANGELOG.md": "changes.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "reporting.md",
    "helm/README.md": "kubernetes.md",
}
"""Pages of the site that are no files of docs/, by their path in the repository."""
LOADED = {
    "script": "src",
    "img": "src",
    "link": "href",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
}
"""What a browser fetches by itself, by tag and attribute."""
# Classes for which the theme's own script loads another from unpkg.com.
DRAWN_ELSEWHERE = {"glightbox", "mermaid"}
# Links of <link> that nobody fetches.
NOT_FETCHED = {"canonical", "next", "prev", "edit"}


def page_names() -> dict[str, str]:
    """The name of each page in the site by its path in the repository."""
    docs = {f"docs/{path.name}": path.name for path in sorted((REPOSITORY / "docs").glob("*.md"))}
    return docs | ELSEWHERE


def put_together(folder: Path) -> None:
    """Writes all pages and pictures into a folder, which is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(REPOSITORY / "docs/pictures", folder / "pictures")
    shutil.copy(REPOSITORY / "docs/site.css", folder)
    for path, name in page_names().items():
        (folder / name).write_text(as_page(path, (REPOSITORY / path).read_text(encoding="utf-8")), encoding="utf-8")


def as_page(path: str, text: str) -> str:
    """The text of a file of the repository as the site has it."""
    names, home = page_names(), Path(path).parent

    def link(found: re.Match[str]) -> str:
        words, target = found[1], found[2]
        file, sharp, anchor = target.partition("#")
        if not file or "://" in file:
            return found[0]
        inside = os.path.normpath(home / file)
        if inside.startswith("docs/pictures/"):
            return f"[{words}]({inside.removeprefix('docs/')})"
        return f"[{words}]({names[inside]}{sharp}{anchor})" if inside in names else words

    parts, at = [], 0
    for block in FENCE.finditer(text):
        parts.append(re.sub(r"\[([^\]\n]+(?:\n[^\]\n]+)?)\]\(([^)\s]+)\)", link, text[at : block.start()]))
        parts.append(f"```{block[1].partition(' ')[0]}\n{block[2]}```")
        at = block.end()
    parts.append(re.sub(r"\[([^\]\n]+(?:\n[^\]\n]+)?)\]\(([^)\s]+)\)", link, text[at:]))
    return "".join(parts)


class Page(HTMLParser):
    """What a built page loads, where it leads, and which anchors it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.leads: list[str] = []
        self.anchors: set[str] = set()
        self.classes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if "id" in found:
            self.anchors.add(found["id"])
        self.classes |= set(found.get("class", "").split())
        address = found.get(LOADED.get(tag, ""), "")
        if address and not (tag == "link" and found.get("rel") in NOT_FETCHED):
            self.loads.append(address)
        if tag == "a" and found.get("href"):
            self.leads.append(found["href"])


def faults(site: Path) -> Iterator[str]:
    """What is wrong with a built site, a sentence each."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        name = path.relative_to(site)
        for address in page.loads:
            parts = urlsplit(address)
            if parts.scheme in ("http", "https") or parts.netloc:
                yield f"{name} loads {address} from elsewhere"
            elif parts.scheme != "data" and not _file(site, path, parts.path).exists():
                yield f"{name} loads {address}, which is not there"
        for one in sorted(page.classes & DRAWN_ELSEWHERE):
            yield f"{name} is drawn by a script that the theme loads from elsewhere: {one}"
        if path.name != "404.html":  # its links are made for a server's root
            yield from (f"{name} {fault}" for fault in _dead(path, page, pages))
        if re.search(r"^\|[ -]*-", path.read_text(encoding="utf-8"), re.MULTILINE):
            yield f"{name} shows a table as text: a blank line is missing before it"
    for path in sorted(site.rglob("*.css")):
        if found := re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//[^)\"']+", path.read_text(encoding="utf-8")):
            yield f"{path.relative_to(site)} loads {found[0]}"


def _file(site: Path, page: Path, address: str) -> Path:
    """What a page means by an address; from the root of the server in 404.html, which may be shown anywhere."""
    return site / unquote(address).lstrip("/") if address.startswith("/") else page.parent / unquote(address)


def _dead(path: Path, page: Page, pages: dict[Path, Page]) -> Iterator[str]:
    for address in page.leads:
        parts = urlsplit(address)
        if parts.scheme or parts.netloc:
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path not in ("", ".") else path
        target = target / "index.html" if target.is_dir() else target
        if not target.exists():
            yield f"leads to {address}, which is not there"
        elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
            yield f"leads to {address}, and that page has no such place"


def build(zensical: Path = ZENSICAL) -> str:
    """Builds the site with warnings as errors; what zensical said. Raises CalledProcessError."""
    put_together(FOLDER / "source")
    shutil.rmtree(FOLDER / "site", ignore_errors=True)
    done = subprocess.run(
        [zensical, "build", "--clean", "--strict"],
        cwd=REPOSITORY,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, done.args, said)
    return said


def main() -> int:
    if not ZENSICAL.exists():
        sys.stderr.write(f"error: there is no {ZENSICAL.relative_to(REPOSITORY)}: run `make docs`, which installs it\n")
        return 1
    try:
        build()
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"{error.output}\nerror: zensical refused the pages\n")
        return 1
    found = list(faults(FOLDER / "site"))
    for fault in found:
        sys.stderr.write(f"error: {fault}\n")
    if not found:
        sys.stdout.write(f"{(FOLDER / 'site/index.html').relative_to(REPOSITORY)}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
