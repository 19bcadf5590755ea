"""Whether the last sweep of financials, with the repairs after it, is enough to score, and how old the figures are.

The rule is the room's.
"""

from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from tokenomics_dagster.settings import Settings

if TYPE_CHECKING:
    from tokenomics_dagster.storage.records import Sweep
    from tokenomics_dagster.storage.warehouse import Warehouse


class Coverage(NamedTuple):
    """Whether a score may be made; the sentence with the figure and its limit; when the newest figures came, UTC."""

    enough: bool
    what: str
    newest: datetime | None


def coverage(store: "Warehouse", sweep: "Sweep", settings: Settings) -> Coverage:
    """What is there of the universe since this sweep began."""
    from tokenomics_dagster.fundamentals.checks import check_financials, fetched
    from tokenomics_dagster.fundamentals.schema import Financials
    from tokenomics_dagster.universe.schema import Universe

    universe = store.load_snapshot("universe", Universe)
    if universe is None:
        return Coverage(False, "there is no universe yet: run universe_refresh first", None)
    symbols = list(universe["symbol"])
    facts = store.latest_facts("financials", Financials)
    # How old the figures are is judged where they are scored: here the instant decides nothing.
    findings = check_financials(facts, symbols, [sweep], sweep.started_at, settings)
    finding = next(one for one in findings if one.name == "fetched")
    rows = fetched(facts, symbols, sweep)
    return Coverage(finding.passed, finding.description, rows["known_at"].max().to_pydatetime() if len(rows) else None)


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
