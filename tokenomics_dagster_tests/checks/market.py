"""The recorded market as frames, stage by stage, judged as the assets judge: without Dagster, HTTP or a database."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pandas as pd

from tokenomics_dagster.execution.checks import PORTFOLIO_REPORT
from tokenomics_dagster.fundamentals import checks as fundamentals
from tokenomics_dagster.fundamentals import doubts
from tokenomics_dagster.fundamentals.schema import Financials, Scores
from tokenomics_dagster.kit.checks import Finding, Rule, schema_finding
from tokenomics_dagster.model.plan import Plan
from tokenomics_dagster.portfolio import checks as portfolio
from tokenomics_dagster.portfolio import planning, trades, weights
from tokenomics_dagster.portfolio.schema import TargetWeights, TradePlan
from tokenomics_dagster.sandbox.market import Market
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.universe import checks as universe
from tokenomics_dagster.universe import departures, selection
from tokenomics_dagster.universe.schema import Listings, Profiles, Universe
from tokenomics_dagster_tests.conftest import REPOSITORY

NOW = datetime(2026, 8, 24, 14, 5, tzinfo=UTC)
EQUITY = Decimal(100_000)
METRICS = {
    "roe_ttm_pct": "roeTTM",
    "debt_to_equity": "totalDebt/totalEquityQuarterly",
    "revenue_growth_yoy_pct": "revenueGrowthTTMYoy",
    "eps_growth_yoy_pct": "epsGrowthTTMYoy",
    "book_value_per_share": "bookValuePerShareQuarterly",
    "market_cap_musd": "marketCapitalization",
}
RULES: dict[str, tuple[Rule, ...]] = {
    "listings": universe.LISTINGS,
    "universe": universe.UNIVERSE,
    "financials": fundamentals.FINANCIALS,
    "scores": fundamentals.SCORES,
    "target_weights": portfolio.TARGET_WEIGHTS,
    "trade_plan": portfolio.TRADE_PLAN,
    "portfolio_report": PORTFOLIO_REPORT,
}


def settings(**overrides: Any) -> Settings:
    """Those of the project; size 1,000 of the 1,290 candidates, so that names can be replaced."""
    changes = {"universe.size": 1000, **{key.replace("__", "."): value for key, value in overrides.items()}}
    return load_settings(REPOSITORY / "config/settings.yaml", changes)


@dataclass(frozen=True)
class Inputs:
    """What the outside says: listings, a profile of each candidate, metrics of each symbol; and when."""

    rows: pd.DataFrame
    profiles: pd.DataFrame
    metrics: pd.DataFrame
    settings: Settings
    now: datetime = NOW
    swept_at: datetime = NOW - timedelta(days=2)
    decided_at: datetime = NOW
    positions: dict[str, Decimal] = field(default_factory=dict)
    unpriced: frozenset[str] = frozenset()


@dataclass
class Stored:
    """The newest frame of each asset, and all findings on the way to the first refusal."""

    frames: dict[str, pd.DataFrame] = field(default_factory=dict)
    findings: dict[str, list[Finding]] = field(default_factory=dict)

    @property
    def failed(self) -> set[str]:
        return {f"{asset}.{one.name}" for asset, found in self.findings.items() for one in found if not one.passed}


def inputs(market: Market, configured: Settings) -> Inputs:
    """The market as the providers would give it."""
    instruments = market.instruments
    columns = ("symbol", "description", "type", "mic", "currency", "figi", "share_class_figi")
    rows = pd.DataFrame([[getattr(one, c) for c in columns] for one in instruments.values()], columns=columns)
    names, _ = selection.candidates(rows, configured.universe)
    profiles = []
    for symbol, exchange in zip(names["symbol"], names["exchange"], strict=True):
        one = instruments[symbol]
        known = {
            "name": one.profile.get("name"),
            "currency": one.profile.get("currency"),
            "market_cap_musd": one.profile.get("marketCapitalization"),
            "shares_outstanding_m": one.profile.get("shareOutstanding"),
            "industry": one.profile.get("finnhubIndustry"),
        }
        traded = float(one.price) * one.volume / 1e6
        fixed = {"symbol": symbol, "exchange": exchange, "price": float(one.price), "traded_value_musd": traded}
        profiles.append({**fixed, **known, "fresh": True})
    metrics = [
        {"symbol": symbol, **{column: one.metric.get(key) for column, key in METRICS.items()}}
        for symbol, one in instruments.items()
    ]
    numbers = pd.DataFrame(metrics)
    numbers[list(METRICS)] = numbers[list(METRICS)].apply(pd.to_numeric, errors="coerce")
    return Inputs(rows, Profiles.validate(pd.DataFrame(profiles)), numbers, configured)


def run(given: Inputs, last: Stored | None = None) -> Stored:
    """All stages, up to the first that refuses."""
    stored = Stored()
    for stage in (_listings, _universe, _financials, _scores, _target_weights, _trade_plan):
        asset = stage.__name__.removeprefix("_")
        frame, findings = stage(given, stored, last.frames if last else {})
        stored.findings[asset] = findings
        decisive = {rule.name for rule in RULES[asset] if rule.effect == "refuses"}
        if any(not one.passed and one.name in decisive for one in findings):
            return stored
        stored.frames[asset] = frame
    return stored


Made = tuple[pd.DataFrame, list[Finding]]
Stage = Callable[[Inputs, Stored, dict[str, pd.DataFrame]], Made]


def _listings(given: Inputs, stored: Stored, last: dict[str, pd.DataFrame]) -> Made:
    frame, _ = selection.undisputed(given.rows, given.settings.universe)
    schema = schema_finding(Listings, frame)
    return frame, [schema, *universe.check_listings(given.rows, last.get("listings"), given.settings)]


def _universe(given: Inputs, stored: Stored, last: dict[str, pd.DataFrame]) -> Made:
    rows, rules = stored.frames["listings"], given.settings.universe
    names, dropped = selection.candidates(rows, rules)
    profiles = given.profiles[given.profiles["symbol"].isin(names["symbol"])]
    selected, reasons = selection.select(profiles, rules)
    listed = dict(zip(rows["symbol"], rows["figi"].fillna(""), strict=True))
    out = {**dropped, **reasons}
    refresh = departures.Refresh(selected, profiles, out, last.get("universe"), given.now, rules, listed=listed)
    settled = departures.settle(refresh)
    frame = settled.universe
    sources = universe.Sources(profiles, reasons, rows)
    judged = universe.check_universe(frame, sources, last.get("universe"), given.settings, settled.departures)
    return frame, [schema_finding(Universe, frame), *judged]


def _financials(given: Inputs, stored: Stored, last: dict[str, pd.DataFrame]) -> Made:
    symbols = list(stored.frames["universe"]["symbol"])
    frame = given.metrics[given.metrics["symbol"].isin(symbols)].assign(known_at=pd.Timestamp(given.swept_at))
    frame = frame if "reported_period" in frame else frame.assign(reported_period="2026-06-30")
    frame = Financials.validate(frame)
    sweep: Any = SimpleNamespace(
        started_at=given.swept_at,
        fresh_since=given.swept_at - timedelta(days=5),
        finished_at=given.swept_at,
        failures={},
    )
    listed = stored.frames["universe"]
    owners = doubts.issuers_of(listed)
    judged = fundamentals.check_financials(frame, symbols, [sweep], given.now, given.settings, owners)
    return frame, [schema_finding(Financials, frame), *judged]


def _scores(given: Inputs, stored: Stored, last: dict[str, pd.DataFrame]) -> Made:
    before, weights = last.get("scores"), last.get("target_weights")
    held = {} if weights is None else dict(zip(weights["symbol"], weights["weight"], strict=True))
    financials = stored.frames["financials"]
    looks = {} if before is None else before.attrs.get("looks", {})
    settled = doubts.settle(stored.frames["universe"], financials, before, given.now, given.settings, looks=looks)
    settled.scores.attrs["looks"] = settled.looks
    return settled.scores, [
        schema_finding(Scores, settled.scores),
        *fundamentals.check_scores(settled.fresh, before, given.settings, kept=settled.kept, held=held),
    ]


def _target_weights(given: Inputs, stored: Stored, last: dict[str, pd.DataFrame]) -> Made:
    rules = given.settings.rebalancing
    frame = weights.target_weights(stored.frames["scores"], rules)
    listed = stored.frames["universe"]
    industries = dict(zip(listed["symbol"], listed["industry"], strict=True))
    judged = portfolio.check_target_weights(
        frame,
        industries,
        given.now,
        stored.frames["scores"].set_index("symbol")["known_at"][frame["symbol"]],
        given.decided_at,
        rules,
        given.settings.guards,
    )
    return frame, [schema_finding(TargetWeights, frame), *judged]


def _trade_plan(given: Inputs, stored: Stored, last: dict[str, pd.DataFrame]) -> Made:
    targets = stored.frames["target_weights"]
    listed = stored.frames["universe"].set_index("symbol")["price"]
    wanted = {*targets["symbol"], *given.positions}
    prices = {symbol: Decimal(str(listed[symbol])) for symbol in sorted(wanted - given.unpriced)}
    held = {symbol: (qty, qty) for symbol, qty in given.positions.items()}
    worth = sum((qty * prices[symbol] for symbol, qty in given.positions.items()), Decimal(0))
    frame, _ = trades.plan_trades(
        targets,
        trades.Names(held, prices, dict.fromkeys(wanted, True)),
        trades.Money(EQUITY, EQUITY - worth),
        given.settings.rebalancing,
    )
    plan = Plan(
        week=date(2026, 8, 24),
        created_at=given.decided_at,
        account="PA1",
        equity=EQUITY,
        cash=EQUITY - worth,
        scores_as_of=given.now,
        positions=given.positions,
        inputs_hash="",
        orders=planning.planned_orders(frame),
    ).sealed()
    return frame, [schema_finding(TradePlan, frame), *portfolio.check_trade_plan(frame, plan, given.settings.guards)]


def held(stored: Stored, names: int = 5) -> dict[str, Decimal]:
    """Ten shares each of the cheapest names of the universe that no target wants: exits."""
    wanted = set(stored.frames["target_weights"]["symbol"])
    listed = stored.frames["universe"].sort_values(["price", "symbol"])
    return {symbol: Decimal(10) for symbol in listed.loc[~listed["symbol"].isin(wanted), "symbol"][:names]}


def later(given: Inputs, days: int) -> Inputs:
    """The same, with everything done anew that many days later."""
    span = timedelta(days=days)
    return replace(given, now=given.now + span, swept_at=given.swept_at + span, decided_at=given.decided_at + span)
