"""The audit chain: how a record is sealed with the hash of the one before, and how the first bad one is found.

Pure; SQL is in journal.py, what is worth a record is the rooms'. A link holds text exactly as it is stored, so that
nothing between database and hash can hide a change. The chain finds what was edited after the fact. Who can write
every row can also cut the chain and set its head back, or compute it anew: against that only a head noted elsewhere
helps, which is why it is logged and told with each halt, and why `tokenomics audit verify --head` looks for one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from tokenomics_dagster.model.canonical import canonical_json, digest

GENESIS = 64 * "0"
# Kinds that are written with what they tell of, and never alone.
ORDER, FILL, SNAPSHOT = "order", "fill", "snapshot"
HALT, RESUME, APPROVAL, SETTLEMENT, ADOPTION = "halt", "resume", "approval", "settlement", "adoption"
RESERVED = frozenset({ORDER, FILL, SNAPSHOT, HALT, RESUME, APPROVAL, SETTLEMENT, ADOPTION})
HEAD_TOLD = "head_told"
"""That a person was told where the audit ends, somewhere else."""
SUMMARY_TOLD = "summary_told"
"""That a person was told what a week's report says; `report` is the instant of that."""
# Kinds after which the head is logged, too: what a person decides, and how a rebalance ends.
ANCHORED = frozenset({HALT, RESUME, APPROVAL, SETTLEMENT, ADOPTION, "reconciliation", "stopped"})


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """What happened (`kind`, `payload`), when, and in which rebalance week; records are numbered 1, 2, 3, ..."""

    seq: int
    at: datetime
    kind: str
    week: date | None
    payload: dict[str, Any]
    previous_hash: str
    hash: str


@dataclass(frozen=True, slots=True)
class AuditDiscrepancy:
    """The first bad record and what is wrong with it; `seq` is None where no record tells of a ledger row."""

    seq: int | None
    what: str


@dataclass(frozen=True, slots=True)
class Head:
    """How many records there are, and the hash of the last: without it a cut-off tail would leave a whole chain."""

    count: int
    hash: str


class Link(NamedTuple):
    """A record as it is stored: `at` ISO 8601 in UTC, `week` ISO 8601, `payload` canonical JSON."""

    seq: int
    at: str
    kind: str
    week: str | None
    payload: str
    previous_hash: str
    hash: str

    def seal(self) -> str:
        """The hash that fits the content: SHA-256 over the canonical JSON of every field before it."""
        return digest(list(self[:-1]))

    def read(self) -> AuditRecord:
        """Raises ValueError or TypeError when the stored text is not what was written."""
        week = None if self.week is None else date.fromisoformat(self.week)
        at = datetime.fromisoformat(self.at)
        return AuditRecord(self.seq, at, self.kind, week, json.loads(self.payload), self.previous_hash, self.hash)


def next_link(head: Head, kind: str, payload: Mapping[str, Any], at: datetime, week: date | None) -> Link:
    """The link that follows `head`. Raises ValueError for an instant without a zone, and for NaN in the payload."""
    if at.tzinfo is None:
        raise ValueError(f"{at} has no time zone; the audit holds UTC instants")
    link = Link(
        seq=head.count + 1,
        at=at.astimezone(UTC).isoformat(timespec="microseconds"),
        kind=kind,
        week=None if week is None else week.isoformat(),
        payload=canonical_json(dict(payload)),
        previous_hash=head.hash,
        hash="",
    )
    return link._replace(hash=link.seal())


def first_discrepancy(links: Iterable[Link], head: Head) -> AuditDiscrepancy | None:
    """The first record, by number, that is not as it was written; None when all are. `links` are ordered by seq."""
    before: Link | None = None
    for link, after in _with_next(links):
        expected = 1 if before is None else before.seq + 1
        if link.seq > expected:
            return AuditDiscrepancy(expected, "is missing: it was deleted, or its number was changed")
        if link.seq < expected:
            return AuditDiscrepancy(link.seq, "was inserted before the first record")
        if link.seal() != link.hash:
            # An insertion that renumbers what follows shows itself in the first renumbered record only.
            if before is not None and link._replace(seq=before.seq).seal() == link.hash:
                return AuditDiscrepancy(before.seq, "was inserted: the record after it had this number")
            return AuditDiscrepancy(link.seq, "was changed: its content does not fit its hash")
        if link.previous_hash != (GENESIS if before is None else before.hash):
            # One of the two was written anew with a fitting hash: not this one, if what follows it vouches for it.
            if before is not None and link.hash == (head.hash if after is None else after.previous_hash):
                return AuditDiscrepancy(before.seq, "was replaced: the record after it was chained to another one")
            return AuditDiscrepancy(link.seq, "was replaced or moved: it is not chained to the record before it")
        if link.seq > head.count:
            return AuditDiscrepancy(link.seq, f"was added by hand: the head counts {head.count} records")
        before = link
    count, last = (0, GENESIS) if before is None else (before.seq, before.hash)
    if count < head.count:
        return AuditDiscrepancy(count + 1, f"is missing: the head counts {head.count} records, the end was cut off")
    if last != head.hash:
        return AuditDiscrepancy(count, "was replaced, or the head was changed: the head names another hash")
    return None


def _with_next(links: Iterable[Link]) -> Iterator[tuple[Link, Link | None]]:
    iterator = iter(links)
    current = next(iterator, None)
    while current is not None:
        following = next(iterator, None)
        yield current, following
        current = following


def as_payload(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as the audit tells it: amounts as they are stored, instants in UTC; the same before and after storing."""
    plain: dict[str, Any] = {}
    for field, value in row.items():
        if isinstance(value, Decimal):
            plain[field] = format(value, "f")
        elif isinstance(value, datetime):
            plain[field] = value.astimezone(UTC).isoformat()
        else:
            plain[field] = value.isoformat() if isinstance(value, date) else value
    return plain
