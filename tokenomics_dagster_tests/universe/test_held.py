"""What a refresh of the universe takes for held."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal

import pandas as pd

from tokenomics_dagster.model.identity import FUNDAMENTALS
from tokenomics_dagster.model.trading import EQUITY, Asset
from tokenomics_dagster.portfolio.schema import TradePlan, TradePlanDetails
from tokenomics_dagster.storage.records import Adoption, Made
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster.universe.assets import _active, _foreign, _planned

MONDAY = datetime(2026, 8, 31, 14, 5, tzinfo=UTC)


def planned(
    store: Warehouse, account: str, foreign: Mapping[str, str | None] | None, **details: Mapping[str, str]
) -> None:
    document = {"account": account, "positions": {}, "plan_hash": "0" * 64}
    if foreign is not None:
        document["foreign"] = dict(foreign)
    values = dict.fromkeys(TradePlan.to_schema().columns)
    amounts = ("current_value", "target_value", "current_weight", "target_weight", "drift")
    row = {**values, "symbol": "X", "sequence": 1, "side": "none", "exit": False, "reason": "r"}
    frame = TradePlan.validate(pd.DataFrame([row | dict.fromkeys(amounts, 0.0)]))
    made = Made(frame, MONDAY, TradePlanDetails(plan=document, **details))
    store.save_snapshot("trade_plan", TradePlan, made, partition="2026-08-31", run_id="r")


def foreign_of(store: Warehouse, account: str) -> set[str]:
    return _foreign(_planned(store, account), store.adoptions(account))


def test_what_is_nobodys_counts_as_held_only_once_it_is_adopted() -> None:
    store = Warehouse("sqlite://")
    assert foreign_of(store, "PA1") == set(), "nothing has been planned"
    planned(store, "PA1", {"FOR": "10", "UNREAD": None})
    assert foreign_of(store, "PA1") == {"FOR", "UNREAD"}
    planned(store, "PA2", {"OTHER": "10"})
    assert foreign_of(store, "PA1") == {"FOR", "UNREAD"}, "what another account leaves alone does not concern this one"
    for account in ("PA2", "PA1"):
        store.adopt([Adoption(account, FUNDAMENTALS, "FOR", "1", Decimal(10), "ann", MONDAY)])
        assert foreign_of(store, "PA1") == ({"FOR", "UNREAD"} if account == "PA2" else {"UNREAD"})


def test_plans_of_before_there_was_foreign_stock_have_none() -> None:
    store = Warehouse("sqlite://")
    planned(store, "PA1", None)
    assert foreign_of(store, "PA1") == set()


def test_what_the_broker_has_renamed_is_there_though_no_listing_has_its_new_symbol_yet() -> None:
    """A held name had left with its rename of a month ago, for the listing lacked the new symbol that day."""
    store = Warehouse("sqlite://")
    assets = {"NEW": Asset("NEW", "active", True, True, "NYSE", (), EQUITY, "1")}
    assert _active(assets, _planned(store, "PA1")) == {"NEW"}, "nothing has been planned"
    planned(store, "PA1", None, asset_ids={"OLD": "1", "GONE": "2"})
    assert _active(assets, _planned(store, "PA1")) == {"NEW", "OLD"}
    assert _active(assets, _planned(store, "PA2")) == {"NEW"}
