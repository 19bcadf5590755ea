"""Whether the last sweep of financials, with the repairs after it, is enough to score. The rule is the room's."""

from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from tokenomics_dagster.settings import Settings

if TYPE_CHECKING:
    from tokenomics_dagster.storage.warehouse import Sweep, Warehouse


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
