"""The page of a week: whole by itself, escaped, small, and as well on a phone or paper as on a screen."""

import re
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tokenomics_dagster.reports.charts import Bar, _round_numbers, bars
from tokenomics_dagster.reports.page import page, summary
from tokenomics_dagster.reports.performance import Value, measure
from tokenomics_dagster.reports.summary import week_in_lines
from tokenomics_dagster.reports.week import Left, Move, WeekReport
from tokenomics_dagster_tests.browser import LOOKS, Page, browser, must_be_sound
from tokenomics_dagster_tests.reports.conftest import FIRST, HOSTILE, SECOND, UI, Weeks


class Outline(HTMLParser):
    """The tags of a page: each closed that is opened, its headings, ids, links, what it would fetch."""

    VOID = frozenset({"meta", "br", "path", "rect", "line", "circle", "polygon"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[int] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[str, list[str]] = {"svg": [], "figure": []}
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.seen.append((tag, known))
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if "id" in known:
            self.ids.append(str(known["id"]))
        if tag == "a":
            self.links.append(str(known["href"]))
        self.fetched += [str(known[name]) for name in ("src", "action", "data", "srcset", "poster") if name in known]
        for around in self.inside.keys() & {*self.open}:
            self.inside[around][-1] += f" {tag}"
        if tag in self.inside and tag not in self.open:
            self.inside[tag].append("")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


@pytest.mark.parametrize("week", [FIRST, SECOND])
def test_the_page_fetches_nothing_and_runs_nothing(weeks: Weeks, week: object) -> None:
    text = weeks.pages[week]  # type: ignore[index]
    outline = Outline(text)
    assert outline.fetched == []
    assert {tag for tag, _ in outline.seen}.isdisjoint({"script", "link", "img", "iframe", "object", "form", "base"})
    assert not any(name.startswith("on") for _, known in outline.seen for name in known)
    assert not re.search(r"url\(|@import|javascript:", text)
    assert "default-src 'none'" in text


def test_what_comes_from_outside_is_text_and_never_markup(weeks: Weeks) -> None:
    told = weeks.report(SECOND)
    assert HOSTILE in {one.name for one in told.holdings}, "a company's name"
    assert told.changes is not None
    everywhere = replace(
        told,
        account=HOSTILE,
        foreign=[HOSTILE],
        trades=[replace(one, symbol=HOSTILE, why=HOSTILE, note=HOSTILE, status=HOSTILE) for one in told.trades[:2]],
        left=[Left(HOSTILE, HOSTILE, Decimal(1), HOSTILE, HOSTILE), Left("A", HOSTILE, None, HOSTILE, HOSTILE)],
        holdings=[replace(one, symbol=HOSTILE, industry=HOSTILE, reported=HOSTILE) for one in told.holdings[:3]],
        industries=[replace(one, industry=HOSTILE) for one in told.industries],
        changes=replace(told.changes, moves=[Move(HOSTILE, HOSTILE, 1, 2, True, HOSTILE)], left=[(HOSTILE,) * 3]),
        quality=replace(
            told.quality, quarantined=[(HOSTILE, HOSTILE)], waiting=[(HOSTILE, HOSTILE)], failed=[(HOSTILE, HOSTILE)],
            no_score=[(HOSTILE, 1)], doubted=[HOSTILE], flaws=[HOSTILE],
        ),
        sources=[replace(one, run_id='"><script>') for one in told.sources],
    )  # fmt: skip
    text = page(everywhere, UI)
    Outline(text)
    assert "<script" not in text
    assert text.count("&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt; &amp; &quot;Sons&quot;") >= 40


def test_a_screen_reader_finds_landmarks_headings_in_order_and_what_each_picture_shows(weeks: Weeks) -> None:
    outline = Outline(weeks.pages[SECOND])
    tags = [tag for tag, _ in outline.seen]
    assert [tags.count(one) for one in ("header", "nav", "main", "footer", "h1")] == [1, 1, 1, 1, 1]
    assert outline.headings[0] == 1
    assert all(after <= before + 1 for before, after in zip(outline.headings, outline.headings[1:], strict=False))
    assert len(outline.ids) == len(set(outline.ids))
    assert len(outline.inside["svg"]) >= 5
    assert all(drawn.split()[:2] == ["title", "desc"] for drawn in outline.inside["svg"])
    assert all("table" in held for held in outline.inside["figure"])
    assert all(known.get("scope") in ("col", "row") for tag, known in outline.seen if tag == "th")
    images = [known for tag, known in outline.seen if tag == "svg" and "class" not in known]
    assert all(known["role"] == "img" and known["aria-label"] for known in images)


def test_links_lead_to_the_runs_to_the_assets_or_within_the_page(weeks: Weeks) -> None:
    told, outline = weeks.report(SECOND), Outline(weeks.pages[SECOND])
    inside = {one[1:] for one in outline.links if one.startswith("#")}
    assert inside <= set(outline.ids)
    outside = {one for one in outline.links if not one.startswith("#")}
    runs = {f"{UI}/runs/{one.run_id}" for one in told.sources}
    assets = {f"{UI}/assets/{one.table}" for one in told.sources}
    assert outside == runs | assets
    assert {one.table for one in told.sources} == {
        "universe", "scores", "target_weights", "trade_plan", "orders", "portfolio_report",
    }  # fmt: skip
    assert {urlsplit(one).hostname for one in outside} == {"ui.test"}


def _hundred(told: WeekReport, traded: int = 100) -> WeekReport:
    """A week in which of 100 names some are traded and the others left as they are, after 60 weeks of record."""
    name = "A company with the name number {} Holdings Inc"
    holdings = [replace(told.holdings[n % 14], symbol=f"SYM{n}", name=name.format(n)) for n in range(100)]
    trades = [replace(told.trades[n % 20], symbol=f"SYM{n}", name=name.format(n)) for n in range(traded)]
    reason = "drift of 12.34% of the target is under the threshold of 20.00%"
    left = [Left(f"SYM{n}", name.format(n), None, "left as it is", reason) for n in range(traded, 100)]
    industries = [replace(told.industries[0], industry=f"Industry {n}") for n in range(40)]
    earned = told.earned
    assert earned.performance is not None
    last = earned.performance.until
    values = [Value(last - timedelta(weeks=60 - n), Decimal(100_000 + 97 * (n % 9))) for n in range(61)]
    standings = [replace(earned.standings[-1], week=one.day, at=one.at, equity=one.usd) for one in values]
    record = replace(earned, performance=measure(values, earned.flows), standings=standings)
    return replace(told, holdings=holdings, trades=trades, left=left, industries=industries, earned=record)


@pytest.mark.parametrize("traded", [100, 40, 0])
def test_a_hundred_holdings_after_more_than_a_year_are_under_200_kb(weeks: Weeks, traded: int) -> None:
    text = page(_hundred(weeks.report(SECOND), traded), UI)
    assert text.count("<b>SYM99</b>") == 3
    assert len(text.encode()) < 200_000


def test_of_long_tables_the_first_rows_are_shown_with_their_sum_and_the_others_are_folded(weeks: Weeks) -> None:
    text = page(_hundred(weeks.report(SECOND)), UI)
    for section, sums in (("traded", 1), ("holdings", 2)):
        inside = text.partition(f'<section id="{section}">')[2].partition("</section>")[0]
        first, folded = inside.split("<summary>The other 80</summary>")
        assert (first.count('<th scope="row">'), folded.count('<th scope="row">')) == (20 + sums, 80)
        assert "<tfoot>" in first
    short = page(weeks.report(SECOND), UI)
    assert "The other" not in short.partition('<section id="holdings">')[2].partition("</section>")[0]


def test_what_is_not_known_is_said_and_never_a_zero(weeks: Weeks) -> None:
    told = weeks.report(SECOND)
    holding = replace(
        told.holdings[0], value=None, weight=None, drift=None, price=None, score=None, parts={}, no_score="lost"
    )
    bare = replace(
        told, cash_meant=None, planned_usd=None, untraded_usd=None, money=None, changes=None, score_rules=None,
        trades=[replace(one, planned_usd=None, planned_price=None, more_usd=None) for one in told.trades],
        holdings=[holding], industries=[],
        quality=replace(told.quality, followed=None, followed_at=None, scored=None, missing={}, ages=[], asked=None),
    )  # fmt: skip
    text = page(bare, UI)
    for said in (
        "how much was meant to stay is not recorded",
        "the plan of an order of this week is not stored",
        "The week has no stored plan",
        "There is no earlier report of a week to compare with.",
        "has none: lost.",
        "What the week meant to trade is not recorded",
    ):
        assert said in text
    assert "nan" not in text.lower().replace("nano", "").replace("finan", "")
    assert "None" not in text


def test_of_orders_whose_end_was_not_known_the_page_and_the_message_never_say_that_nothing_was_traded(
    weeks: Weeks,
) -> None:
    told = weeks.report(FIRST)
    begun = [replace(one, status="pending_new", qty=Decimal(0), usd=Decimal(0)) for one in told.trades]
    end = f"the end of {len(begun)} orders is not known: `tokenomics orders`"
    stopped = replace(told, trades=begun)
    assert summary(stopped).startswith(f"What was traded is not known, for {end}. On ")
    assert summary(replace(told, trades=[*begun[1:], told.trades[0]])).startswith("At least 1 name was bought for ")
    lines, _ = week_in_lines(stopped)
    assert lines[2] == f"Costs: not known, for the end of {len(begun)} orders is not."
    said = page(stopped, UI)
    assert f"The end of {len(begun)} orders was not known at the report" in said
    assert "Nothing was traded" not in said
    assert summary(told).startswith(f"{len(begun)} names were bought")


def test_what_was_meant_and_not_traded_stands_with_its_sum_and_why(weeks: Weeks) -> None:
    told = weeks.report(SECOND)
    missed = [Left("AAA", "Alpha", Decimal("1200.50"), "refused", "insufficient buying power", True)]
    text = page(replace(told, left=missed, planned_usd=Decimal(5000), untraded_usd=Decimal("1200.50")), UI)
    assert "1,200.50 of 5,000.00 USD that were meant were not traded, in 1 name." in text
    assert "insufficient buying power" in text
    assert "<b>24.0 %</b>" in text


def test_bars_stay_inside_their_picture_whatever_their_length() -> None:
    drawn = bars("x", [Bar("a", (3.0, 4.0), "7"), Bar("b", (0.0,), "0", 9.0), Bar("c", (-1.0,), "-1")], most=5.0)
    for x, wide in re.findall(r'x="([\d.]+)%" y="\d+" width="([\d.]+)%"', drawn):
        assert float(x) + float(wide) <= 79.01
    assert 'x1="79.00%"' in drawn


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> "object":
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.mark.parametrize("look", LOOKS, ids=str)
def test_in_a_browser_nothing_is_asked_for_nothing_complains_and_all_is_drawn(
    weeks: Weeks, tmp_path: Path, tab: Page, look: tuple[int, str, str]
) -> None:
    file = tmp_path / "page.html"
    file.write_text(page(_hundred(weeks.report(SECOND)), UI))
    must_be_sound(tab, file, look, pictures=5)
    shown = tab.evaluate("getComputedStyle(document.querySelector('nav')).display")
    assert (shown == "none") == (look[2] == "print")


def test_in_a_browser_the_name_that_an_attacker_chose_is_read_as_he_wrote_it(
    weeks: Weeks, tmp_path: Path, tab: Page
) -> None:
    file = tmp_path / "page.html"
    file.write_text(weeks.pages[SECOND])
    must_be_sound(tab, file, LOOKS[0], pictures=5)
    assert HOSTILE in tab.evaluate("document.body.textContent")
    assert tab.evaluate("document.scripts.length") == 0


@pytest.mark.parametrize(
    ("escaped", "planted", "seen"),
    [
        ("&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;", "<script>alert(1)</script>", "script"),
        ("</main>", '<img src="http://127.0.0.1:9/seen.png"></main>', "127.0.0.1:9"),
        ("</main>", '<style>@import "http://127.0.0.1:9/x.css";</style></main>', "127.0.0.1:9"),
    ],
)
def test_a_page_that_let_through_what_it_must_not_would_be_seen_to(
    weeks: Weeks, tmp_path: Path, tab: Page, escaped: str, planted: str, seen: str
) -> None:
    """What the tests above find nothing of is found where it is; and the page's own policy refuses even then."""
    text = weeks.pages[SECOND]
    assert escaped in text
    file = tmp_path / "page.html"
    file.write_text(text.replace(escaped, planted, 1))
    with pytest.raises(AssertionError, match=re.escape(seen)):
        must_be_sound(tab, file, LOOKS[2], pictures=5)


@pytest.mark.parametrize(
    ("low", "high"), [(-0.04, 2.98), (0.0, 1.0), (99_000.0, 101_234.0), (-1e-9, 0.0), (-37.0, -2.0), (0.0, 0.3)]
)
def test_the_lines_across_a_picture_are_round_and_hold_what_is_drawn(low: float, high: float) -> None:
    marks = _round_numbers(low, high)
    assert 2 <= len(marks) <= 7
    assert marks[0] <= low + 1e-12
    assert marks[-1] >= high - 1e-12
    assert f"{marks[1] - marks[0]:.0e}"[0] in "125"
