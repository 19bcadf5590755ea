"""Unsound data in named ways: the right check, and only it, catches each before any order.

On the recorded market at the level of frames, and (soak) on a generated one through the sandbox with real jobs.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tokenomics_dagster.definitions import defs
from tokenomics_dagster.model.plan import PlannedOrder
from tokenomics_dagster.providers.finnhub.parsing import Listed, Listing
from tokenomics_dagster.providers.finnhub.resource import FinnhubResource
from tokenomics_dagster.sandbox.generated import generate
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster.universe.schema import Universe
from tokenomics_dagster_tests.checks.market import METRICS, Inputs, Stored, held, inputs, later, run, settings
from tokenomics_dagster_tests.conftest import Platform

Change = Callable[[pd.DataFrame, list[str]], pd.DataFrame]
Wrapper = Callable[[Callable[..., Any]], Callable[..., Any]]
FIGURES = [column for column in METRICS if column != "market_cap_musd"]
SCORING, JOBS = "score", ("universe_refresh", "fundamentals_refresh", "score", "rebalance")


@dataclass(frozen=True)
class Mutation:
    """What goes wrong: in an answer of a provider (`rows`, `profiles`, `metrics`), in a function of ours that `defect`
    wraps, or in time. `caught_by` is the one check that must say so."""

    caught_by: str
    rows: Change | None = None
    profiles: Change | None = None
    metrics: Change | None = None
    defect: tuple[str, Wrapper] | None = None
    given: Callable[[Inputs, Stored], Inputs] = lambda given, last: given
    # In the sandbox: settings, faults, days until the next jobs, and which.
    configured: dict[str, Any] = field(default_factory=dict)
    faults: tuple[dict[str, Any], ...] = ()
    days: int = 7
    jobs: tuple[str, ...] | None = JOBS


def scaled(columns: list[str], factor: float) -> Change:
    def change(frame: pd.DataFrame, names: list[str]) -> pd.DataFrame:
        return frame.assign(**{column: frame[column] * factor for column in columns})

    return change


def constant(column: str, value: float) -> Change:
    return lambda frame, names: frame.assign(**{column: frame[column].where(frame[column].isna(), value)})


def missing(columns: list[str], step: int) -> Change:
    def change(frame: pd.DataFrame, names: list[str]) -> pd.DataFrame:
        return frame.assign(**{c: frame[c].mask(frame["symbol"].isin(names[::step])) for c in columns})

    return change


def slipped(columns: list[str]) -> Change:
    """Figures of one name under the next one, by symbol."""

    def change(frame: pd.DataFrame, names: list[str]) -> pd.DataFrame:
        found = frame.set_index("symbol")
        order = sorted(names)
        found.loc[order, columns] = np.roll(found.loc[order, columns].to_numpy(), 1, axis=0)
        return found.reset_index()[list(frame.columns)]

    return change


def scaled_for(columns: list[str], factor: float, step: int) -> Change:
    def change(frame: pd.DataFrame, names: list[str]) -> pd.DataFrame:
        hit = frame["symbol"].isin(names[::step])
        return frame.assign(**{c: frame[c].mask(hit, frame[c] * factor) for c in columns})

    return change


def scaled_outside(columns: list[str], factor: float) -> Change:
    def change(frame: pd.DataFrame, names: list[str]) -> pd.DataFrame:
        inside = frame["symbol"].isin(names)
        return frame.assign(**{c: frame[c].where(inside, frame[c] * factor) for c in columns})

    return change


def over_the_counter(pick: Callable[[pd.DataFrame, list[str]], list[str]]) -> Change:
    return lambda frame, names: frame.assign(mic=frame["mic"].mask(frame["symbol"].isin(pick(frame, names)), "OOTC"))


def nasdaq(frame: pd.DataFrame) -> list[str]:
    return list(frame.loc[frame["mic"].isin(["XNAS", "XNGS", "XNMS", "XNCM"]), "symbol"])


def twice(frame: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    return pd.concat([frame, frame[frame["symbol"] == names[0]].assign(description="another")], ignore_index=True)


def lets_otc_in(candidates: Callable[..., Any]) -> Callable[..., Any]:
    return lambda listings, rules: candidates(listings.assign(mic=listings["mic"].replace("OOTC", "XNAS")), rules)


def after(change: Callable[[Any], Any]) -> Wrapper:
    return lambda function: lambda *args, **options: change(function(*args, **options))


def all_equal(scores: pd.DataFrame) -> pd.DataFrame:
    return scores.assign(score=scores["score"].where(scores["score"].isna(), 60.0))


def above_the_cap(weights: pd.DataFrame) -> pd.DataFrame:
    rest = weights["weight"].iloc[1:]
    others = rest * (weights["weight"].sum() - 0.15) / rest.sum() * (1 - 1e-12)
    return weights.assign(weight=[0.15, *others])


def three_names(weights: pd.DataFrame) -> pd.DataFrame:
    return weights.head(3).assign(weight=0.05)


def low_score(weights: pd.DataFrame) -> pd.DataFrame:
    return weights.assign(score=[*weights["score"].iloc[:-1], 10.0])


def sells_short(orders: tuple[PlannedOrder, ...]) -> tuple[PlannedOrder, ...]:
    bought = next(order for order in orders if order.side == "buy")
    return (PlannedOrder(bought.symbol, "sell", Decimal(1), None, bought.price), *orders)


def overspends(orders: tuple[PlannedOrder, ...]) -> tuple[PlannedOrder, ...]:
    return tuple(replace(one, notional=one.notional * Decimal("1.1")) if one.notional else one for one in orders)


PORTFOLIO = "tokenomics_dagster.portfolio"
MUTATIONS = {
    "debt/equity x100": Mutation("financials.medians", metrics=scaled(["debt_to_equity"], 100)),
    "growth as a fraction": Mutation(
        "financials.medians", metrics=scaled(["revenue_growth_yoy_pct", "eps_growth_yoy_pct"], 0.01)
    ),
    "ROE as a fraction": Mutation("financials.medians", metrics=scaled(["roe_ttm_pct"], 0.01)),
    "book value in cents": Mutation("financials.medians", metrics=scaled(["book_value_per_share"], 100)),
    "one metric all zero": Mutation("financials.varied", metrics=constant("roe_ttm_pct", 0.0)),
    "one metric constant": Mutation("financials.varied", metrics=constant("revenue_growth_yoy_pct", 15.0)),
    "half of the answers empty": Mutation("financials.present", metrics=missing(list(METRICS), 2)),
    "one metric missing": Mutation("financials.present", metrics=missing(["debt_to_equity"], 1)),
    "a tenth not fetched": Mutation(
        "financials.fetched",
        given=lambda given, last: replace(given, metrics=given.metrics[given.metrics.index % 10 > 0]),
        configured={"finnhub__max_attempts": 1},
        faults=({"endpoint": "GET /api/v1/stock/metric", "calls": [3, 13, 23, 33, 43, 53], "kind": "500"},),
    ),
    "financials of three weeks ago": Mutation(
        "financials.fresh",
        given=lambda given, last: replace(given, swept_at=given.now - timedelta(days=21)),
        days=21,
        jobs=("score", "rebalance"),
    ),
    "figures slipped to the next name": Mutation("scores.shift", metrics=slipped(FIGURES)),
    "an OTC listing let in": Mutation(
        "universe.exchanges",
        rows=over_the_counter(lambda frame, names: [s for s in names if s in set(nasdaq(frame))][:1]),
        defect=("tokenomics_dagster.universe.selection.candidates", lets_otc_in),
    ),
    "half of NASDAQ gone": Mutation("listings.exchanges", rows=over_the_counter(lambda frame, _: nasdaq(frame)[::2])),
    "half of all listings gone": Mutation("listings.size", rows=over_the_counter(lambda f, _: list(f["symbol"])[::2])),
    "caps in a foreign currency": Mutation("universe.quarantine", profiles=scaled_for(["market_cap_musd"], 7.0, 1)),
    "caps shifted by one row": Mutation("universe.quarantine", profiles=slipped(["market_cap_musd"])),
    "caps and shares not in millions": Mutation(
        "universe.caps", profiles=scaled(["market_cap_musd", "shares_outstanding_m"], 1e6)
    ),
    "the largest tenth not listed": Mutation(
        "universe.departures", rows=over_the_counter(lambda frame, names: names[: len(names) // 10])
    ),
    "a third of the caps in other units": Mutation(
        "universe.departures", profiles=scaled_for(["market_cap_musd", "shares_outstanding_m"], 0.001, 3)
    ),
    "a quarter of the universe replaced": Mutation(
        "universe.turnover",
        profiles=scaled_outside(["market_cap_musd", "shares_outstanding_m"], 1000.0),
        jobs=None,  # of the small sandbox only those near the smallest are asked for: 10 of 60, under the limit of 20 %
    ),
    "universe halved": Mutation(
        "universe.size",
        given=lambda given, last: replace(given, settings=settings(universe__size=500)),
        configured={"universe__size": 30},
    ),
    "scores all equal": Mutation(
        "scores.distribution", defect=("tokenomics_dagster.fundamentals.scoring.score", after(all_equal))
    ),
    "scores of three weeks ago": Mutation(
        "target_weights.scores_fresh",
        given=lambda given, last: replace(given, decided_at=given.now + timedelta(days=21)),
        days=21,
        jobs=("rebalance",),
    ),
    "a weight above the cap": Mutation(
        "target_weights.cap", defect=(f"{PORTFOLIO}.weights.target_weights", after(above_the_cap))
    ),
    "three names only": Mutation(
        "target_weights.count",
        defect=(f"{PORTFOLIO}.weights.target_weights", after(three_names)),
        configured={"rebalancing__max_position_pct": 5.0},
    ),
    "a score under the least": Mutation(
        "target_weights.min_score", defect=(f"{PORTFOLIO}.weights.target_weights", after(low_score))
    ),
    "half of the weight gone": Mutation(
        "target_weights.sum",
        defect=(f"{PORTFOLIO}.weights.target_weights", after(lambda w: w.assign(weight=w["weight"] / 2))),
    ),
    "a plan that sells short": Mutation(
        "trade_plan.no_short", defect=(f"{PORTFOLIO}.planning.planned_orders", after(sells_short))
    ),
    "a plan that overspends": Mutation(
        "trade_plan.cash", defect=(f"{PORTFOLIO}.planning.planned_orders", after(overspends))
    ),
    "a tenth without a price": Mutation(
        "trade_plan.unpriced",
        given=lambda given, last: replace(
            given, unpriced=frozenset(last.frames["target_weights"]["symbol"].iloc[::10])
        ),
        jobs=None,
    ),
}  # fmt: skip


def mutated(mutation: Mutation, given: Inputs, names: list[str]) -> Inputs:
    changes = {
        part: change(getattr(given, part), names)
        for part in ("rows", "profiles", "metrics")
        if (change := getattr(mutation, part)) is not None
    }
    return replace(given, **changes)


def break_function(monkeypatch: pytest.MonkeyPatch, mutation: Mutation) -> None:
    if mutation.defect is not None:
        path, wrapper = mutation.defect
        module, _, name = path.rpartition(".")
        monkeypatch.setattr(path, wrapper(getattr(import_module(module), name)))


def test_every_check_passes_on_the_recorded_market(recorded: Inputs, sound: Stored) -> None:
    assert sound.failed == set()
    assert list(sound.frames) == ["listings", "universe", "financials", "scores", "target_weights", "trade_plan"]
    again = run(replace(later(recorded, 7), positions=held(sound)), sound)
    assert again.failed == set()
    assert len(again.frames) == 6


@pytest.mark.parametrize(
    ("seed", "listings", "size"),
    [*[(seed, *sizes) for seed in (0, 7, 11) for sizes in ((150, 25), (500, 60))], (7, 2000, 375)],
)
def test_every_check_passes_on_generated_markets_of_any_size(seed: int, listings: int, size: int) -> None:
    configured = settings(universe__size=size, rebalancing__top_n_stocks=20, rebalancing__max_position_pct=10.0)
    given = inputs(generate(seed, listings), configured)
    first = run(given)
    assert first.failed == set()
    assert run(later(given, 7), first).failed == set()


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_right_check_and_only_it_catches_the_mutation_and_no_later_stage_accepts_it(
    recorded: Inputs, sound: Stored, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutation = MUTATIONS[name]
    names = list(sound.frames["universe"]["symbol"])
    given = mutation.given(mutated(mutation, later(recorded, 7), names), sound)
    break_function(monkeypatch, mutation)
    found = run(given, sound)
    assert found.failed == {mutation.caught_by}
    asset = mutation.caught_by.partition(".")[0]
    assert list(found.findings)[-1] == asset
    assert asset not in found.frames


IN_SANDBOX = [name for name, mutation in MUTATIONS.items() if mutation.jobs is not None]
PROFILE = {
    "market_cap_musd": ["marketCapitalization"],
    "shares_outstanding_m": ["shareOutstanding"],
}
METRIC = {column: [key] for column, key in METRICS.items()} | {
    "debt_to_equity": ["totalDebt/totalEquityQuarterly", "totalDebt/totalEquityAnnual"]
}


def changed(
    before: pd.DataFrame, now: pd.DataFrame, keys: dict[str, list[str]]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Per symbol the values that differ, under the provider's names."""
    old = before.drop_duplicates("symbol").set_index("symbol")
    for row in now.to_dict("records"):
        was = old.loc[row["symbol"]]
        body = {
            key: None if pd.isna(row[column]) else row[column]
            for column, named in keys.items()
            if not (pd.isna(row[column]) and pd.isna(was[column])) and row[column] != was[column]
            for key in named
        }
        if body:
            yield str(row["symbol"]), body


def tell(platform: Platform, before: Inputs, now: Inputs) -> None:
    """Makes the sandbox's market what `now` says where it differs from `before`."""
    for path, part, keys in (("metrics", "metrics", METRIC), ("profiles", "profiles", PROFILE)):
        for symbol, body in changed(getattr(before, part), getattr(now, part), keys):
            platform.sandbox.admin("PATCH", f"/sandbox/{path}/{symbol}", body)
    unique = now.rows.drop_duplicates("symbol")
    for symbol, body in changed(before.rows, unique, {"mic": ["mic"]}):
        platform.sandbox.admin("POST", "/sandbox/listings", {"symbol": symbol, **body})


def list_twice(monkeypatch: pytest.MonkeyPatch, rows: pd.DataFrame) -> None:
    """The sandbox holds one listing per symbol, so the second row is added to what the provider read."""
    read, added = FinnhubResource.listings, [Listing(*row) for row in rows.itertuples(index=False)]
    monkeypatch.setattr(FinnhubResource, "listings", lambda finnhub: Listed([*read(finnhub).listings, *added], {}))


def failed_checks(platform: Platform) -> dict[str, int]:
    """Failed evaluations so far, by check."""
    found = {}
    for key in defs().resolve_asset_graph().asset_check_keys:
        history = platform.instance.event_log_storage.get_asset_check_execution_history(key, limit=10_000)
        failed = sum(record.status.value == "FAILED" for record in history)
        found[f"{key.asset_key.to_user_string()}.{key.name}"] = failed
    return found


@pytest.fixture
def sandbox_options() -> dict[str, Any]:
    """The market that the mutations are made for."""
    return {"listings": 500, "seed": 7}


@pytest.mark.soak
def test_with_real_jobs_the_right_check_and_only_it_catches_each_mutation_before_any_order(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    record_property("tried", len(IN_SANDBOX))
    platform.must_run("universe_refresh", "fundamentals_refresh", SCORING)
    original = inputs(generate(7, 500), load_settings())
    warehouse, kept = platform.folder / "warehouse.db", platform.folder / "kept.db"
    with closing(Warehouse(f"sqlite:///{warehouse}")) as store:
        universe = store.load_snapshot("universe", Universe)
    assert universe is not None
    names = list(universe["symbol"])
    shutil.copy(warehouse, kept)
    written = platform.settings_file.read_text()
    clock = platform.sandbox.admin("GET", "/sandbox/broker")
    wrong = {}
    for name in IN_SANDBOX:
        mutation = MUTATIONS[name]
        now = mutated(mutation, original, names)
        tell(platform, original, now)
        platform.configure(**mutation.configured)
        platform.sandbox.admin("PUT", "/sandbox/faults", list(mutation.faults))
        monday = pd.Timestamp("2026-08-24") + timedelta(days=mutation.days)
        platform.sandbox.admin("PUT", "/sandbox/clock", {"now": f"{monday:%Y-%m-%d}T14:05:00Z"})
        before = failed_checks(platform)
        with monkeypatch.context() as broken:
            break_function(broken, mutation)
            if len(now.rows) > len(original.rows):
                list_twice(broken, now.rows.tail(1))
            stopped = None
            for job in mutation.jobs or ():
                run = platform.run(job, week=f"{monday:%Y-%m-%d}" if job == "rebalance" else None)
                caught = {check for check, count in failed_checks(platform).items() if count > before[check]}
                if caught:
                    stopped = job
                    break
            if stopped == "fundamentals_refresh":
                assert not platform.run(SCORING).success, name
                caught = {check for check, count in failed_checks(platform).items() if count > before[check]}
            elif stopped is not None:
                assert not run.success, name
        if caught != {mutation.caught_by} or platform.calls("POST /v2/orders"):
            wrong[name] = (caught, stopped)
        tell(platform, now, original)
        for leftover in platform.folder.glob("warehouse.db*"):
            leftover.unlink()
        shutil.copy(kept, warehouse)
        platform.settings_file.write_text(written)
        platform.sandbox.admin("PUT", "/sandbox/broker", clock)
        platform.sandbox.admin("DELETE", "/sandbox/faults")
    assert wrong == {}
    assert len(IN_SANDBOX) >= 20
