"""Plots: right for any figures, small, the same each time; and what each must show."""

import hashlib
import math
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from PIL import Image, ImageColor

from tokenomics_dagster.kit import plots
from tokenomics_dagster_tests.conftest import REPOSITORY

BLUE, ORANGE = "#2f6db3", "#d9660b"
SYMBOLS = [f"S{number}" for number in range(1500)]
RANDOM = np.random.default_rng(5)
CAPS = np.exp(RANDOM.normal(8.5, 1.5, 1500))
SCORES = np.clip(RANDOM.normal(55, 18, 1500), 0, 100)
BEFORE, AFTER = ({s: float(d) for s, d in zip(SYMBOLS, RANDOM.normal(0, at, 1500), strict=True)} for at in (0.01, 1e-3))
DAYS = np.busday_offset(np.datetime64("2021-01-29"), np.arange(1389), roll="forward")
EQUITY = 1e6 * np.exp(np.cumsum(RANDOM.normal(3e-4, 0.01, 1389)))
SHARES = {f"Industry number {number}": 1 / 60 for number in range(60)}

# Every plot as the assets draw it, with the figures of 1,500 stocks.
FULL: dict[str, Callable[[], bytes]] = {
    "score_distribution": lambda: plots.score_distribution(SCORES, SCORES[:1400] + 5),
    "weight_bars": lambda: plots.weight_bars(dict.fromkeys(SYMBOLS[:100], 0.01), 0.05),
    "industry_shares": lambda: plots.industry_shares(SHARES, 0.3),
    "missing_values": lambda: plots.missing_values(dict.fromkeys("abcdef", 0.1), 0.25),
    "cap_and_score": lambda: plots.cap_and_score(SYMBOLS, CAPS, SCORES, SYMBOLS[:100]),
    "drift_before_and_after": lambda: plots.drift_before_and_after(BEFORE, AFTER, 0.01),
    "caps_by_rank": lambda: plots.caps_by_rank(CAPS, CAPS[:1400]),
    "equity_curves": lambda: plots.equity_curves(DAYS, {"mine": EQUITY, "universe": EQUITY[::-1], "by cap": EQUITY**2}),
    "underwater": lambda: plots.underwater(DAYS, EQUITY),
}
# The same plots of a list of names and figures, whatever they are.
OF_ANYTHING: dict[str, Callable[[dict[str, float], float], bytes]] = {
    "score_distribution": lambda found, _: plots.score_distribution(list(found.values()), [50.0, math.nan]),
    "weight_bars": lambda found, limit: plots.weight_bars(found, limit),
    "industry_shares": lambda found, limit: plots.industry_shares(found, limit),
    "missing_values": lambda found, limit: plots.missing_values(found, limit),
    "cap_and_score": lambda found, _: plots.cap_and_score(found, [*found.values()], [*found.values()], [*found][:2]),
    "drift_before_and_after": lambda found, limit: plots.drift_before_and_after(found, {"A": 0.1}, limit),
    "caps_by_rank": lambda found, _: plots.caps_by_rank(list(found.values()), [1.0]),
    "equity_curves": lambda found, _: plots.equity_curves(
        DAYS[: len(found)], {name: list(found.values()) for name in [*found][:5]}
    ),
    "underwater": lambda found, _: plots.underwater(DAYS[: len(found)], list(found.values())),
}


def read(png: bytes) -> Image.Image:
    image = Image.open(BytesIO(png), formats=["PNG"])
    image.load()
    return image


def count(png: bytes, colour: str) -> int:
    """Pixels of about that colour."""
    away = np.abs(np.asarray(read(png).convert("RGB"), dtype=int) - ImageColor.getrgb(colour)).max(axis=2)
    return int((away < 24).sum())


def test_every_plot_is_tested() -> None:
    public = {name for name, made in vars(plots).items() if getattr(made, "__module__", "") == plots.__name__}
    assert {name for name in public if not name.startswith("_")} == set(FULL) == set(OF_ANYTHING)


@cache
def drawn(name: str) -> bytes:
    return FULL[name]()


@pytest.mark.parametrize("name", FULL)
def test_a_plot_of_1500_stocks_is_small_and_says_what_each_axis_shows_in_which_unit(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    for axis in ("set_xlabel", "set_ylabel"):
        original = getattr(Axes, axis)

        def spy(axes: Axes, text: str, *args: Any, original: Any = original, **options: Any) -> Any:
            said.append(text)
            return original(axes, text, *args, **options)

        monkeypatch.setattr(Axes, axis, spy)
    png = FULL[name]()
    assert read(png).size == (800, 440)
    assert len(b64encode(png)) <= 40_000
    names, units = (
        {"symbol", "industry", "metric", "session"},
        ("points", "number", "percent of ", "USD", "1 = largest"),
    )
    assert len(said) == 2
    assert all(label in names or any(unit in label for unit in units) for label in said)
    assert not set(said) <= names


@pytest.mark.soak
def test_plots_have_the_same_bytes_each_time_from_any_thread() -> None:
    with ThreadPoolExecutor(len(FULL)) as pool:
        together = dict(zip(FULL, pool.map(lambda draw: draw(), FULL.values()), strict=True))
    assert together == {name: drawn(name) for name in FULL}


@pytest.mark.parametrize("name", OF_ANYTHING)
@settings(max_examples=2)
@given(
    found=st.dictionaries(st.text(max_size=40), st.floats(), max_size=40),
    limit=st.floats(min_value=1e-3, max_value=1),
)
@example(found={"A": math.nan}, limit=0.05)
@example(found={"A": 0.5}, limit=0.05)
@example(found={"$x_{$": 0.0, "株式\n\t": -1.0, "C": 1e308, "D": 5e-324}, limit=0.05)
def test_every_plot_takes_any_figures_and_any_names(name: str, found: dict[str, float], limit: float) -> None:
    png = OF_ANYTHING[name](found, limit)
    assert read(png).size == (800, 440)
    assert len(b64encode(png)) <= 40_000


def test_no_figure_is_a_picture_that_says_so() -> None:
    nothing = plots.caps_by_rank([])
    assert count(nothing, BLUE) == 0
    assert nothing == plots.caps_by_rank([0.0, -5.0, math.inf])
    assert nothing != plots.caps_by_rank([1.0])


def test_the_background_is_white_whatever_the_page_is() -> None:
    image = read(drawn("weight_bars"))
    assert "transparency" not in image.info
    corners = [(0, 0), (799, 0), (0, 439), (799, 439)]
    pixels = np.asarray(image.convert("RGB"))
    assert min(pixels[y, x].min() for x, y in corners) > 250


def test_the_outline_of_the_last_scores_is_there_when_there_were_some() -> None:
    assert count(plots.score_distribution(SCORES), ORANGE) == 0
    assert count(plots.score_distribution(SCORES, SCORES - 10), ORANGE) > 500


def test_the_outline_of_the_last_scores_is_scaled_to_as_many_stocks() -> None:
    once, twice = (plots.score_distribution(SCORES, last) for last in (SCORES, np.tile(SCORES, 2)))
    assert count(once, BLUE) == pytest.approx(count(twice, BLUE), rel=0.005)
    assert count(once, ORANGE) == pytest.approx(count(twice, ORANGE), rel=0.005)


def test_a_weight_over_the_cap_passes_the_line() -> None:
    """The cap is a line from side to side: a bar that passes it leaves more blue above than one that keeps under it."""
    under, over = (np.asarray(read(plots.weight_bars({"A": w}, 0.05)).convert("RGB"), dtype=int) for w in (0.04, 0.06))
    orange, blue = (np.array(ImageColor.getrgb(colour)) for colour in (ORANGE, BLUE))

    def above_the_line(pixels: Any) -> int:
        rows = np.flatnonzero((np.abs(pixels - orange).max(axis=2) < 24).sum(axis=1) > 200)
        return int((np.abs(pixels[: rows[0]] - blue).max(axis=2) < 24).sum())

    assert above_the_line(under) == 0
    assert above_the_line(over) > 1000


def test_only_the_thirty_largest_weights_are_drawn() -> None:
    weights = {symbol: (1500 - rank) / 2e6 for rank, symbol in enumerate(SYMBOLS)}
    all_drawn = plots.weight_bars(weights, 0.05)
    assert plots.weight_bars({**weights, SYMBOLS[30]: weights[SYMBOLS[31]]}, 0.05) == all_drawn
    assert plots.weight_bars({**weights, SYMBOLS[29]: 0.04}, 0.05) != all_drawn


def test_industries_beyond_the_fifteen_largest_are_one_bar() -> None:
    shares = {f"Industry {number:02d}": (60 - number) / 1830 for number in range(60)}
    rest = {name: share for name, share in shares.items() if name >= "Industry 15"}
    merged = {name: share for name, share in shares.items() if name < "Industry 15"}
    evened = merged | dict.fromkeys(rest, sum(rest.values()) / len(rest))
    assert plots.industry_shares(shares) == plots.industry_shares(evened)


def test_held_names_stand_out() -> None:
    assert count(drawn("cap_and_score"), ORANGE) > 500
    none_held = plots.cap_and_score(SYMBOLS, CAPS, SCORES, ["unknown"])
    assert count(none_held, ORANGE) < 50  # the legend's dot


def test_ten_thousand_dots_are_a_small_picture_too() -> None:
    symbols = [str(number) for number in range(10_000)]
    caps, scores = np.exp(RANDOM.uniform(1, 14, 10_000)), RANDOM.uniform(0, 100, 10_000)
    assert len(b64encode(plots.cap_and_score(symbols, caps, scores, symbols[::3]))) <= 40_000


def test_drift_shows_the_names_farthest_off_before_or_after() -> None:
    small = dict.fromkeys(SYMBOLS[:40], 1e-4)
    first = plots.drift_before_and_after(small, small)
    for pair in (({**small, "Z": 0.05}, small), (small, {**small, "Z": -0.05})):
        assert plots.drift_before_and_after(*pair) != first
    near = [plots.drift_before_and_after({**small, name: 1e-5}, small) for name in ("Y", "Z")]
    assert near[0] == near[1]


def test_neither_a_home_that_cannot_be_written_nor_the_users_style_matters(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text("font.size: 30\naxes.facecolor: black\ntext.usetex: True\n")
    script = (
        "import hashlib\nfrom tokenomics_dagster.kit import plots\n"
        "print(hashlib.sha256(plots.weight_bars({'A': 0.04}, 0.05)).hexdigest())"
    )
    variables = {"HOME": "/proc/none", "PYTHONPATH": str(REPOSITORY), "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], cwd=tmp_path, env=variables, capture_output=True, text=True
    )
    assert done.stderr == ""
    assert done.stdout.strip() == hashlib.sha256(plots.weight_bars({"A": 0.04}, 0.05)).hexdigest()
    assert [path.name for path in tmp_path.iterdir()] == ["matplotlibrc"]
