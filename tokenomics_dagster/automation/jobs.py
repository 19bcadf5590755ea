"""The jobs: which assets are made together. One run is one stream of work, so all run in their process.

Measured on 20 steps that do nothing: in-process 13 ms, multiprocess 36 s.
"""

import dagster as dg

universe_refresh = dg.define_asset_job(
    "universe_refresh",
    selection=["listings", "universe", "published_universe"],
    description="Monthly: which stocks exist, which are followed.",
    executor_def=dg.in_process_executor,
)

fundamentals_refresh = dg.define_asset_job(
    "fundamentals_refresh",
    selection=["financials"],
    description="Weekly: financials of the whole universe in one run. With symbols in its run config it repairs those.",
    executor_def=dg.in_process_executor,
)

score = dg.define_asset_job(
    "score",
    selection=["scores", "published_scores"],
    description="Scores from the last completed sweep.",
    executor_def=dg.in_process_executor,
)

rebalance = dg.define_asset_job(
    "rebalance",
    selection=["target_weights", "trade_plan", "orders", "portfolio_report"],
    description="Weekly: target weights, trade plan, orders, report.",
    executor_def=dg.in_process_executor,
    # A crashed rebalance is started again by the schedule's next tick or a person, after the guards; never by itself.
    tags={"dagster/max_retries": "0"},
)

JOBS = (universe_refresh, fundamentals_refresh, score, rebalance)
