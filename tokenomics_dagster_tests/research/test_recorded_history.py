"""The recorded history and the recorded quarters, as they are."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from tokenomics_dagster.research.inputs import load_fundamentals, load_panel
from tokenomics_dagster.research.panel import Panel
from tokenomics_dagster.research.quarantine import EVERY_NAME
from tokenomics_dagster_tests.conftest import REPOSITORY
from tokenomics_dagster_tests.research.files import told

DATA = REPOSITORY.parent / "shared" / "data"
HISTORY = DATA / "history-2021-2026"
QUARTERS = DATA / "sec-fundamentals" / "fundamentals_quarterly.parquet"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the recorded history is not part of a public clone")


@pytest.fixture(scope="module")
def panel() -> Panel:
    return load_panel(HISTORY / "prices_daily.parquet", quarantine=True, universe_size=1_500)


def entries(panel: Panel, symbol: str, day: str) -> list[str]:
    """Why a name must not be chosen on a day."""
    at = date.fromisoformat(day)
    return [one.reason for one in panel.quarantined if one.symbol == symbol and one.first <= at <= one.last]


def out(panel: Panel, symbol: str, day: str) -> bool:
    assert panel.barred is not None
    row = int(np.searchsorted(panel.dates, np.datetime64(day)))
    return bool(panel.barred[row, panel.symbols.index(symbol)])


def test_its_size_and_its_weeks(panel):
    assert panel.price.shape == (1_389, 2_842)
    weeks = {tuple(day.isocalendar()[:2]) for day in panel.dates.tolist()}
    assert len(weeks) == 291
    assert int(np.isfinite(panel.price).sum()) == 3_248_167  # four of 3,248,171 rows have no price


def test_its_returns_are_those_of_a_plain_loop_over_its_rows(panel):
    """C2, read with pandas, for some names with defects."""
    pd = pytest.importorskip("pandas")
    wanted = ["SUNC", "ENJ", "CCZ", "ANET", "NVDA", "FB", "META", "SANA", "SIVB"]
    rows = pd.read_parquet(HISTORY / "prices_daily.parquet", filters=[("symbol", "in", wanted)])
    of_day = {(day, symbol): values for day, symbol, *values in rows.itertuples(index=False)}
    days = panel.dates.astype("datetime64[ns]")
    for symbol in wanted:
        before, expected = None, []
        for day in days:
            row = of_day.get((pd.Timestamp(day), symbol))
            change = np.nan if row is None else float(np.float32(row[1]))
            repeat = row is not None and before is not None and change != 0 and row[:3] == before[:3]
            expected.append(0.0 if np.isnan(change) or change > 300 or repeat else change / 100)
            before = row
        assert np.array_equal(panel.returns[:, panel.symbols.index(symbol)], expected), symbol


@pytest.mark.parametrize(
    ("symbol", "day", "factor"),
    [
        ("AMZN", "2022-06-06", "20 times"),
        ("IBM", "2022-12-19", "75 times"),
        ("CIGI", "2023-06-02", "1e+03 times"),
        ("ADSK", "2021-08-24", "24 times"),
    ],
)
def test_the_caps_that_are_off_are_named(panel, symbol, day, factor):
    (reason,) = entries(panel, symbol, day)
    assert "its market cap disagrees" in reason
    assert factor in reason
    assert out(panel, symbol, day)


def test_no_split_bars_a_name_whose_cap_is_right(panel):
    for symbol, day in (
        ("NVDA", "2024-06-10"),
        ("GOOGL", "2022-07-18"),
        ("AMZN", "2022-06-07"),
        ("NVDA", "2024-06-12"),
    ):
        assert not out(panel, symbol, day), symbol


@pytest.mark.parametrize("symbol", ["GOOGM", "GOOGN", "DUKB", "CCZ", "TBB", "BPYPP", "SOJC", "GOOG", "FOX", "UA"])
def test_securities_with_their_issuers_cap_are_out_and_the_issuers_most_traded_is_not(panel, symbol):
    assert out(panel, symbol, "2026-08-21")
    assert not any(out(panel, issuer, "2026-08-21") for issuer in ("GOOGL", "DUK", "CMCSA", "T", "SO", "FOXA", "UAA"))


@pytest.mark.parametrize(
    ("old", "new", "day"),
    [
        ("FB", "META", "2022-06-09"),
        ("ANTM", "ELV", "2022-06-28"),
        ("SNE", "SONY", "2021-04-01"),
        ("TOT", "TTE", "2021-06-11"),
    ],
)
def test_renames_are_named(panel, old, new, day):
    assert any(f"({old} went away, its shares are the same)" in reason for reason in entries(panel, new, day))
    assert out(panel, new, day)


def test_the_session_that_repeats_the_one_before_is_named(panel):
    (reason,) = entries(panel, EVERY_NAME, "2026-02-04")
    assert "42% of the names that moved repeat" in reason
    assert [one.symbol for one in panel.quarantined].count(EVERY_NAME) == 1


def test_what_was_found_is_told_with_its_numbers(panel):
    assert "2,425 rows repeat the name's row of the session before" in told(panel)
    assert "39 rows of 38 names" in told(panel)
    assert "17,966 rows of 640 names" in told(panel)


@pytest.mark.soak
def test_without_quarantine_the_same_is_told_and_nothing_is_barred(panel):
    plain = load_panel(HISTORY / "prices_daily.parquet", quarantine=False, universe_size=1_500)
    assert plain.barred is None
    assert plain.quarantined == ()
    assert len(plain.warnings) == len(panel.warnings)
    assert np.array_equal(plain.returns, panel.returns)


def test_the_weekly_figures_are_nineteen_snapshots():
    found = load_fundamentals(HISTORY / "fundamentals_weekly.parquet")
    assert len(found.symbol) == 23_275
    assert len(np.unique(found.known_at)) == 19
    since = found.known_at[np.isfinite(found.debt_to_equity)].min()
    assert since == np.datetime64("2026-05-16T06:25:48")
    assert found.snapshots
    assert np.isnan(found.book_value_per_share).all()


def test_the_quarters_give_the_figures_that_a_vendor_had():
    """Of 2026-05-23: medians and numbers of names beside the recorded snapshot of that day."""
    found = load_fundamentals(QUARTERS)
    at = np.datetime64("2026-05-23T21:00")
    known = (found.known_at <= at) & (found.known_at > at - np.timedelta64(180, "D"))
    newest = {symbol: row for row, symbol in zip(np.flatnonzero(known), found.symbol[known], strict=True)}
    weekly = load_fundamentals(Path(HISTORY / "fundamentals_weekly.parquet"))
    day = weekly.known_at == np.datetime64("2026-05-23T06:44:56")
    vendor = {symbol: row for row, symbol in zip(np.flatnonzero(day), weekly.symbol[day], strict=True)}
    both = [(newest[symbol], vendor[symbol]) for symbol in newest.keys() & vendor.keys()]
    rows, theirs = (np.array(side) for side in zip(*both, strict=True))
    for name, names, ours, of_vendor, correlation in (
        ("roe_ttm_pct", 387, 15.4, 16.2, 0.94),
        ("debt_to_equity", 76, 0.61, 0.68, 0.95),
        ("revenue_growth_yoy_pct", 1_155, 8.1, 8.1, 0.94),
        ("eps_growth_yoy_pct", 903, 14.9, 15.1, 0.93),
    ):
        one, other = getattr(found, name)[rows], getattr(weekly, name)[theirs]
        there = np.isfinite(one) & np.isfinite(other)
        ranks = [np.argsort(np.argsort(side[there])) for side in (one, other)]
        assert there.sum() == names, name
        assert np.median(one[there]) == pytest.approx(ours, abs=0.06), name
        assert np.median(other[there]) == pytest.approx(of_vendor, abs=0.06), name
        assert np.corrcoef(ranks[0], ranks[1])[0, 1] > correlation, name
