"""Which symbols are partitions of the financials: those of the universe. Pure: who adds and deletes is elsewhere."""

from collections.abc import Iterable
from typing import NamedTuple


class PartitionChanges(NamedTuple):
    """Symbols to add and to retire now, and those that would be retired if nothing were under way; each sorted."""

    add: list[str]
    retire: list[str]
    waiting: list[str]


def partition_changes(universe: Iterable[str], existing: Iterable[str], *, in_flight: bool) -> PartitionChanges:
    """What makes `existing` equal to the universe. Deleting a partition fails the runs that are `in_flight`.

    An empty universe is a failed reading, never a reason to retire every symbol.
    """
    followed, known = set(universe), set(existing)
    if not followed:
        return PartitionChanges([], [], [])
    gone = sorted(known - followed)
    return PartitionChanges(sorted(followed - known), [] if in_flight else gone, gone if in_flight else [])
