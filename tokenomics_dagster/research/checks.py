"""What is checked of a backtest before it is stored, and what is told of it. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tokenomics_dagster.kit.checks import SCHEMA, Finding, Rule, Table

if TYPE_CHECKING:
    from tokenomics_dagster.research.result import Result

_CENT = 0.01

BACKTEST = (
    SCHEMA,
    Rule("adds_up", "What the names made, and the interest, is what the equity grew by, to the cent."),
    Rule("tradable", "Its fills could have been had: not at the very close that decides.", "warns"),
    Rule("long_enough", "A year of sessions at least, without which nothing is told as a rate of a year.", "warns"),
    Rule("skill", "Random portfolios under the same rules do as well in at most 5 of 100 cases.", "warns"),
)


def check_backtest(result: Result) -> list[Finding]:
    """All but the schema."""
    return [_adds_up(result), _tradable(result), _long_enough(result), _skill(result)]


def _adds_up(result: Result) -> Finding:
    profit = float(result.run.equity[-1] - result.run.capital)
    parts = sum(part.usd for part in result.contributions)
    off = abs(parts - profit)
    passed = math.isfinite(off) and off <= _CENT
    text = f"the names and the interest made {parts:,.2f} USD, the equity grew by {profit:,.2f} USD"
    text += "" if passed else "; nothing of it may be believed: tell who looks after the engine, with the experiment"
    return Finding("adds_up", passed, text, {"off_usd": off})


def _tradable(result: Result) -> Finding:
    fill = result.experiment.fill
    passed = fill != "close"
    text = f"filled at the {fill.replace('_', ' ')}" if passed else "filled at the close that decides, which nobody can"
    text += (
        "" if passed else " trade: only to compare with others who assume the same; set fill to next_open or next_close"
    )
    return Finding("tradable", passed, text)


def _long_enough(result: Result) -> Finding:
    from tokenomics_dagster.research.statistics import YEAR

    sessions, decisions = result.metrics["sessions"], result.metrics["decisions"]
    text = f"{sessions} daily returns and {decisions} decisions; a year has {YEAR} sessions"
    return Finding("long_enough", sessions >= YEAR, text, {"sessions": sessions, "decisions": decisions})


def _skill(result: Result) -> Finding:
    """Not judged without controls: absence is a doubt."""
    from tokenomics_dagster.research.pools import Control

    rows = [(one.pool, one.p) for one in result.controls if isinstance(one, Control)]
    table = {"controls": Table(("pool", "p"), rows)}
    if not rows:
        return Finding("skill", False, "no random portfolios were made: whether luck does as well is not known")
    pool, p = max(rows, key=lambda row: row[1])
    text = f"random portfolios from {pool} do as well in {100 * p:.1f} of 100 cases (the pool that does best)"
    return Finding("skill", p <= 0.05, text, {"p": p}, table)
