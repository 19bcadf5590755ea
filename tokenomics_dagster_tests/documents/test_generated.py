"""What is made from the code stands in docs/ as the code gives it, and says what it should."""

import re
import xml.etree.ElementTree as ET
from datetime import date
from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field

from tokenomics_dagster.definitions import ROOMS
from tokenomics_dagster.kit.room import House, imported
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.environment import Environment
from tokenomics_dagster.settings.section import Percent, Section, keys_of, section_of
from tokenomics_dagster_tests.conftest import REPOSITORY
from tokenomics_dagster_tests.documents import house, licences, pages, reference

SVG = "{http://www.w3.org/2000/svg}"
MADE = [name for name in (*pages.PARTS, *pages.DRAWINGS) if name != "docs/licences.md"]


@pytest.fixture(scope="module")
def current() -> dict[Path, str]:
    return pages.current()


@pytest.mark.parametrize("name", MADE)
def test_what_is_committed_is_what_the_code_gives(name: str, current: dict[Path, str]) -> None:
    path = REPOSITORY / name
    assert path.read_text(encoding="utf-8") == current[path], f"{name} is not current: run `make docs`"


def test_every_setting_and_every_variable_has_its_row_with_default_and_meaning() -> None:
    rows = {row.split("`")[1]: row for row in reference.settings() if row.startswith("| `")}
    values = {key: field for key, field in keys_of(Settings) if "." in key}
    assert rows.keys() == {*values, *(name.upper() for name in Environment.model_fields)}
    for key, field in values.items():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", rows[key])[1:-1]]
        assert cells[3], key
        assert bool(cells[1] and cells[2]) == (section_of(field) is None), key
    assert "| `100` | a whole number from 1 to 20,000 |" in rows["rebalancing.top_n_stocks"]
    assert "yes" in rows["ALPACA_SECRET_KEY"]
    assert "yes" not in rows["ALPACA_DATA_URL"]


def test_what_is_allowed_is_said_in_words() -> None:
    class Some(Section):
        share: Percent = Field(1.0)
        above: float = Field(1.0, gt=0, lt=2.5)
        one: Literal["a", "b"] = Field("a")
        several: tuple[Literal["a", "b"], ...] = Field(("a",))
        day: date = Field(date(2026, 1, 5), ge=date(2016, 1, 4))
        truth: bool = Field(True)
        word: str = Field("x")

    allowed = {name: reference.allowed(field) for name, field in Some.model_fields.items()}
    assert allowed == {
        "share": "a number from 0 to 100",
        "above": "a number above 0 under 2.5",
        "one": "`a`, `b`",
        "several": "some of `a`, `b`",
        "day": "a day from 2016-01-04",
        "truth": "true, false",
        "word": "a text",
    }


def test_every_column_of_every_stored_table_has_its_row() -> None:
    text = "\n".join(reference.tables())
    for name, asset in House(ROOMS).assets.items():
        [spec] = asset.specs
        if (path := spec.metadata.get("schema")) is not None:
            section = text.partition(f"### {name}\n")[2].partition("\n### ")[0]
            columns = imported(str(path)).to_schema().columns
            assert re.findall(
                r"^\| `(\w+)` \| (?:number|text|truth|whole number|day|instant, UTC) \|", section, re.MULTILINE
            ) == [*columns]


def test_every_check_of_every_asset_has_its_row() -> None:
    named = re.findall(r"^\| `(\w+\.\w+)` \| .{20,} \|$", "\n".join(reference.checks()), re.MULTILINE)
    checks = [key for asset in House(ROOMS).assets.values() for key in asset.check_keys]
    assert sorted(named) == sorted(f"{key.asset_key.to_user_string()}.{key.name}" for key in checks)


def texts(drawing: str) -> list[str]:
    return [str(one.text) for one in ET.fromstring(drawing).iter(f"{SVG}text")]


def test_the_asset_graph_has_every_asset_once_and_an_arrow_for_each_it_is_made_from() -> None:
    drawing, edges = house.asset_graph(), house.made_from()
    assert sorted(texts(drawing)) == sorted([*edges, *(room.name for room in ROOMS)])
    assert drawing.count('class="way"') == sum(map(len, edges.values())) > 8


def test_no_two_boxes_and_no_two_arrows_of_the_graph_lie_upon_each_other() -> None:
    root = ET.fromstring(house.asset_graph())
    boxes = [(one.get("x"), one.get("y")) for one in root.iter(f"{SVG}rect") if one.get("class") == "box"]
    ways = [one.get("d") for one in root.iter(f"{SVG}path")]
    assert len(set(boxes)) == len(boxes)
    assert len(set(ways)) == len(ways)


def test_the_floors_are_all_rooms_of_the_package_and_the_sandbox() -> None:
    folders = {path.parent.name for path in (REPOSITORY / "tokenomics_dagster").glob("*/__init__.py")}
    modules = {path.stem for path in (REPOSITORY / "tokenomics_dagster").glob("*.py")} - {"__init__"}
    assert set(texts(house.floor_plan())) == folders | modules


@pytest.mark.parametrize("drawn", [house.asset_graph(), house.floor_plan()], ids=["graph", "floors"])
def test_a_drawing_is_read_aloud_and_asks_for_nothing(drawn: str) -> None:
    root = ET.fromstring(drawn)
    assert root.get("role") == "img"
    assert len(root.findtext(f"{SVG}title") or "") > 5
    assert len(root.findtext(f"{SVG}desc") or "") > 40
    assert "prefers-color-scheme:dark" in drawn
    assert re.findall(r"https?://|<script|@import|url\(", drawn.replace(SVG.strip("{}"), "")) == []


def test_a_page_that_lost_its_markers_is_named_and_keeps_what_it_has() -> None:
    with pytest.raises(pages.NoMarkers, match=r"docs/x\.md has not the two markers of rooms"):
        pages.written("docs/x.md", "# X\n", "rooms", ["row"])


def test_of_a_page_only_what_stands_between_the_markers_is_written() -> None:
    begin, end = pages.BEGIN.format("rooms"), pages.END.format("rooms")
    once = pages.written("x", f"before\n{begin}\nold\n{end}\nafter\n", "rooms", ["| new |"])
    assert once == f"before\n{begin}\n\n| new |\n\n{end}\nafter\n"
    assert pages.written("x", once, "rooms", ["| new |"]) == once


def test_every_package_is_under_a_licence_that_lets_this_be_apache() -> None:
    told = licences.licences()
    assert len(told) > 100
    refused = {name: one for name, one in told.items() if not licences.identifiers(one) <= licences.ALLOWED}
    assert refused == {}


def test_the_page_of_licences_says_of_each_package_what_its_metadata_says() -> None:
    """What is not installed with this version of Python is compared where it is."""
    page = (REPOSITORY / "docs/licences.md").read_text()
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", page, re.MULTILINE)
    told = {name: licence for licence, names in rows for name in names.split(", ")}
    assert told.keys() >= set(licences.packages(licences.RUN))
    for name in licences.packages(licences.RUN):
        assert told[name] == (licences.licence(name) or told[name])


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT OR GPL-3.0", False),
        ("BSD-2-Clause AND Apache-2.0 WITH LLVM-exception", True),
        ("(MIT AND Zlib)", True),
        ("AGPL-3.0-only", False),
        ("not told", False),
    ],
)
def test_a_licence_is_judged_by_all_that_it_names(expression: str, allowed: bool) -> None:
    assert (licences.identifiers(expression) <= licences.ALLOWED) == allowed
