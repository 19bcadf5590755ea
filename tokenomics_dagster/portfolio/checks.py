"""Whether target weights and trade plan are sound: young scores, no weight too large, no short, no overdraft.

Pure: takes the frames, the plan, the instant and the settings. What a person may approve is a warning here and waits
in the execution room's guards.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from tokenomics_dagster.kit.checks import SCHEMA, Finding, Rule, Table
from tokenomics_dagster.model.plan import Plan
from tokenomics_dagster.portfolio.quotes import NO_PRICE
from tokenomics_dagster.settings.guards import GuardSettings
from tokenomics_dagster.settings.rebalancing import RebalancingSettings

if TYPE_CHECKING:
    import pandas as pd

TARGET_WEIGHTS = (
    SCHEMA,
    Rule("scores_fresh", "The scores, and nearly all figures behind them, were young enough for the decision."),
    Rule("cap", "No weight exceeds rebalancing.max_position_pct."),
    Rule("sum", "The weights together are all that the cap allows, and never more than the whole."),
    Rule("count", "Neither too few names nor more than rebalancing.top_n_stocks."),
    Rule("min_score", "No name scores less than rebalancing.min_score."),
    Rule("industry", "No industry makes too much of the portfolio.", "warns"),
)
TRADE_PLAN = (
    SCHEMA,
    Rule("no_short", "No name is sold beyond what is held."),
    Rule("cash", "Walked through order by order, no buy takes cash below zero."),
    Rule("unpriced", "Nearly all names have a price that is young enough."),
    Rule("doubtful", "Nearly all prices and shares can be believed; a name whose cannot is left alone.", "warns"),
    Rule("turnover", "What is traded needs no approval by its amount.", "warns"),
    Rule("exits", "What is sold whole needs no approval by its number.", "warns"),
)
# Floats: 100 weights that are added in any order err by less.
_ROUNDING = 1e-9


def check_target_weights(
    weights: pd.DataFrame,
    industries: Mapping[str, str | None],
    scores_as_of: datetime,
    figures_known_at: pd.Series[pd.Timestamp],
    decided_at: datetime,
    rules: RebalancingSettings,
    guards: GuardSettings,
) -> list[Finding]:
    """Judges a `TargetWeights` frame; `industries` maps symbol to industry, as far as it is known.

    `figures_known_at`: of each name. Scores may be made anew of figures that have grown old.
    """
    age = (decided_at - scores_as_of) / timedelta(days=1)
    figures_pct = 100 * float((figures_known_at >= decided_at - timedelta(days=guards.max_score_age_days)).mean())
    young = 0 <= age <= guards.max_score_age_days and not figures_pct < guards.min_fetched_pct
    cap = rules.max_position_pct / 100
    over = weights[weights["weight"] > cap + _ROUNDING]
    total, count = math.fsum(weights["weight"]), len(weights)
    possible = min(1.0, count * cap)
    least = min(guards.min_names, rules.top_n_stocks)
    low = weights[weights["score"] < rules.min_score]
    return [
        Finding(
            "scores_fresh",
            young,
            f"the scores are {age:.1f} days old and {figures_pct:.1f} % of their figures young enough, "
            f"guards.max_score_age_days is {guards.max_score_age_days:g}, guards.min_fetched_pct "
            f"{guards.min_fetched_pct:g}" + ("" if young else ": run fundamentals_refresh and score"),
            {"age_days": age, "young_figures_pct": figures_pct},
        ),
        Finding(
            "cap",
            over.empty,
            f"the largest weight is {weights['weight'].max():.4%}, rebalancing.max_position_pct is "
            f"{rules.max_position_pct:g}" + ("" if over.empty else "; look at weights.cap_weights"),
            {"largest_pct": 100 * float(weights["weight"].max()), "over": len(over)},
            {"over the cap": _rows(over[["symbol", "weight"]])},
        ),
        Finding(
            "sum",
            possible - _ROUNDING <= total <= 1,
            f"the weights add up to {total:.6%}, {possible:.6%} is all that {count} names under the cap allow",
            {"sum_pct": 100 * total},
        ),
        Finding(
            "count",
            least <= count <= rules.top_n_stocks,
            f"{count} names, at least {least} (guards.min_names) and at most {rules.top_n_stocks} "
            "(rebalancing.top_n_stocks) are allowed",
            {"names": count},
        ),
        Finding(
            "min_score",
            low.empty,
            f"the lowest score is {weights['score'].min():.2f}, rebalancing.min_score is {rules.min_score:g}",
            {"lowest": float(weights["score"].min()), "under": len(low)},
            {"under": _rows(low[["symbol", "score"]])},
        ),
        _industry(weights, industries, guards),
    ]


def check_trade_plan(frame: pd.DataFrame, plan: Plan, guards: GuardSettings) -> list[Finding]:
    """Judges a `TradePlan` frame and its plan; the orders of the plan are what will be sent."""
    return [*_walked(plan), *_prices(frame, guards), *_needs_no_approval(plan, guards)]


def _walked(plan: Plan) -> tuple[Finding, Finding]:
    """no_short and cash: what is left after each order, when it fills at its price."""
    left = dict(plan.positions)
    cash, lowest, first = plan.cash, min(plan.cash, Decimal(0)), ""
    short = []
    for order in plan.orders:
        if order.side == "sell":
            cash += order.value
            left[order.symbol] = left.get(order.symbol, Decimal(0)) - (order.qty or Decimal(0))
            if left[order.symbol] < 0:
                short.append((order.symbol, str(order.qty), str(plan.positions.get(order.symbol, Decimal(0)))))
        else:
            cash -= order.value
            if cash < 0 and not first:
                first = order.symbol
            lowest = min(lowest, cash)
    return (
        Finding(
            "no_short",
            not short,
            f"{len(short)} names are sold beyond what is held: {', '.join(symbol for symbol, *_ in short[:10])}; look "
            "at trades.plan_trades"
            if short
            else "no name is sold beyond what is held",
            {"short": len(short)},
            {"sold short": Table(("symbol", "sold, shares", "held, shares"), short)},
        ),
        Finding(
            "cash",
            not first,
            f"the buy of {first} takes cash below zero, at last to {lowest:,.2f} USD; look at trades.plan_trades"
            if first
            else f"{cash:,.2f} USD are left when every order fills at its price",
            {"cash_left_usd": float(cash)},
        ),
    )


def _prices(frame: pd.DataFrame, guards: GuardSettings) -> tuple[Finding, Finding]:
    """unpriced and doubtful: the names that nothing can be planned with."""
    # What a name is worth is not told where its shares are in doubt, whatever its price.
    without = frame[frame["price"].isna() | frame["current_value"].isna()]
    silent = without["reason"].str.startswith(NO_PRICE, na=False)
    unpriced, doubtful = sorted(without.loc[silent, "symbol"]), without.loc[~silent, ["symbol", "reason"]]
    doubtful_pct = 100 * len(doubtful) / max(len(frame), 1)
    believed = doubtful_pct <= guards.max_bad_quotes_pct
    unpriced_pct = 100 * len(unpriced) / max(len(frame), 1)
    priced = unpriced_pct <= guards.max_unpriced_pct or len(unpriced) < guards.min_flawed_names
    return (
        Finding(
            "unpriced",
            priced,
            f"{len(unpriced)} of {len(frame)} names have no price younger than {guards.max_quote_age_s:g} s, "
            f"guards.max_unpriced_pct is {guards.max_unpriced_pct:g}"
            + ("" if priced else f"; is the market open? e.g. {', '.join(unpriced[:10])}"),
            {"unpriced": len(unpriced), "unpriced_pct": unpriced_pct},
            {"without a price": Table(("symbol",), [(symbol,) for symbol in unpriced])},
        ),
        Finding(
            "doubtful",
            believed,
            f"{len(doubtful)} of {len(frame)} names are left alone, for their prices or shares are in doubt "
            f"or the broker does not trade them, guards.max_bad_quotes_pct is {guards.max_bad_quotes_pct:g}"
            + (
                ""
                if believed
                else f": {_sentences(doubtful)}; look at the data feed (alpaca.data_feed) and at the broker's dashboard"
            ),
            {"doubtful": len(doubtful), "doubtful_pct": doubtful_pct},
            {"in doubt": _rows(doubtful)},
        ),
    )


def _needs_no_approval(plan: Plan, guards: GuardSettings) -> tuple[Finding, Finding]:
    """turnover and exits."""
    turnover, sold = 100 * float(plan.turnover), 100 * float(plan.sold_share)
    calm = turnover <= guards.max_turnover_pct and sold <= guards.max_sold_pct
    waits = f": the plan waits for `tokenomics approve {plan.plan_id}`"
    return (
        Finding(
            "turnover",
            calm,
            f"turnover is {turnover:.1f} % of equity, guards.max_turnover_pct is {guards.max_turnover_pct:g}; sold are "
            f"{sold:.1f} %, guards.max_sold_pct is {guards.max_sold_pct:g}" + ("" if calm else waits),
            {"turnover_pct": turnover, "sold_pct": sold},
        ),
        Finding(
            "exits",
            plan.exits <= guards.max_exits,
            f"{plan.exits} names are sold whole, guards.max_exits is {guards.max_exits}"
            + ("" if plan.exits <= guards.max_exits else waits),
            {"exits": plan.exits},
        ),
    )


def _industry(weights: pd.DataFrame, industries: Mapping[str, str | None], guards: GuardSettings) -> Finding:
    shares: dict[str, float] = {}
    for symbol, weight in zip(weights["symbol"], weights["weight"], strict=True):
        shares[industries.get(symbol) or ""] = shares.get(industries.get(symbol) or "", 0.0) + weight
    unknown = shares.pop("", 0.0)
    rows = sorted(((name, 100 * share) for name, share in shares.items()), key=lambda row: (-row[1], row[0]))
    largest, share_pct = rows[0] if rows else ("none known", 0.0)
    return Finding(
        "industry",
        share_pct <= guards.max_industry_pct,
        f"{largest} makes {share_pct:.1f} % of the portfolio, guards.max_industry_pct is {guards.max_industry_pct:g}; "
        f"the industry of {unknown:.1%} is not known",
        {"largest_pct": share_pct, "unknown_pct": 100 * unknown},
        {"industries": Table(("industry", "share, %"), rows)},
    )


def _sentences(doubtful: pd.DataFrame) -> str:
    return "; ".join(f"{symbol}: {reason}" for symbol, reason in doubtful.head(3).itertuples(index=False))


def _rows(frame: pd.DataFrame) -> Table:
    return Table(tuple(map(str, frame.columns)), list(frame.itertuples(index=False)))
