"""What belongs to a snapshot is stored as it always was, and what other versions stored is read.

recorded/two_weeks.sql.gz is what the code of commit 3e7bad5, before details had types, stored when it ran `two_weeks`
under this file's settings: the tables of the snapshots, as sqlite3's iterdump writes them.
"""

import gzip
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import ValidationError

from tokenomics_dagster.execution.schema import OrdersDetails, PortfolioReportDetails
from tokenomics_dagster.kit.room import imported
from tokenomics_dagster.model.details import Details
from tokenomics_dagster.portfolio.decide import as_of
from tokenomics_dagster.portfolio.schema import TargetWeightsDetails, TradePlan, TradePlanDetails
from tokenomics_dagster.settings.environment import load_environment
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.storage.records import WarehouseError
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster.universe.schema import PlannedDetails, Universe, UniverseDetails
from tokenomics_dagster_tests.conftest import Platform
from tokenomics_dagster_tests.rewriting import Proxy
from tokenomics_dagster_tests.storage import schemas
from tokenomics_dagster_tests.universe.test_doubts import LISTINGS, without

SINCE_SLEEVES = {"form", "sleeve", "period", "foreign", "taken"}
WEEK, NEXT = "2026-08-24", "2026-08-31"
RECORDED = Path(__file__).with_name("recorded") / "two_weeks.sql.gz"
DETAILS: dict[str, type[Details]] = {
    asset: imported(f"{model.__module__}.{model.__name__}Details") for asset, model in schemas.snapshots().items()
}


@pytest.fixture
def sandbox_options() -> dict[str, Any]:
    return {"listings": 150, "seed": 7}


def two_weeks(platform: Platform, proxy: Proxy) -> None:
    """Two weeks in which most of what is kept happens: a name that waits, one that is disputed, a rename, a spin-off,
    orders of somebody else.
    """
    platform.configure(
        universe__size=12,
        rebalancing__top_n_stocks=6,
        rebalancing__max_position_pct=20.0,
        rebalancing__rebalance_threshold_pct=1.0,
        trading__foreign_orders="skip",
        trading__foreign_positions="sell",  # as the recording code did
        guards__max_industry_pct=100.0,
        guards__max_doubtful_pct=50.0,
        guards__max_turnover_pct=100.0,
    )
    platform.run_all(WEEK)
    held = sorted(platform.broker().positions())
    renamed, parent, fallen, unlisted, ordered = held[:5]
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": "2026-08-28T15:00:00Z"})
    kid = {"new_symbol": "KID", "new_rate": 1, "old_rate": 2, "price": "20"}
    for action in (
        {"kind": "rename", "symbol": renamed, "new_symbol": "RENAMED"},
        {"kind": "spin_off", "symbol": parent, **kid},
    ):
        platform.sandbox.admin("POST", "/sandbox/actions", action)
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": f"{NEXT}T14:05:00Z"})
    twice = {"symbol": "TWICE", "type": "Common Stock", "mic": "XNYS", "currency": "USD"}
    proxy.on(LISTINGS, without({unlisted}, {}, twice | {"figi": "BBG1"}, twice | {"figi": "BBG2"}))
    platform.must_run("universe_refresh")
    platform.sandbox.admin("PATCH", f"/sandbox/metrics/{fallen}", {"roeTTM": -5000.0})
    platform.must_run("fundamentals_refresh", "score")
    universe = platform.store.load_snapshot("universe", Universe)
    assert universe is not None
    free = min(set(universe["symbol"]) - {*held, "RENAMED"})
    with platform.broker() as broker:
        broker.submit(ordered, "sell", "someone-1", qty=Decimal(1), limit_price=Decimal(100_000))
        broker.submit(free, "buy", "someone-2", qty=Decimal(1), limit_price=Decimal(1))
    platform.must_run("rebalance", week=NEXT)


def texts(url: str) -> dict[tuple[str, int], str]:
    """The details as they are stored, by asset and number of the snapshot."""
    engine = sa.create_engine(url)
    query = sa.text("select asset, id, cast(details as text) from snapshots order by id")
    try:
        with engine.connect() as connection:
            return {(asset, number): text for asset, number, text in connection.execute(query)}
    finally:
        engine.dispose()


@pytest.fixture
def recorded(tmp_path: Path) -> str:
    path = tmp_path / "recorded.db"
    with closing(sqlite3.connect(path)) as database:
        database.executescript(gzip.decompress(RECORDED.read_bytes()).decode())
    return f"sqlite:///{path}"


@pytest.fixture(params=["two weeks", *schemas.EARLIER, schemas.migrations.LATEST])
def earlier(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Warehouse, str]]:
    """What an earlier version has stored, and its address."""
    if request.param == "two weeks":
        url = str(request.getfixturevalue("recorded"))
    else:
        url = f"sqlite:///{tmp_path}/warehouse.db"
        schemas.build(request.param, url)
    with closing(Warehouse(url, upgrade=True)) as store:
        yield store, url


SINCE = {"backtest", "daily_bars", "tuning"}
"""Assets that the recording versions did not have."""


def test_what_earlier_versions_stored_is_read_whole_and_would_be_stored_as_it_is(
    earlier: tuple[Warehouse, str],
) -> None:
    store, url = earlier
    stored = texts(url)
    assert {asset for asset, _ in stored} == set(DETAILS) - SINCE
    for asset, model in schemas.snapshots().items():
        for snapshot in store.history(asset):
            found = store.load_stored(asset, model, DETAILS[asset], partition=snapshot.partition, as_of=snapshot.as_of)
            assert found is not None
            assert (found.id, len(found.frame)) == (snapshot.id, snapshot.row_count)
            assert found.details == snapshot.details_as(DETAILS[asset])
            assert json.dumps(found.details.to_document()) == stored[asset, snapshot.id]
            assert found.details.model_extra == {}, "every key has its field"


@pytest.mark.soak
def test_the_chain_stores_what_it_always_stored(platform: Platform, proxy: Proxy, recorded: str) -> None:
    two_weeks(platform, proxy)
    url = load_environment().tokenomics_database_url.get_secret_value()
    now, then = texts(url), texts(recorded)
    assert [(asset, forms(_of_before_sleeves(json.loads(text)))) for (asset, _), text in now.items()] == [
        (asset, forms(json.loads(text))) for (asset, _), text in then.items()
    ]


def _of_before_sleeves(details: dict[str, Any]) -> dict[str, Any]:
    """Without what plans have told since there are sleeves, what decides it all again, and whose plan orders are of."""
    plan = {key: value for key, value in details.get("plan", {}).items() if key not in SINCE_SLEEVES}
    since = {"own", "inputs", "quotes", "plans", "flows", "flows_since", "is_starter"}
    since |= {"rules", "barred"} if "sweep" in details else set()
    kept = {key: plan if key == "plan" else value for key, value in details.items() if key not in since}
    if "plan_id" in kept:
        kept["plan_id"] = str(kept["plan_id"]).removeprefix("fundamentals-")
    return kept


_INSTANT = re.compile(r"\d{4}-\d\d-\d\d([T ])\d\d:\d\d:\d\d(\.\d{6})?\+00:00")
_DECIMAL = re.compile(r"-?\d+(\.\d+)?(E[+-]\d+)?")


def forms(value: Any) -> Any:
    """The form of a JSON value: keys in their order, of each value its kind, of a text whether it is an instant, an
    amount or else; without what depends on the instant of the run.
    """
    if isinstance(value, dict):
        return [(key, forms(one)) for key, one in value.items()]
    if isinstance(value, list):
        return [forms(one) for one in value]
    if not isinstance(value, str):
        return type(value).__name__
    if instant := _INSTANT.fullmatch(value):
        return f"instant with {instant[1]!r}"
    return "amount" if _DECIMAL.fullmatch(value) else re.sub(r"[0-9a-f]{12,}|[\d.,]+", "0", value)


def test_what_the_first_version_did_not_store_is_told_apart_from_what_is_empty(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/warehouse.db"
    schemas.build(1, url)
    with closing(Warehouse(url)) as store:
        [plan] = (one.details_as(TradePlanDetails) for one in store.history("trade_plan"))
        [orders] = (one.details_as(OrdersDetails) for one in store.history("orders"))
        [report] = (one.details_as(PortfolioReportDetails) for one in store.history("portfolio_report"))
        [universe] = (one.details_as(UniverseDetails) for one in store.history("universe"))
        [weights] = store.history("target_weights")
    assert (plan.not_planned, orders.fulfilment, report.cash_meant) == (None, None, None)
    assert (plan.doubted, plan.asset_ids, plan.renamed, universe.waiting, universe.renamed) == ({}, {}, {}, {}, {})
    told, settings = weights.details_as(TargetWeightsDetails), load_settings()
    assert (told.universe_as_of, told.rules) == (None, None)
    again = as_of(date.fromisoformat(WEEK), datetime(2026, 9, 1, tzinfo=UTC), weights, settings)
    assert again.universe_known_at == weights.as_of, "it was told of no other"
    assert (again.scores_known_at, again.rules) == (told.scores_as_of, settings.rebalancing)


def test_what_a_later_version_stores_is_kept_and_what_is_damaged_is_one_sentence(recorded: str) -> None:
    with closing(Warehouse(recorded)) as store:
        newest = store.history("trade_plan", limit=1)[0]
        document = {**newest.details, "of_tomorrow": {"a": [1, 2.5]}}
        later = TradePlanDetails.model_validate(document)
        assert later.to_document() == document
        engine = sa.create_engine(recorded)
        with engine.begin() as connection:
            connection.execute(
                sa.text("update snapshots set details = :details where id = :id"),
                {"details": json.dumps({**newest.details, "renamed": {"A": 1}}), "id": newest.id},
            )
        engine.dispose()
        said = rf"the details of snapshot {newest.id} of trade_plan break TradePlanDetails, first renamed\.A \(.*hand"
        with pytest.raises(WarehouseError, match=said):
            store.load_stored("trade_plan", TradePlan, TradePlanDetails, partition=NEXT)
        with pytest.raises(WarehouseError, match=said):
            store.history("trade_plan", limit=1)[0].details_as(TradePlanDetails)
        assert store.load_snapshot("trade_plan", TradePlan, partition=NEXT) is not None, "its rows are what they were"


def test_what_rooms_below_read_of_a_plan_is_what_the_plan_stores(recorded: str) -> None:
    with closing(Warehouse(recorded)) as store:
        newest = store.history("trade_plan", limit=1)[0]
    read, stored = newest.details_as(PlannedDetails), newest.details_as(TradePlanDetails)
    assert read.asset_ids == stored.asset_ids != {}
    assert (read.plan.account, read.plan.foreign) == (stored.plan["account"], stored.plan.get("foreign", {}))
    assert read.plan.account


def test_every_detail_says_what_it_is_and_those_that_earlier_versions_lack_say_so() -> None:
    for asset, model in DETAILS.items():
        assert issubclass(model, Details), asset
        for name, field in model.model_fields.items():
            assert field.description, f"{asset}.{name}"
            assert field.is_required() or "earlier versions" in field.description, f"{asset}.{name}"


@pytest.mark.parametrize(("field", "infinity"), [("not_planned", False), ("bound_cash", True)])
def test_an_amount_is_a_number_and_infinite_only_where_nobody_can_tell_it(field: str, infinity: bool) -> None:
    for text, allowed in {"1.50": True, "Infinity": infinity, "NaN": False}.items():
        document = {"plan": {}, field: {"X": text}}
        if allowed:
            assert TradePlanDetails.model_validate(document).to_document() == document
        else:
            with pytest.raises(ValidationError):
                TradePlanDetails.model_validate(document)
