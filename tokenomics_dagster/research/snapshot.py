"""A result as the warehouse keeps it: rows by session, and all else beside them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import pandas as pd

from tokenomics_dagster.research.tables import Backtest, BacktestDetails
from tokenomics_dagster.storage.records import Made

if TYPE_CHECKING:
    from tokenomics_dagster.research.result import Result

_KEPT_APART = ("equity", "experiment", "rules", "metrics", "drawdown", "doubts", "warnings", "quarantined", "seconds")
_HASHES = ("data_hash", "rules_hash", "version")


def of(result: Result, as_of: datetime) -> Made[BacktestDetails]:
    """`as_of`: when it was asked for, UTC."""
    run, document = result.run, result.document()
    frame = pd.DataFrame(
        {
            "day": run.dates.astype("datetime64[D]").astype(str),
            "equity": run.equity,
            "cash": run.cash,
            "held": run.held,
            "traded": run.traded,
            "costs": run.costs,
        },
        columns=list(Backtest.to_schema().columns),
    )
    details = BacktestDetails(
        experiment=document["experiment"],
        rules=document["rules"],
        metrics=document["metrics"],
        drawdown=document["drawdown"],
        evidence={key: one for key, one in document.items() if key not in (*_KEPT_APART, *_HASHES)},
        doubts=document["doubts"],
        warnings=document["warnings"],
        quarantined=len(result.quarantined),
        **{key: document[key] for key in _HASHES},
    )
    return Made(frame, as_of, details)
