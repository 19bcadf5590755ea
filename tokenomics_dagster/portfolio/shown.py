"""What a materialization of target weights and trade plan shows."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from tokenomics_dagster.kit import plots, sketch
from tokenomics_dagster.kit.metadata import image, percent, series, table, usd

if TYPE_CHECKING:
    import pandas as pd

    from tokenomics_dagster.model.plan import Plan
    from tokenomics_dagster.portfolio.decide import Decision
    from tokenomics_dagster.portfolio.schema import TradePlanDetails
    from tokenomics_dagster.settings.guards import GuardSettings
    from tokenomics_dagster.settings.rebalancing import RebalancingSettings
    from tokenomics_dagster.storage.records import Made


def target_weights(
    decision: Decision, cash_weight: float, rules: RebalancingSettings, guards: GuardSettings
) -> dict[str, Any]:
    frame, scores = decision.weights, decision.scores
    weights = frame["weight"].sort_values(ascending=False)
    largest = [
        (row["symbol"], row["score"], percent(row["weight"])) for row in frame.nlargest(10, "weight").to_dict("records")
    ]
    ends = f"from {percent(weights.max())} to {percent(weights.min())}"
    unscored, eligible = int(scores["score"].isna().sum()), int((scores["score"] >= rules.min_score).sum())
    not_chosen = (
        ("left the universe", len(decision.left)),
        ("no score", unscored),
        (f"score under {rules.min_score:g}", len(scores) - unscored - eligible),
        (f"below the {rules.top_n_stocks} best", eligible - len(frame)),
    )
    industry = frame["symbol"].map(decision.industries).fillna("").replace("", "unknown")
    return {
        "picture": sketch.bars("target weights, largest first", weights, f"weights of {len(frame):,} names, {ends}"),
        "in_short": f"{len(frame):,} names, {ends} of equity; {percent(cash_weight)} stays cash",
        "names": len(frame),
        **series({"cash_pct": 100 * cash_weight, "largest_weight_pct": 100 * float(weights.max())}),
        "largest": table(largest, "symbol", "score", "weight"),
        "not_chosen": table(not_chosen, "reason", "names"),
        "weight_bars": image(
            "target weights",
            plots.weight_bars,
            dict(zip(frame["symbol"], frame["weight"], strict=True)),
            rules.max_position_pct / 100,
        ),
        "industry_shares": image(
            "industries",
            plots.industry_shares,
            {str(name): float(share) for name, share in frame["weight"].groupby(industry).sum().items()},
            guards.max_industry_pct / 100,
        ),
        "cap_and_score": image(
            "market cap and score",
            plots.cap_and_score,
            scores["symbol"],
            scores["market_cap_musd"],
            scores["score"],
            frame["symbol"],
        ),
    }


def trade_plan(made: Made[TradePlanDetails], plan: Plan) -> dict[str, Any]:
    frame: pd.DataFrame = made.frame
    sides = Counter(frame["side"])
    skipped = frame[frame["reason"].notna()]
    amounts = [float(order.value) * (1 if order.side == "buy" else -1) for order in plan.orders]
    traded = usd(sum(map(abs, amounts)))
    return {
        "picture": sketch.bars(
            "buys up, sells down, by size",
            sorted(amounts, reverse=True),
            f"USD by order: {sides['buy']:,} buys up, {sides['sell']:,} sells down; {traded} together",
        ),
        "in_short": f"{sides['sell']:,} sells ({plan.exits:,} of them exits) and {sides['buy']:,} buys, {traded}, "
        f"which is {percent(plan.turnover)} of {usd(plan.equity)}; {sides['none']:,} names are not traded",
        "plan_id": plan.plan_id,
        **series({"equity_usd": plan.equity, "turnover_pct": 100 * plan.turnover}),
        "exits": plan.exits,
        "sells": sides["sell"],
        "buys": sides["buy"],
        "not_traded": sides["none"],
        "orders": table(
            ((o.symbol, o.side, o.qty or "", o.notional or "", o.price) for o in plan.orders),
            "symbol",
            "side",
            "shares",
            "USD",
            "price",
        ),
        "skipped": table(skipped[["symbol", "reason"]].itertuples(index=False), "symbol", "reason", limit=50),
        "not_planned": table((made.details.not_planned or {}).items(), "symbol", "meant and left out, USD"),
        "foreign": table(((row,) for row in made.details.foreign), "held, not traded by this strategy"),
        "adoptable": table(
            ((symbol, qty or "", f"tokenomics adopt {symbol}") for symbol, qty in plan.foreign.items()),
            "held, and no strategy has ever bought it here",
            "shares",
            "lets the strategy have it",
        ),
        "bound_cash": table(made.details.bound_cash.items(), "by", "USD"),
    }
