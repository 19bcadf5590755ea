"""What this platform knew, and when: figures and share counts from the facts of its append-only warehouse."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenomics_dagster.fundamentals.schema import Financials
from tokenomics_dagster.fundamentals.scoring import FIGURES
from tokenomics_dagster.research.bars import Names, Shares
from tokenomics_dagster.research.experiment import ExperimentError
from tokenomics_dagster.research.panel import Floats, Fundamentals
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster.universe.schema import KnownProfiles, Universe

_NOTHING = (None,) * len(FIGURES)


def figures(store: Warehouse, settings: Settings) -> Fundamentals:
    """All figures that were ever received, each since it was; the newest of a symbol counts.

    As the live score, none is older than guards.max_score_age_days, and none of a period that ended more than
    fundamentals.max_report_age_days ago: from that day on its row is one without figures. Raises ExperimentError.
    """
    facts = store.all_facts("financials", Financials, (*FIGURES, "reported_period"))
    if not facts:
        raise ExperimentError(f"no figures were ever received into {store.address}: materialize financials first")
    rows = sorted(_while_young(facts, settings.fundamentals.max_report_age_days), key=lambda row: row[:2])
    table = np.array([values for _, _, values in rows], np.float64)
    known_at, symbols = _instants([row[0] for row in rows]), np.array([row[1] for row in rows], np.str_)
    of_figure = dict(zip(FIGURES, np.ascontiguousarray(table.T), strict=True))
    return Fundamentals(
        known_at=known_at,
        symbol=symbols,
        roe_ttm_pct=of_figure["roe_ttm_pct"],
        debt_to_equity=of_figure["debt_to_equity"],
        revenue_growth_yoy_pct=of_figure["revenue_growth_yoy_pct"],
        eps_growth_yoy_pct=of_figure["eps_growth_yoy_pct"],
        book_value_per_share=of_figure["book_value_per_share"],
        snapshots=False,
        max_age_days=settings.guards.max_score_age_days,
        data_hash=_hash(known_at, symbols, table),
    )


def shares(store: Warehouse) -> Shares:
    """The share counts of all profiles that were ever received; those that are not of a market cap in USD are none.

    Raises ExperimentError.
    """
    facts = store.all_facts("profiles", KnownProfiles, ("shares_outstanding_m", "currency"))
    if not facts:
        raise ExperimentError(
            f"no share counts were ever received into {store.address}, and without them a lake has no market caps: "
            "materialize universe first"
        )
    millions = np.array([count if currency == "USD" else None for _, _, count, currency in facts], np.float64)
    return Shares(
        known_at=_instants([fact[0] for fact in facts]),
        symbol=np.array([fact[1] for fact in facts], np.str_),
        millions=np.where(millions > 0, millions, np.nan),
    )


def names(store: Warehouse) -> Names:
    """Exchange and industry as the newest universe has them."""
    universe = store.load_snapshot("universe", Universe)
    if universe is None:
        return Names({}, {})
    symbols = universe["symbol"].tolist()
    industry = zip(symbols, universe["industry"].fillna("").tolist(), strict=True)
    return Names(
        dict(zip(symbols, universe["exchange"].tolist(), strict=True)),
        {symbol: word for symbol, word in industry if word},
    )


def _while_young(facts: Sequence[tuple[Any, ...]], max_days: float) -> Iterator[tuple[datetime, str, Sequence[Any]]]:
    """(known_at, symbol, figures) of each fact, and of the instant at which its period has become too old.

    An answer that tells no period is of the newest one that was told before.
    """
    by_symbol: dict[str, list[tuple[Any, ...]]] = {}
    for fact in facts:
        by_symbol.setdefault(fact[1], []).append(fact)
    for symbol, known in by_symbol.items():
        newest: date | None = None
        followers = [fact[0] for fact in known[1:]] + [None]
        for (known_at, _, *values, period), until in zip(known, followers, strict=True):
            newest = newest if period is None else date.fromisoformat(period)
            if newest is None:
                yield known_at, symbol, values
                continue
            ends = datetime.combine(newest + timedelta(days=math.floor(max_days) + 1), time(), UTC)
            to_come = newest > known_at.date() + timedelta(days=1)
            yield known_at, symbol, _NOTHING if to_come or known_at >= ends else values
            if not to_come and known_at < ends and (until is None or ends < until):
                yield ends, symbol, _NOTHING


def _instants(instants: Sequence[datetime]) -> NDArray[np.datetime64]:
    return np.array([instant.astimezone(UTC).replace(tzinfo=None) for instant in instants], "datetime64[ns]")


def _hash(known_at: NDArray[np.datetime64], symbols: NDArray[np.str_], table: Floats) -> str:
    made = hashlib.sha256("\n".join(symbols.tolist()).encode())
    made.update(known_at.tobytes())
    made.update(table.tobytes())
    return made.hexdigest()
