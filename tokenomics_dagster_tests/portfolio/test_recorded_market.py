"""The pure rooms in sequence over the recorded market, as the replaying sandbox shows it, against the plain reading."""

import math
from pathlib import Path

import pandas as pd
import pytest

from tokenomics_dagster.fundamentals.scoring import score
from tokenomics_dagster.portfolio.weights import target_weights
from tokenomics_dagster.sandbox.replay import replay
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.universe.selection import candidates, names_to_ask, select
from tokenomics_dagster_tests import reading

CONFIGURED = load_settings(Path(__file__).resolve().parents[2] / "config" / "settings.yaml")

pytestmark = pytest.mark.skipif(not reading.MARKET.is_dir(), reason=reading.WHY_SKIPPED)


@pytest.mark.parametrize("size", [1000, 1500])
def test_universe_scores_and_weights_equal_the_plain_reading(size):
    rules = CONFIGURED.universe.model_copy(update={"size": size})
    instruments = replay(reading.MARKET).instruments
    listed = pd.DataFrame(
        [
            (i.symbol, i.description, i.type, i.mic, i.currency, i.figi, i.share_class_figi)
            for i in instruments.values()
        ],
        columns=["symbol", "description", "type", "mic", "currency", "figi", "share_class_figi"],
    )
    names, _ = candidates(listed, rules)
    rows = []
    for symbol, exchange in zip(names["symbol"], names["exchange"], strict=True):
        one = instruments[symbol]
        rows.append(
            {
                "symbol": symbol,
                "exchange": exchange,
                "name": one.profile["name"],
                "currency": one.profile["currency"],
                "market_cap_musd": one.profile["marketCapitalization"],
                "shares_outstanding_m": one.profile["shareOutstanding"],
                "price": float(one.price),
                "traded_value_musd": float(one.price) * one.volume / 1e6,
                "industry": one.profile["finnhubIndustry"],
                "fresh": True,
            }
        )
    profiles = pd.DataFrame(rows)
    assert not names_to_ask(profiles, rules)
    universe, _ = select(profiles, rules)
    keys = {
        "roe_ttm_pct": "roeTTM",
        "debt_to_equity": "totalDebt/totalEquityQuarterly",
        "revenue_growth_yoy_pct": "revenueGrowthTTMYoy",
        "eps_growth_yoy_pct": "epsGrowthTTMYoy",
        "book_value_per_share": "bookValuePerShareQuarterly",
        "market_cap_musd": "marketCapitalization",
    }
    financials = pd.DataFrame(
        [
            {column: instruments[symbol].metric.get(key) for column, key in keys.items()}
            | {"symbol": symbol, "known_at": pd.Timestamp("2026-08-22T06:00Z"), "reported_period": None}
            for symbol in universe["symbol"]
        ]
    )
    table = score(universe, financials, CONFIGURED.fundamentals.score)
    held = target_weights(table, CONFIGURED.rebalancing)

    expected = reading.read(size=size)
    assert list(universe["symbol"]) == expected.universe
    scored = table[table["score"].notna()]
    assert dict(zip(scored["symbol"], scored["score"], strict=True)) == pytest.approx(expected.scores, abs=1e-9)
    assert list(held["symbol"]) == list(expected.weights)
    assert dict(zip(held["symbol"], held["weight"], strict=True)) == pytest.approx(expected.weights, abs=1e-9)
    assert 1 - math.fsum(held["weight"]) == pytest.approx(expected.cash_weight, abs=1e-9)
    reasons = table[table["score"].isna()].set_index("symbol")["reason"]
    assert set(reasons.index) == set(expected.unscored)
    for symbol, reason in reasons.items():
        for word in ("negative", "ROE", "debt", "growth"):
            assert (word in reason) == (word.lower() in expected.unscored[str(symbol)]), (symbol, reason)
    if size == 1000:
        assert (len(universe), len(scored), len(held)) == (1000, 891, 100)
