"""What is checked of a tuning before it is stored, and what is told of it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenomics_dagster.kit.checks import SCHEMA, Finding, Rule, Table

if TYPE_CHECKING:
    from tokenomics_dagster.research.tuning import Tuned
    from tokenomics_dagster.research.verdict import Verdict

_EVEN = 0.5

TUNING = (
    SCHEMA,
    Rule("apart", "Nothing is chosen by what it is judged by, nor by what its decisions are held into."),
    Rule("helped", "It can be shown to have helped on sessions that nothing was chosen by.", "warns"),
    Rule("not_overfitted", "What is best in one half of the record is mostly above the middle in the other.", "warns"),
)


def check_tuning(of: Tuned, verdict: Verdict) -> list[Finding]:
    """All but the schema."""
    return [_apart(of), _helped(verdict), _not_overfitted(verdict)]


def _apart(of: Tuned) -> Finding:
    rows = [(one.fold.train.stop, one.fold.test.start, one.fold.purged) for one in of.choices]
    passed = all(purged > 0 for *_, purged in rows)
    text = f"{len(rows)} folds, each with {min(purged for *_, purged in rows)} sessions or more between the two parts"
    table = {"folds": Table(("chosen by rows before", "judged from row", "sessions between"), rows)}
    return Finding("apart", passed, text, {}, table)


def _helped(verdict: Verdict) -> Finding:
    return Finding("helped", verdict.helped, verdict.sentences[0])


def _not_overfitted(verdict: Verdict) -> Finding:
    """Not judged where it cannot be told: absence is a doubt."""
    likely = verdict.overfitting
    if isinstance(likely, str):
        return Finding("not_overfitted", False, f"the probability of overfitting cannot be told: {likely}")
    text = f"the probability of overfitting is {likely.probability:.2f} by {likely.trials:,} settings; {_EVEN} is luck"
    return Finding("not_overfitted", likely.probability < _EVEN, text, {"probability": likely.probability})
