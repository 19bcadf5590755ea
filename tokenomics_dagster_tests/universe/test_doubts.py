"""The universe against answers as Finnhub has given them: nothing that is held is sold because an answer lacks it."""

from typing import Any

import dagster as dg
import pytest

from tokenomics_dagster.portfolio.schema import TargetWeights
from tokenomics_dagster.universe.partitions import partition_changes
from tokenomics_dagster.universe.schema import Universe, UniverseDetails
from tokenomics_dagster_tests.conftest import Platform, failure_of
from tokenomics_dagster_tests.rewriting import Answer, Proxy

LISTINGS, PROFILE = "GET /api/v1/stock/symbol", "GET /api/v1/stock/profile2"


def without(symbols: set[str], changes: dict[str, dict[str, Any]], *more: dict[str, Any]) -> Any:
    """The listing without these symbols, with other values in some rows, and more rows."""

    def change(answer: Answer) -> None:
        rows = [row | changes.get(row["symbol"], {}) for row in answer.json if row["symbol"] not in symbols]
        answer.become(200, [*rows, *more])

    return change


def another(bodies: dict[str, dict[str, Any]]) -> Any:
    def change(answer: Answer) -> None:
        symbol = answer.query["symbol"][0]
        if symbol in bodies:
            answer.become(200, bodies[symbol])

    return change


def universe(platform: Platform) -> list[str]:
    frame = platform.store.load_snapshot("universe", Universe)
    assert frame is not None
    return list(frame["symbol"])


@pytest.mark.soak
def test_answers_that_lack_or_change_what_is_held_sell_nothing_and_are_told(platform: Platform, proxy: Proxy) -> None:
    platform.run_all()
    before = universe(platform)
    weights = platform.store.load_snapshot("target_weights", TargetWeights, partition="2026-08-24")
    assert weights is not None
    missing, empty, typed, moved, refused = list(weights["symbol"][:5])
    unknown = next(symbol for symbol in before if symbol not in set(weights["symbol"]))
    over_the_counter = {"symbol": "OTCQX", "type": "Common Stock", "mic": "OOTC", "currency": "USD", "figi": "BBGOTC"}
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": "2026-08-31T14:05:00Z"})
    changes = {typed: {"type": "Equity WRT"}, moved: {"mic": "XNEW"}}
    twice = (over_the_counter, over_the_counter | {"description": "another"})
    proxy.on(LISTINGS, without({missing, unknown}, changes, *twice))
    proxy.on(PROFILE, another({empty: {}, refused: {"ticker": "ELSE", "name": "Another"}}))
    proxy.before("GET /v2/positions", lambda answer: answer.become(500, {"message": "no"}), calls=[1, 2, 3, 4, 5])
    unread = platform.run("universe_refresh")
    assert not unread.success
    assert "/v2/positions" in failure_of(unread)
    assert universe(platform) == before, "while nobody knows what is held nothing leaves"

    # Run again, the refresh asks for little more than the one profile that failed, which is no part of much.
    # Five of 60 are a quarter of the market cap.
    platform.configure(guards__max_doubtful_pct=50.0)
    run = platform.run("universe_refresh")
    assert run.success, failure_of(run)
    assert universe(platform) == before
    [newest] = platform.store.history("universe", limit=1)
    waiting = {symbol: record.reason for symbol, record in newest.details_as(UniverseDetails).waiting.items()}
    assert waiting == {
        missing: "not listed any more",
        unknown: "not listed any more",
        empty: "no profile",
        typed: "type Equity WRT, not Common Stock",
        moved: "mic XNEW, not XNYS or XNAS or XNGS or XNMS or XNCM",
    }
    checks = {one.check_name: one for one in run.get_asset_check_evaluations() if one.asset_key.path == ["universe"]}
    assert [name for name, one in checks.items() if not one.passed] == ["waiting"]
    told = checks["waiting"].description
    assert told is not None
    assert all(f"{symbol} (rank " in told for symbol in (missing, empty, typed, moved))
    assert partition_changes(universe(platform), before, in_flight=False) == ([], [], [])

    platform.must_run("fundamentals_refresh", "score")
    platform.must_run("rebalance", week="2026-08-31", asset_selection=[dg.AssetKey("target_weights")])
    after = platform.store.load_snapshot("target_weights", TargetWeights, partition="2026-08-31")
    assert after is not None
    assert {missing, empty, typed, moved} <= set(after["symbol"])
