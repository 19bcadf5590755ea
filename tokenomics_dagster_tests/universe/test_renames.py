"""Who is who now, and what follows for tables of symbols."""

from datetime import UTC, date, datetime, timedelta

import pandas as pd

from tokenomics_dagster.model.trading import CorporateAction
from tokenomics_dagster.universe import renames

MONDAY = datetime(2026, 8, 31, 14, 5, tzinfo=UTC)
LAST_WEEK = MONDAY - timedelta(days=7)
TODAY = date(2026, 8, 31)


def test_a_rename_is_known_by_announcement_asset_id_or_figi_and_only_of_what_is_gone():
    change = CorporateAction("name_change", "FB", "META", None, TODAY, TODAY)
    again = CorporateAction("name_change", "META", "MVRS", None, TODAY, TODAY)
    assert renames.announced([change], {"META"}) == {"FB": "META"}
    assert renames.announced([change, again], {"MVRS"}) == {"FB": "MVRS", "META": "MVRS"}
    assert renames.announced([change], {"META", "FB"}) == {}, "the old symbol is somebody else's now"
    assert renames.announced([change], {"AAPL"}) == {}, "not yet"
    assert renames.announced([CorporateAction("stock_merger", "FB", "META", None, TODAY, TODAY)], {"META"}) == {}
    assert renames.by_identity({"FB": "1", "A": "2"}, {"META": "1", "A": "2"}) == {"FB": "META"}
    assert renames.by_identity({"FB": "1"}, {"META": "1", "FB": "9"}) == {}
    assert renames.by_identity({"FB": "1", "A": ""}, {"META": "1", "META.A": "1", "B": ""}) == {}
    taken = renames.by_identity({"OLD": "1", "NEW": "2"}, {"NEW": "1", "NEWER": "2"})
    assert taken == {"OLD": "NEW"}, "its new symbol was another company's, which has a new one, too"


def test_a_table_moves_to_the_new_symbol_whose_own_row_stays():
    frame = pd.DataFrame({"symbol": ["FB", "AAPL"], "weight": [0.1, 0.2]})
    assert list(renames.renamed(frame, {"FB": "META"})["symbol"]) == ["META", "AAPL"]
    both = pd.DataFrame({"symbol": ["FB", "META"], "weight": [0.1, 0.2]})
    assert renames.renamed(both, {"FB": "META"}).to_dict("list") == {"symbol": ["META"], "weight": [0.2]}
    assert renames.renamed(frame, {"X": "Y"}) is frame


def test_a_universe_keeps_the_links_of_the_ones_before_while_the_new_symbol_is_followed():
    assert renames.followed_on({"FB": "META"}, {}, {"META"}) == {"FB": "META"}
    assert renames.followed_on({}, {"FB": "META"}, {"META"}) == {"FB": "META"}
    assert renames.followed_on({"META": "MVRS"}, {"FB": "META"}, {"MVRS"}) == {"FB": "MVRS", "META": "MVRS"}
    assert renames.followed_on({}, {"FB": "META"}, {"META", "FB"}) == {}, "the old symbol is somebody else's now"
    assert renames.followed_on({}, {"FB": "META"}, {"AAPL"}) == {}


def test_a_new_symbol_inherits_the_last_row_of_the_old_one_with_its_age_and_never_over_a_younger_one():
    old = {"symbol": "FB", "known_at": pd.Timestamp(LAST_WEEK), "roe": 20.0, "debt": float("nan")}
    inherited = {"symbol": "META", "known_at": LAST_WEEK, "roe": 20.0, "debt": None}
    assert renames.inherited(pd.DataFrame([old]), {"FB": "META", "X": "Y"}) == [inherited]
    for own, expected in ((LAST_WEEK, []), (MONDAY, []), (LAST_WEEK - timedelta(days=7), [inherited])):
        facts = pd.DataFrame([old, {**old, "symbol": "META", "known_at": pd.Timestamp(own)}])
        assert renames.inherited(facts, {"FB": "META"}) == expected
