"""The page and the screen of a result: nothing from outside, all of it escaped, each meaning where its figure is."""

import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from tokenomics_dagster.interfaces.cli import tables
from tokenomics_dagster.reports import charts
from tokenomics_dagster.research.backtest import study
from tokenomics_dagster.research.panel import Quarantined
from tokenomics_dagster.research.result import Refused, Result
from tokenomics_dagster.research.screen import screen
from tokenomics_dagster.research.statistics import TERMS
from tokenomics_dagster.research.tear_sheet import page
from tokenomics_dagster_tests.browser import LOOKS, Page, browser, must_be_sound
from tokenomics_dagster_tests.research.small_market import SETTINGS, experiment, market

HOSTILE = '<script>alert("x")</script> & "quotes"'


@pytest.fixture(scope="module")
def result() -> Result:
    with pytest.MonkeyPatch.context() as patch:
        import numba

        from tokenomics_dagster.research import engine

        patch.setattr(numba.config, "DISABLE_JIT", 1)
        patch.setattr(engine, "_loops", engine._loops.__wrapped__)
        asked = experiment(universe_size=35, top_n=5, fill="next_close", name=HOSTILE)
        panel = replace(market(sessions=320, names=40, late=0), barred=None)
        made = study(panel, None, asked, SETTINGS, portfolios=20)
    day = made.drawdowns[0].peak
    return replace(
        made, quarantined=(Quarantined("<B>&", day, day, HOSTILE),), warnings=(HOSTILE,), doubts=(HOSTILE, *made.doubts)
    )


class _Tags(HTMLParser):
    """Whether each tag that is opened is closed, and what the page would fetch."""

    VOID = frozenset({"meta", "br", "path", "rect", "line", "circle", "polygon"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.fetched += [str(value) for name, value in attrs if name in ("src", "href", "action", "data")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_the_page_fetches_nothing_runs_nothing_and_closes_what_it_opens(result: Result) -> None:
    text = page(result)
    tags = _Tags()
    tags.feed(text)
    assert tags.open == []
    assert tags.fetched == []
    assert tags.seen.isdisjoint({"script", "link", "img", "iframe", "object"})
    assert not re.search(r"https?://|url\(|@import", text)
    assert "default-src 'none'" in text


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.mark.parametrize("look", LOOKS, ids=str)
def test_in_a_browser_nothing_is_asked_for_nothing_complains_and_all_is_drawn(
    result: Result, tmp_path: Path, tab: Page, look: tuple[int, str, str]
) -> None:
    file = tmp_path / "page.html"
    file.write_text(page(result))
    must_be_sound(tab, file, look, pictures=4)
    assert HOSTILE in tab.evaluate("document.body.textContent")


def test_what_comes_from_a_file_is_text_and_never_markup(result: Result) -> None:
    text = page(result)
    assert "<script>" not in text
    assert "<B>" not in text
    assert text.count("&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt; &amp;") >= 5


def test_every_figure_has_its_meaning_where_it_stands_and_the_doubts_stand_above_all(result: Result) -> None:
    text = page(result)
    for name in ("sharpe", "sortino", "calmar", "max_drawdown", "turnover", "beta", "tracking_error"):
        assert TERMS[name].replace("&", "&amp;") in text.replace("&#x27;", "'")
    assert text.index("What this cannot show") < text.index("<h2>Figures</h2>")
    assert "@media (prefers-color-scheme: dark)" in text
    assert 'name="viewport"' in text


def test_what_is_refused_says_why_on_page_and_screen(result: Result) -> None:
    none = Refused("too few: 12 are needed")
    sure = replace(
        result.sure, intervals=none, difference=none, probabilistic=none, deflated=none, track_record_years=none,
        out_of_sample=none,
    )  # fmt: skip
    refused = replace(result, sure=sure, controls=[none], factors=none, sensitivity=none, capacity=none)
    assert page(refused).count("too few: 12 are needed") >= 8
    rows = screen(refused)["how sure"].rows
    assert ("Sharpe, 95 %", "refused", none.why) in rows


def test_a_result_fits_on_one_screen(result: Result) -> None:
    from tokenomics_dagster.interfaces.cli.terminal import _Terminal

    terminal = _Terminal(width=100, force_terminal=False)
    calm = replace(result, experiment=result.experiment.model_copy(update={"name": "mine"}), doubts=result.doubts[1:])
    with terminal.capture() as captured:
        for table in tables.backtest(screen(calm), 100):
            terminal.print(table)
    lines = captured.get().splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 100
    text = "\n".join(lines)
    for word in ("growth a year", "Sharpe", "largest drawdown", "universe, by cap", "random: eligible", "be ready for"):
        assert word in text


def test_a_line_leaves_a_gap_where_there_is_no_value_and_all_points_lie_in_the_picture() -> None:
    dates = np.datetime64("2024-01-01") + np.arange(50)
    values = np.linspace(1, 2, 50)
    values[20:25] = np.nan
    drawn = charts.lines("x", dates, [charts.Line("a", values, "c0")], log=True, told=str)
    paths = re.findall(r'd="(M[^"]+)"', drawn)
    assert len(paths) == 2
    for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", "".join(paths)):
        assert 0 <= float(x) <= 720
        assert 0 <= float(y) <= 240


@pytest.mark.parametrize("days", [2, 9, 45, 71, 250, 320, 470, 699, 702, 1_100, 3_000])
def test_the_dates_below_a_picture_do_not_touch_on_a_phone(days: int) -> None:
    dates = np.datetime64("2024-01-02") + np.arange(days)
    drawn = charts.lines("x", dates, [charts.Line("a", np.linspace(1, 2, days), "c0")], log=False, told=str)
    found = re.findall(r'<text x="([\d.]+)%" y="\d+" text-anchor="(\w+)">([^<]+)</text>', drawn)
    assert found[0][2].startswith("2024-01")
    end = -1.0
    for at, anchor, label in found:
        wide = 7.3 * len(label)  # of 328 pixels that are left of 360
        left = 3.28 * float(at) - wide * {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor]
        assert end < left
        end = left + wide
        assert left >= -1
        assert end <= 329


def test_the_deepest_point_of_a_drawdown_is_drawn_however_many_sessions_there_are() -> None:
    dates = np.datetime64("2000-01-01") + np.arange(5_000)
    values = np.zeros(5_000)
    values[1_237] = -0.5
    drawn = charts.area("x", dates, values, str)
    lowest = max(float(y) for _, y in re.findall(r"([\d.]+),([\d.]+)", drawn))
    assert lowest == pytest.approx(200, abs=0.1)  # of 240, for the axis ends at -0.6
