"""How much of the universe has financials: whether the last sweep, with the repairs after it, is enough to score, how
old the figures are, and what of it a person and Prometheus are told. What is judged is in checks.py.
"""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from tokenomics_dagster.kit.room import FailedSymbol, Samples
from tokenomics_dagster.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

    from tokenomics_dagster.storage.records import Sweep
    from tokenomics_dagster.storage.warehouse import Warehouse


NO_UNIVERSE = "there is no universe yet: run universe_refresh first"


class Coverage(NamedTuple):
    """Whether a score may be made; the sentence with the figure and its limit; when the newest figures came, UTC."""

    enough: bool
    what: str
    newest: datetime | None


def coverage(store: "Warehouse", sweep: "Sweep", settings: Settings) -> Coverage:
    """What is there of the universe since this sweep began."""
    from tokenomics_dagster.fundamentals.checks import check_fetched, fetched
    from tokenomics_dagster.universe.schema import Universe

    universe = store.load_snapshot("universe", Universe)
    if universe is None:
        return Coverage(False, NO_UNIVERSE, None)
    symbols, known = list(universe["symbol"]), _known(store)
    finding = check_fetched(known, symbols, sweep, settings.guards)
    rows = fetched(known, symbols, sweep)
    return Coverage(finding.passed, finding.description, rows["known_at"].max().to_pydatetime() if len(rows) else None)


def _known(store: "Warehouse") -> "pd.DataFrame":
    """When the newest figures of each symbol came: what is judged here needs none of them."""
    import pandas as pd

    from tokenomics_dagster.fundamentals.schema import Financials

    known = store.known_at("financials", Financials)
    came = pd.Series(list(known.values()), dtype="datetime64[us, UTC]")
    return pd.DataFrame({"symbol": pd.Series(list(known), dtype="str"), "known_at": came})


def figures_since(store: "Warehouse", settings: Settings) -> datetime | None:
    """When the figures of the universe came, UTC; None before a first sweep has ended.

    Of the oldest of them, but for as many as guards.min_fetched_pct lets lack: the last sweep may have asked for none.
    What was never fetched has no age; `fetched` tells of it.
    """
    from tokenomics_dagster.fundamentals.schema import Financials
    from tokenomics_dagster.universe.schema import Universe

    universe = store.load_snapshot("universe", Universe)
    if universe is None or store.latest_sweep(finished=True) is None:
        return None
    known = store.known_at("financials", Financials)
    came = sorted(known[symbol] for symbol in universe["symbol"] if symbol in known)
    passed_over = int(len(came) * (1 - settings.guards.min_fetched_pct / 100))
    return came[min(passed_over, len(came) - 1)] if came else None


def described(store: "Warehouse") -> tuple[datetime, str] | None:
    """When the oldest figures of the universe came, UTC, and how many of its symbols are fresh, which failed.

    None before the first sweep and the first figures.
    """
    from tokenomics_dagster.fundamentals.checks import still_failed
    from tokenomics_dagster.universe.schema import Universe

    universe = store.load_snapshot("universe", Universe)
    symbols = set() if universe is None else set(universe["symbol"])
    facts = _known(store)
    facts = facts[facts["symbol"].isin(symbols)]
    sweep = store.latest_sweep()
    if sweep is None or facts.empty:
        return None
    fresh = int((facts["known_at"] >= sweep.fresh_since).sum())
    left = still_failed(facts, sorted(symbols), sweep)
    failed = f", failed: {', '.join(left[:10])}" if left else ""
    state = "" if sweep.finished_at else ", the last sweep has not finished"
    covered = f"{fresh} of {len(symbols)} symbols fresh{failed}{state}"
    return facts["known_at"].min().to_pydatetime(), covered


def followed(store: "Warehouse") -> list[str]:
    """The symbols of the universe, as it ranks them; none before there is one."""
    from tokenomics_dagster.universe.schema import Universe

    universe = store.load_snapshot("universe", Universe)
    return [] if universe is None else list(universe["symbol"])


def failed_symbols(store: "Warehouse", now: datetime, settings: Settings) -> list[FailedSymbol]:
    """The symbols of the universe that the last sweep failed and nobody has fetched since, the longest failed first.

    For how long is told by the sweeps before.
    """
    from tokenomics_dagster.fundamentals.checks import SWEEPS, check_failing

    symbols, sweeps = followed(store), store.sweeps(limit=SWEEPS)
    if not symbols or not sweeps:
        return []
    failing = check_failing(_known(store), symbols, sweeps, now, settings.guards)
    return [FailedSymbol(*row) for row in failing.tables["failed"].rows]


def samples(store: "Warehouse", now: datetime, settings: Settings) -> Samples:
    from tokenomics_dagster.fundamentals.checks import still_failed
    from tokenomics_dagster.fundamentals.schema import Scores
    from tokenomics_dagster.universe.schema import Universe

    universe = store.load_snapshot("universe", Universe)
    if universe is None:
        return
    scores = store.load_snapshot("scores", Scores)
    if scores is not None:
        yield "tokenomics_scored_ratio", float(scores["score"].notna().mean()), ()
    sweep = store.latest_sweep()
    if sweep is None:
        return
    symbols = list(universe["symbol"])
    facts = _known(store)
    known_at = facts.loc[facts["symbol"].isin(symbols), "known_at"]
    fetched = int((known_at >= sweep.fresh_since).sum())
    fresh = int((known_at >= now - timedelta(days=settings.guards.max_score_age_days)).sum())
    yield "tokenomics_sweep_unfinished", float(sweep.finished_at is None), ()
    yield "tokenomics_financials_fetched_ratio", fetched / max(len(symbols), 1), ()
    yield "tokenomics_financials_fresh_ratio", fresh / max(len(symbols), 1), ()
    yield "tokenomics_failed_symbols", float(len(still_failed(facts, symbols, sweep))), ()
