"""The small picture: Dagster's UI shows markdown in place only under 1,000 characters, and a longer one by a click."""

from base64 import b64decode
from xml.etree import ElementTree

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenomics_dagster.kit.sketch import SHOWN, bars, line

NUMBERS = st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), max_size=200)


def drawn(picture: dg.MarkdownMetadataValue) -> ElementTree.Element:
    text = str(picture.value)
    start = text.index("base64,") + len("base64,")
    return ElementTree.fromstring(b64decode(text[start : text.index(")", start)]))


@given(NUMBERS)
def test_a_picture_is_small_enough_to_be_seen_without_a_click_whatever_it_draws(values: list[float]) -> None:
    for draw in (bars, line):
        text = str(draw("what it is, in some words of no great length", values, "from 1 to 2 USD " * 60).value)
        assert len(text) < SHOWN
        assert text.startswith("![") or text.endswith("there is nothing to draw")


@pytest.mark.parametrize(("values", "points"), [([1.0, 2.0], 2), ([1.0] * 40, 40), (range(1_500), 40)])
def test_each_value_has_its_bar_up_to_forty(values: list[float], points: int) -> None:
    svg = drawn(bars("weights", values, "1 to 2"))
    path = svg[0].attrib["d"]
    assert path.count("v") == points
    assert svg.attrib["viewBox"] == f"0 0 {6 * points} 48"


def test_bars_go_up_and_down_from_one_line_and_end_at_the_extremes() -> None:
    path = drawn(bars("drift", [10.0, 5.0, -10.0], "")).find("{http://www.w3.org/2000/svg}path")
    assert path is not None
    # Up 23 from the middle, back and up 12, back and down 23.
    assert path.attrib["d"] == "M3 24v-23m6 23v-12m6 12v23"


def test_a_line_goes_from_the_lowest_to_the_highest() -> None:
    path = drawn(line("equity", [100.0, 50.0, 150.0], ""))[0]
    assert path.attrib["d"] == "M0 24 6 46 12 2"


def test_under_the_picture_stands_its_scale_and_its_name_is_read_out() -> None:
    text = str(bars("weights", [1.0], "from 1 % to 2 %").value)
    assert text.startswith("![weights](data:image/svg+xml;base64,")
    assert text.endswith(")\n\nfrom 1 % to 2 %")


def test_what_is_no_number_is_not_drawn() -> None:
    assert bars("weights", [float("nan")], "").value == "weights: there is nothing to draw"
    assert line("equity", [1.0], "").value == "equity: there is nothing to draw"
