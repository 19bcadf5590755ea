"""The site of the documents: what is changed for it, what is found wrong with it, that it is built without fault."""

import re
import tomllib
from pathlib import Path

import pytest

from tokenomics_dagster_tests.conftest import REPOSITORY
from tokenomics_dagster_tests.documents import site

CONFIG = tomllib.loads((REPOSITORY / "zensical.toml").read_text())["project"]


def in_navigation(entries: list) -> list[str]:
    values = [value for entry in entries for value in entry.values()]
    return [page for value in values for page in (in_navigation(value) if isinstance(value, list) else [value])]


def test_every_page_is_in_the_navigation_once() -> None:
    assert sorted(in_navigation(CONFIG["nav"])) == sorted(site.page_names().values())


def test_no_font_of_another_host_is_asked_for() -> None:
    assert CONFIG["theme"]["font"] is False


def test_the_pins_of_the_site_are_made_by_make_lock_and_bound_by_their_hashes() -> None:
    [wanted] = re.findall(r"printf '(zensical==[\d.]+)", (REPOSITORY / "Makefile").read_text())
    lock = (REPOSITORY / "requirements-docs.lock").read_text()
    assert f"{wanted} " in lock
    assert lock.count("==") == len(re.findall(r"==.*\\\n +--hash=sha256:", lock))
    assert "://" not in lock


@pytest.mark.parametrize(
    ("path", "text", "page"),
    [
        ("README.md", "[x](docs/data.md#the-tables)", "[x](data.md#the-tables)"),
        ("README.md", "![x](docs/pictures/house.svg)", "![x](pictures/house.svg)"),
        ("README.md", "the [chart](helm/README.md) and [Apache](LICENSE)", "the [chart](kubernetes.md) and Apache"),
        ("docs/faq.md", "[x](../README.md) [y](data.md) [z](#here)", "[x](index.md) [y](data.md) [z](#here)"),
        ("docs/faq.md", "[x](https://dagster.io)", "[x](https://dagster.io)"),
        ("docs/faq.md", "```sh tested a/b.py\nls [x](y)\n```\n", "```sh\nls [x](y)\n```\n"),
    ],
)
def test_a_page_of_the_repository_becomes_one_of_the_site(path: str, text: str, page: str) -> None:
    assert site.as_page(path, text) == page


def fault_of(folder: Path, body: str) -> list[str]:
    (folder / "index.html").write_text(f"<html><body>{body}</body></html>")
    (folder / "other.html").write_text('<h2 id="here">Here</h2>')
    (folder / "there.png").write_bytes(b"")
    return list(site.faults(folder))


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<script src="https://unpkg.com/x.js"></script>', "index.html loads https://unpkg.com/x.js from elsewhere"),
        ('<img src="//cdn.example/x.png">', "index.html loads //cdn.example/x.png from elsewhere"),
        (
            '<link rel="stylesheet" href="https://fonts.example/x">',
            "index.html loads https://fonts.example/x from elsew",
        ),
        ('<img src="gone.png">', "index.html loads gone.png, which is not there"),
        ('<a href="gone.html">x</a>', "index.html leads to gone.html, which is not there"),
        ('<a href="other.html#gone">x</a>', "index.html leads to other.html#gone, and that page has no such place"),
        ("<p>\n|---|---|\n</p>", "index.html shows a table as text"),
        (
            '<pre class="mermaid">x</pre>',
            "index.html is drawn by a script that the theme loads from elsewhere: mermaid",
        ),
    ],
)
def test_what_is_wrong_with_a_built_page_is_found(body: str, fault: str, tmp_path: Path) -> None:
    [found] = fault_of(tmp_path, body)
    assert found.startswith(fault)


def test_a_style_that_loads_from_elsewhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "x.css").write_text("@import url(https://fonts.example/y)")
    [found] = fault_of(tmp_path, "")
    assert found == "x.css loads url(https://fonts.example/y"


def test_a_page_without_a_fault_has_none(tmp_path: Path) -> None:
    sound = '<img src="there.png"><img src="data:,x"><a href="other.html#here">x</a><a href="https://dagster.io">y</a>'
    assert fault_of(tmp_path, sound) == []


@pytest.mark.skipif(not site.ZENSICAL.exists(), reason="`make docs` installs what builds the site")
def test_the_site_is_built_without_a_warning_and_without_a_fault() -> None:
    said = site.build()
    assert "No issues found" in said
    assert list(site.faults(site.FOLDER / "site")) == []
    assert {path.name for path in (site.FOLDER / "site").glob("*.html")} >= {
        name.replace(".md", ".html") for name in site.page_names().values()
    }
