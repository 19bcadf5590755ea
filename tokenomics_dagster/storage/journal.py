"""What happened and what was decided, record by record: the audit; the alerts that are known; the last backup.

Halts, approvals and adoptions are nothing but records: a second table could only disagree with them. How records are
chained is in audit.py, whether the chain is whole is asked in verification.py, how a record is told in telling.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from tokenomics_dagster.model import calendar
from tokenomics_dagster.storage import telling
from tokenomics_dagster.storage.audit import (
    ADOPTION,
    APPROVAL,
    GENESIS,
    HALT,
    HEAD_TOLD,
    RESERVED,
    RESUME,
    SUMMARY_TOLD,
    AuditRecord,
    Head,
    Link,
    as_payload,
    next_link,
)
from tokenomics_dagster.storage.database import Database
from tokenomics_dagster.storage.records import Adoption, Alert, Approval, Backup, Halt, WarehouseError, fields_of
from tokenomics_dagster.storage.tables import ALERTS, AUDIT, AUDIT_HEAD, BACKUPS

Append = Callable[[str, Mapping[str, Any], datetime, date | None], None]


class Journal(Database):
    _seen: Head | None = None  # the end of the audit as this process last saw it

    def audit(self, kind: str, payload: Mapping[str, Any], *, at: datetime, week: date | None = None) -> None:
        """Appends a record; payload: Decimals, dates and instants become text. Never a secret: it cannot be removed."""
        if kind in RESERVED:
            raise ValueError(f"records of kind {kind} are written with what they tell of")
        with self._audited() as (_, append):
            append(kind, payload, at, week)

    def audit_records(self, week: date | None = None) -> list[AuditRecord]:
        """The records (of a rebalance week), in their order."""
        query = sa.select(AUDIT).order_by(AUDIT.c.seq)
        if week is not None:
            query = query.where(AUDIT.c.week == week.isoformat())
        with self._read() as connection:
            return [_read_link(Link(*row)) for row in connection.execute(query)]

    def audit_head(self) -> Head:
        """How many records there are and the hash of the last: what to note elsewhere."""
        with self._read() as connection:
            return head_of(connection)

    def head_notified_at(self) -> datetime | None:
        """When a person was last told where the audit ends; before the first time when it began; None without any."""
        record = self._newest_record(AUDIT.c.kind == HEAD_TOLD) or self._newest_record(AUDIT.c.seq == 1)
        return None if record is None else record.at

    def summarized_until(self) -> datetime | None:
        """The instant of the last report that a person was told of; None before the first time."""
        record = self._newest_record(AUDIT.c.kind == SUMMARY_TOLD)
        return None if record is None else datetime.fromisoformat(record.payload["report"])

    def record_with(self, hash_: str) -> int | None:
        """The number of the audit record with this hash; None when there is none."""
        with self._read() as connection:
            return connection.scalar(sa.select(AUDIT.c.seq).where(AUDIT.c.hash == hash_))

    def halt(self, reason: str, *, by: str, at: datetime) -> None:
        """From now on nothing is traded, until `resume`; `reason` must not be empty."""
        self._decide(HALT, reason, by, at)

    def resume(self, reason: str, *, by: str, at: datetime) -> None:
        """Lifts every halt; `reason` must not be empty."""
        self._decide(RESUME, reason, by, at)

    def _decide(self, kind: str, reason: str, by: str, at: datetime) -> None:
        if not reason.strip():
            raise ValueError(f"a {kind} needs a reason")
        with self._audited() as (_, append):
            append(kind, {"reason": reason, "by": by}, at, calendar.week_of(at))

    def halted(self) -> Halt | None:
        """The newest halt that no resume has lifted."""
        record = self._newest_record(AUDIT.c.kind.in_((HALT, RESUME)))
        if record is None or record.kind == RESUME:
            return None
        return Halt(record.payload["reason"], record.payload["by"], record.at)

    def resumed_at(self) -> datetime | None:
        """When a person last lifted a halt."""
        record = self._newest_record(AUDIT.c.kind == RESUME)
        return None if record is None else record.at

    def approve(self, plan_id: str, plan_hash: str, *, by: str, at: datetime) -> None:
        payload = {"plan_id": plan_id, "plan_hash": plan_hash, "by": by}
        with self._audited() as (_, append):
            append(APPROVAL, payload, at, calendar.week_of(at))

    def approval(self, plan_hash: str | None = None) -> Approval | None:
        """The newest approval of the plan with this hash; without one, of any plan."""
        wanted = [AUDIT.c.kind == APPROVAL]
        if plan_hash is not None:
            # Quotes inside a value are escaped in canonical JSON: no other field can look like this one.
            wanted.append(AUDIT.c.payload.contains(f'"plan_hash":"{plan_hash}"', autoescape=True))
        record = self._newest_record(*wanted)
        return None if record is None else Approval(**record.payload, at=record.at)

    def adopt(self, adoptions: Sequence[Adoption]) -> None:
        """Records, all or none, that what the account holds of these symbols is a sleeve's from now on."""
        with self._audited() as (_, append):
            for one in adoptions:
                payload = {key: value for key, value in as_payload(fields_of(one)).items() if key != "at"}
                append(ADOPTION, payload, one.at, calendar.week_of(one.at))

    def adoptions(self, account: str) -> dict[str, Adoption]:
        """The newest of each symbol of an account."""
        query = sa.select(AUDIT).where(AUDIT.c.kind == ADOPTION).order_by(AUDIT.c.seq)
        with self._read() as connection:
            found = [_read_adoption(Link(*row)) for row in connection.execute(query)]
        return {one.symbol: one for one in found if one.account == account}

    def alerts(self) -> dict[str, Alert]:
        """The problems that are known, by their keys."""
        with self._read() as connection:
            return {row["key"]: Alert(**row) for row in connection.execute(sa.select(ALERTS)).mappings()}

    def save_alert(self, alert: Alert) -> None:
        """Inserts or replaces the problem of that key."""
        with self._write() as connection:
            connection.execute(sa.delete(ALERTS).where(ALERTS.c.key == alert.key))
            connection.execute(sa.insert(ALERTS), fields_of(alert))

    def forget_alert(self, key: str) -> None:
        with self._write() as connection:
            connection.execute(sa.delete(ALERTS).where(ALERTS.c.key == key))

    def last_backup(self) -> Backup | None:
        """The dump that was made last; None where nobody has told of one."""
        newest = sa.select(BACKUPS.c.begun_at, BACKUPS.c.bytes, BACKUPS.c.server_version)
        with self._read() as connection:
            found = connection.execute(newest.order_by(BACKUPS.c.id.desc()).limit(1)).first()
        return None if found is None else Backup(*found)

    def _newest_record(self, *wanted: sa.ColumnElement[bool]) -> AuditRecord | None:
        query = sa.select(AUDIT).where(*wanted).order_by(AUDIT.c.seq.desc()).limit(1)
        with self._read() as connection:
            found = connection.execute(query).first()
        return None if found is None else _read_link(Link(*found))

    @contextmanager
    def _audited(self) -> Iterator[tuple[sa.Connection, Append]]:
        """A write transaction that owns the end of the audit: its connection, and how to append a record.

        The head is locked before anything else is written, so that writers queue up: no fork, and no deadlock.
        """
        with self._write() as connection:
            head = self._same_audit(connection, head_of(connection, lock=True))
            links: list[Link] = []

            def append(kind: str, payload: Mapping[str, Any], at: datetime, week: date | None) -> None:
                last = Head(links[-1].seq, links[-1].hash) if links else head
                links.append(next_link(last, kind, payload, at, week))

            yield connection, append
            if not links:
                return
            try:
                connection.execute(sa.insert(AUDIT), [link._asdict() for link in links])
            except exc.IntegrityError:
                raise WarehouseError(
                    f"the audit's head counts {head.count} records, but record {head.count + 1} is there: it was "
                    "changed by hand, and nothing more is recorded or traded; run `tokenomics audit verify`"
                ) from None
            connection.execute(sa.update(AUDIT_HEAD).values(count=links[-1].seq, hash=links[-1].hash))
        self._seen = Head(links[-1].seq, links[-1].hash)
        telling.log_records(links)

    def _same_audit(self, connection: sa.Connection, head: Head) -> Head:
        """The end of the audit, which must have grown from where this process saw it last: else it is another's."""
        seen = self._seen
        if seen is not None and seen.count > 0 and head != seen:
            found = connection.scalar(sa.select(AUDIT.c.hash).where(AUDIT.c.seq == seen.count))
            if found != seen.hash:
                raise WarehouseError(
                    f"warehouse {self._shown} was replaced or restored while it was "
                    f"in use: record {seen.count} of its audit is no longer the one that was there; nothing more is "
                    "recorded or traded here; make sure that it is the right one, then run it again"
                )
        return head


def head_of(connection: sa.Connection, *, lock: bool = False) -> Head:
    """Where the audit ends; with `lock` nobody else appends until the transaction is over."""
    query = sa.select(AUDIT_HEAD.c.count, AUDIT_HEAD.c.hash)
    found = connection.execute(query.with_for_update() if lock else query).first()
    if found is None and lock:
        first = {"id": 1, "count": 0, "hash": GENESIS}
        connection.execute(
            sa.text("INSERT INTO audit_head (id, count, hash) VALUES (:id, :count, :hash) ON CONFLICT DO NOTHING"),
            first,
        )
        found = connection.execute(query.with_for_update()).one()
    return Head(0, GENESIS) if found is None else Head(*found)


def _read_link(link: Link) -> AuditRecord:
    try:
        return link.read()
    except (ValueError, TypeError):
        raise _unreadable(link) from None


def _read_adoption(link: Link) -> Adoption:
    record = _read_link(link)
    try:
        return Adoption(**{"asset_id": "", **record.payload, "qty": Decimal(record.payload["qty"])}, at=record.at)
    except (KeyError, TypeError, ValueError, ArithmeticError):
        raise _unreadable(link) from None


def _unreadable(link: Link) -> WarehouseError:
    return WarehouseError(
        f"audit record {link.seq} cannot be read: it was changed by hand; run `tokenomics audit verify`"
    )
