"""What tests of the research room make: a run from its equity, a panel from its returns, decisions from their names."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tokenomics_dagster.research.panel import Panel
from tokenomics_dagster.research.runs import Decisions, Fills, Run


def sessions(count: int, first: str = "2021-01-04") -> NDArray[Any]:
    """Weekdays."""
    return np.busday_offset(np.datetime64(first), np.arange(count), roll="forward")


def run_of(equity: ArrayLike, capital: float = 100.0, **changes: Any) -> Run:
    """An account of one name, always invested."""
    path = np.asarray(equity, dtype=np.float64)
    count = len(path)
    given: dict[str, Any] = {
        "dates": sessions(count),
        "equity": path,
        "cash": np.zeros(count),
        "held": np.ones(count, dtype=np.int64),
        "traded": np.zeros(count),
        "costs": np.zeros(count),
        "profit": np.array([path[-1] - capital]),
        "interest": 0.0,
        "final_shares": np.array([1.0]),
        "decided": np.array([0]),
        "fills": Fills(np.array([0]), np.array([0]), np.array([1.0]), np.array([capital]), np.array([0.0])),
        "capital": capital,
    }
    return Run(**(given | changes))


def panel_of(returns: NDArray[np.float64], market_cap: NDArray[np.float64] | None = None, **changes: Any) -> Panel:
    """Names of 50 USD that return this, (T, N); by default all are as large as each other."""
    price = 50 * np.cumprod(1 + returns, axis=0)
    given: dict[str, Any] = {
        "dates": sessions(len(returns)),
        "symbols": tuple(f"S{at:04d}" for at in range(returns.shape[1])),
        "price": price,
        "returns": returns,
        "market_cap": np.full(returns.shape, 1_000.0) if market_cap is None else market_cap,
        "volume": np.full(returns.shape, 1e6),
    }
    return Panel(**(given | changes))


def decisions_of(at: Sequence[int], names: Sequence[ArrayLike], **changes: Any) -> Decisions:
    """Equal weights."""
    held = [np.asarray(one, dtype=np.int64) for one in names]
    given: dict[str, Any] = {
        "sessions": np.array(at, dtype=np.int64),
        "starts": np.concatenate(([0], np.cumsum([len(one) for one in held]))).astype(np.int64),
        "names": np.concatenate(held),
        "weights": np.concatenate([np.full(len(one), 1 / max(len(one), 1)) for one in held]),
        "eligible": np.full(len(at), 1_000),
        "refused": np.zeros(len(at), dtype=np.bool_),
    }
    return Decisions(**(given | changes))
