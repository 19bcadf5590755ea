"""What came of a room once the jobs of the whole house have run, for a person and for machines: `tokenomics demo`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from tokenomics_dagster.kit.checks import Table


@dataclass(frozen=True, slots=True)
class Stage:
    """How many there are of what was made, and why the others were left out, in lines."""

    name: str
    count: int
    others: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """`document` holds plain JSON by keys that no other room has; amounts are exact decimals as text, weights fractions
    of equity. `tables` are what a person wants to know first; they go by their titles, their cells are texts.
    """

    document: Mapping[str, Any]
    stages: Sequence[Stage] = ()
    tables: Mapping[str, Table] = field(default_factory=dict)


def kind_of(reason: str) -> str:
    """The reason without what is told of the single name."""
    return reason.split(":")[0].split(",")[0]


def in_lines(counts: Counter[str], remarks: Mapping[str, str] = MappingProxyType({})) -> str:
    """Every reason, one a line, the most frequent first: together they are all that were left out."""
    return "\n".join(f"{reason} {count:,}{remarks.get(reason, '')}" for reason, count in counts.most_common())
