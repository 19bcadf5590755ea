"""The pictures of the documents: each is made by `make screenshots`, is small, and stands on a page with its words."""

import ast
import re
import struct
from pathlib import Path

import pytest

from tokenomics_dagster_tests.conftest import REPOSITORY
from tokenomics_dagster_tests.documents import screenshots
from tokenomics_dagster_tests.documents.blocks import pages
from tokenomics_dagster_tests.documents.pages import DRAWINGS
from tokenomics_dagster_tests.documents.screenshots import LARGEST, PICTURES, SHOTS, WIDTH

SHOWN = re.compile(r"(!?)\[([^\]]+)\]\((?:docs/)?pictures/([^)]+)\)")


def test_every_picture_of_the_documents_is_made_by_make_docs_or_make_screenshots() -> None:
    assert {path.name for path in PICTURES.iterdir()} == {*SHOTS, *(Path(name).name for name in DRAWINGS)}


@pytest.mark.parametrize("name", SHOTS)
def test_a_picture_is_as_large_as_it_is_to_be_and_small_to_load(name: str) -> None:
    written = (PICTURES / name).read_bytes()
    assert written.startswith(b"\x89PNG\r\n")
    assert struct.unpack(">II", written[16:24]) == (WIDTH, SHOTS[name].height), "make screenshots makes it anew"
    assert len(written) <= LARGEST


def test_every_picture_is_on_a_page_and_said_in_words_to_who_does_not_see_it() -> None:
    found = [one for page in pages() for one in SHOWN.findall((REPOSITORY / page).read_text())]
    assert {name for _, _, name in found} == {path.name for path in PICTURES.iterdir()}
    for shown, words, name in found:
        assert not shown or len(words) > 40, name


def test_the_script_needs_nothing_of_the_platform_and_its_packages_where_they_are_used_alone() -> None:
    """Its environment has neither; the tests' has no Playwright."""
    tree = ast.parse(Path(screenshots.__file__).read_text())
    imported = [
        name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names])
    ]
    assert not [name for name in imported if name.startswith("tokenomics_dagster")]
    outside = {name.partition(".")[0] for name in imported} & {"PIL", "playwright"}
    lock = (REPOSITORY / "requirements-pictures.lock").read_text()
    assert outside == {"PIL", "playwright"}
    assert {"pillow", "playwright"} <= set(re.findall(r"^([a-z]+)==", lock, re.MULTILINE))


def test_the_pins_of_the_pictures_are_made_by_make_lock_and_bound_by_their_hashes() -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    [wanted] = re.findall(r"printf '(.*)\\n' > \.pictures-requirements\.in", makefile)
    lock = (REPOSITORY / "requirements-pictures.lock").read_text()
    assert all(f"{one} " in lock for one in wanted.split("\\n"))
    assert lock.count("==") == len(re.findall(r"==.*\\\n +--hash=sha256:", lock))
    assert "://" not in lock


@pytest.mark.parametrize(
    ("address", "wrong"),
    [
        ("http://127.0.0.1:3000/graphql", []),
        ("file:///tmp/report.html", []),
        ("data:image/png;base64,AA", []),
        ("https://fonts.example/x.woff", ["x.png: the page asks fonts.example"]),
    ],
)
def test_a_page_that_asks_anybody_but_this_machine_is_no_picture(address: str, wrong: list[str]) -> None:
    assert screenshots._asked_elsewhere("x.png", address) == wrong


def test_a_picture_that_there_is_not_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert screenshots.main(["other.png"]) == 2
    assert capsys.readouterr().err.startswith("error: no picture is other.png: they are ui-timeline.png, ")


def test_without_a_browser_it_says_which_package_is_needed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert screenshots.main([]) == 1
    assert "install Debian's package chromium" in capsys.readouterr().err
