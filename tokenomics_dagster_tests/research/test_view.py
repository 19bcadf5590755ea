"""A view ends at its day: nothing later is in it, and nothing of it leads to what is later."""

from dataclasses import fields
from datetime import UTC, datetime

import numpy as np

from tokenomics_dagster.fundamentals.scoring import FIGURES
from tokenomics_dagster.research.altered import absurd, truncated
from tokenomics_dagster.research.known import universe
from tokenomics_dagster.research.view import View, views
from tokenomics_dagster_tests.research.small_market import SETTINGS, figures, market

GRIDS = ("price", "returns", "market_cap", "volume")


def seen(panel, told, *rows: int) -> list[View]:
    return list(views(panel, told, np.array(rows), 20, SETTINGS))


def same(one: View, other: View) -> None:
    assert (one.day, one.now, one.symbols, one.top_n) == (other.day, other.now, other.symbols, other.top_n)
    for name in (*GRIDS, "eligible"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.figures.equals(other.figures)


def test_a_view_has_the_sessions_up_to_its_day_and_the_names_that_had_appeared():
    panel, told = market(), figures(market())
    for view, row in zip(seen(panel, told, 3, 17, 59), (3, 17, 59), strict=True):
        appeared = ~np.isnan(panel.price[: row + 1]).all(axis=0)
        assert view.symbols == tuple(np.array(panel.symbols)[appeared])
        for name in GRIDS:
            np.testing.assert_array_equal(getattr(view, name), getattr(panel, name)[: row + 1, appeared])
        np.testing.assert_array_equal(view.eligible, universe(panel, row, 20)[appeared])
        assert view.day == panel.dates[row].item()
    assert len(seen(panel, told, 3)[0].symbols) < len(panel.symbols)


def test_what_comes_later_changes_nothing_in_a_view():
    panel, told = market(), figures(market())
    for row in (0, 10, 31):
        (view,) = seen(panel, told, row)
        same(view, *seen(*truncated(panel, told, row), row))
        same(view, *seen(*absurd(panel, told, row, seed=1), row))


def test_from_no_array_of_a_view_is_there_a_way_to_the_panel():
    panel = market()
    (view,) = seen(panel, figures(panel), 10)
    for name in (*GRIDS, "eligible"):
        array = getattr(view, name)
        while array is not None:
            assert not any(np.shares_memory(array, getattr(panel, grid)) for grid in GRIDS)
            assert array.size <= 11 * len(view.symbols)
            array = array.base


def test_who_writes_into_a_view_writes_into_nothing_else():
    panel = market()
    before = panel.price.copy()
    for view in views(panel, None, np.array([10, 11]), 20, SETTINGS):
        assert not (view.price == -1).any()
        view.price[:] = -1
        view.eligible[:] = True
    np.testing.assert_array_equal(panel.price, before)


def test_figures_are_those_of_names_that_had_appeared_and_that_were_known():
    panel = market()
    told = figures(panel)
    (view,) = seen(panel, told, 7)
    known = told.known_at == told.known_at[told.known_at <= np.datetime64(view.now.replace(tzinfo=None), "ns")].max()
    assert "STRANGER" not in view.figures.index
    assert list(view.figures.columns) == list(FIGURES)
    assert set(view.figures.index) == set(view.symbols)
    for symbol in view.symbols:
        row = np.flatnonzero(known & (told.symbol == symbol))[-1]
        assert view.figures.loc[symbol, "roe_ttm_pct"] == told.roe_ttm_pct[row]


def test_without_figures_there_is_an_empty_frame_of_their_columns():
    (view,) = seen(market(), None, 7)
    assert view.figures.empty
    assert list(view.figures.columns) == list(FIGURES)
    assert view.figures.reindex(list(view.symbols))["roe_ttm_pct"].isna().all()


def test_now_is_the_close_in_utc():
    (view,) = seen(market(), None, 0)
    assert view.now == datetime(2024, 1, 2, 21, tzinfo=UTC)


def test_a_view_has_no_field_that_these_tests_do_not_know():
    known = {"day", "now", "symbols", *GRIDS, "eligible", "figures", "settings", "top_n"}
    assert {field.name for field in fields(View)} == known
