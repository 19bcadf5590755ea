"""What came of a room once the jobs of the whole house have run, for a person and for machines: `tokenomics demo`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tokenomics_dagster.kit.checks import Table

_MOST_SHOWN = 6


@dataclass(frozen=True, slots=True)
class Stage:
    """How many there are of what was made, and why the others were left out, in lines."""

    name: str
    count: int
    others: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """`document` holds plain JSON by keys that no other room has; amounts are exact decimals as text, weights fractions
    of equity. `tables` go by their titles, their cells are texts.
    """

    document: Mapping[str, Any]
    stages: Sequence[Stage] = ()
    tables: Mapping[str, Table] = field(default_factory=dict)


def kind_of(reason: str) -> str:
    """The reason without what is told of the single name."""
    return reason.split(":")[0].split(",")[0]


def in_lines(counts: Counter[str]) -> str:
    """The most frequent reasons, one a line."""
    return "\n".join(f"{reason} {count}" for reason, count in counts.most_common(_MOST_SHOWN))
