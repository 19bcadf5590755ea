"""`tokenomics known`: what was known at an instant; and a past week, decided again today."""

import csv
import json
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from tokenomics_dagster.model.canonical import canonical_json
from tokenomics_dagster.operations.known import instant
from tokenomics_dagster.portfolio.schema import TargetWeights, TargetWeightsDetails
from tokenomics_dagster.storage.records import Made
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster_tests.conftest import Platform, failure_of
from tokenomics_dagster_tests.end_to_end.conftest import Command

WEEK, NEXT = "2026-08-24", "2026-08-31"


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-08-24T10:05:00-04:00", "2026-08-24T14:05:00+00:00"),
        ("2026-08-24T14:05:00Z", "2026-08-24T14:05:00+00:00"),
        ("2026-08-24", "2026-08-25T03:59:59.999999+00:00"),
        ("2026-11-01", "2026-11-02T04:59:59.999999+00:00"),  # clocks go back that day
        ("2026-03-08", "2026-03-09T03:59:59.999999+00:00"),
    ],
)
def test_an_instant_has_its_zone_and_a_date_is_its_end_in_new_york(text: str, at: str) -> None:
    assert instant(text) == datetime.fromisoformat(at)
    assert instant(text).tzinfo is UTC


@pytest.mark.parametrize(
    "text", ["2026-08-24T14:05:00", "yesterday", "", "2026-02-30", "9999-12-31", "0001-01-01T00+09"]
)
def test_what_is_no_instant_is_wrong_usage(command: Command, text: str) -> None:
    said = command("known", text)
    assert said.code == 2
    assert "its end in New York" in " ".join(said.err.replace("│", " ").split())


@pytest.fixture
def sandbox_options() -> dict[str, Any]:
    return {"listings": 150, "seed": 7}


@pytest.mark.soak
def test_each_instant_is_answered_as_it_was_then_and_a_past_week_decided_again_is_the_same(
    command: Command, platform: Platform, tmp_path: Path
) -> None:
    platform.configure(universe__size=25, rebalancing__top_n_stocks=10, rebalancing__max_position_pct=15.0)
    platform.must_run("universe_refresh", "fundamentals_refresh", "score")
    decide(platform, WEEK)
    decided = sealed(platform, WEEK)
    best = platform.store.load_snapshot("target_weights", TargetWeights, partition=WEEK)
    assert best is not None
    symbol = best["symbol"][0]
    then = command("known", "2026-08-25", "--json", tmp_path / "then.json")
    assert (then.code, then.err) == (0, "")
    assert "known at 2026-08-25 23:59:59 New York" in then.out
    for what in ("universe", "financials", "scores", "weights"):
        assert what in then.out
    assert f"week of {WEEK}" in then.out

    # A week later, under other figures and other settings.
    platform.sandbox.admin("PATCH", f"/sandbox/metrics/{symbol}", {"roeTTM": -50})
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": f"{NEXT}T14:05:00Z"})
    platform.must_run("fundamentals_refresh", "score")
    platform.configure(rebalancing__top_n_stocks=7, rebalancing__weighting="equal")
    decide(platform, NEXT)
    assert len(json.loads(sealed(platform, NEXT))["rows"]) == 7
    decide(platform, WEEK)
    assert len(platform.store.history("target_weights", partition=WEEK)) == 2
    assert sealed(platform, WEEK) == decided
    # That a past week is never traded is test_cycle's.

    # A week before the first, decided only now: it was not known then.
    refused = platform.run("rebalance", week="2026-08-17", asset_selection=[dg.AssetKey("target_weights")])
    assert "there were no scores" in failure_of(refused)
    assert command("known", "2026-08-25", "--json", tmp_path / "again.json").code == 0
    assert (tmp_path / "again.json").read_text() == (tmp_path / "then.json").read_text()

    figures = []
    for day in ("2026-08-25", NEXT):
        assert command("known", day, "--symbol", symbol.lower(), "--json", tmp_path / "one.json").code == 0
        document = json.loads((tmp_path / "one.json").read_text())
        assert {len(document[what]["rows"]) for what in ("universe", "financials", "scores")} == {1}
        figures.append(document["financials"]["rows"][0]["roe_ttm_pct"])
    assert figures[0] != -50.0 == figures[1]

    assert command("known", "2026-08-25", "--what", "weights", "--csv", tmp_path / "weights.csv").code == 0
    with (tmp_path / "weights.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["symbol"], float(row["weight"])) for row in rows] == list(
        zip(best["symbol"], best["weight"], strict=True)
    )

    assert "was known at 2026-08-20 23:59:59 New York in" in command("known", "2026-08-20").refused()
    assert "nothing was known of NOSUCH" in command("known", NEXT, "--symbol", "nosuch").refused()
    assert command("known", NEXT, "--csv", tmp_path / "all.csv").code == 2
    assert command("known", NEXT, "--what", "prices").code == 2


def decide(platform: Platform, week: str) -> None:
    platform.must_run("rebalance", week=week, asset_selection=[dg.AssetKey("target_weights")])


def sealed(platform: Platform, week: str) -> str:
    """Rows and details of the newest weights of a week, without the ids of snapshot and run."""
    found = platform.store.load_stored("target_weights", TargetWeights, TargetWeightsDetails, partition=week)
    assert found is not None
    rows, details = found.frame.to_dict("records"), found.details.to_document()
    return canonical_json({"rows": rows, "as_of": found.as_of, "details": details})


def test_weights_that_were_decided_later_for_an_earlier_week_were_not_known_before(
    command: Command, tmp_path: Path
) -> None:
    """They bear the instant at which the week would have been decided: it is their place in the order that tells."""
    url = f"sqlite:///{tmp_path}/warehouse.db"
    with closing(Warehouse(url)) as store:
        for week, day in (("2026-08-10", 10), ("2026-08-24", 24), ("2026-08-17", 17)):
            rows = pd.DataFrame([{"symbol": "AAA", "weight": 0.1, "score": 80.0, "market_cap_musd": 1.0, "rank": 1}])
            at = datetime(2026, 8, day, 14, tzinfo=UTC)
            made = Made(rows, at, TargetWeightsDetails(scores_as_of=at, cash_weight=0.9))
            store.save_snapshot("target_weights", TargetWeights, made, run_id="r", partition=week)
    for asked, week in (("2026-08-12", "2026-08-10"), ("2026-08-18", "2026-08-10"), ("2026-08-25", "2026-08-24")):
        said = command("known", asked, "--what", "weights", TOKENOMICS_DATABASE_URL=url)
        assert f"week of {week}" in said.out, said
