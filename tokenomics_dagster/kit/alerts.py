"""Alerts: tells a person of each problem once, again when it lasts, and when it is over; and of what was done, once.
Logged always, and sent to the addresses that there are (channels.py).

What was told is in the warehouse, by the key of the problem or as a record of the audit, so that every process tells
one story. What a problem is, and what a summary says, is the caller's to say. The time between two messages is the
machine's: they must go out while the broker is away.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from tokenomics_dagster.kit.channels import Addresses, Channel, one_line
from tokenomics_dagster.settings.alerts import AlertSettings

if TYPE_CHECKING:
    from tokenomics_dagster.storage.records import Alert
    from tokenomics_dagster.storage.warehouse import Warehouse

log = logging.getLogger("tokenomics.alerts")

_TURN_S = 7.0  # another process that waits for the addresses is done after one time-out
_LONGEST = 1_500  # characters of a text; Slack cuts a message at 4,000, Discord refuses one of more than 2,000
_HEAD_EVERY = timedelta(days=7)

# The keys of problems, as they are stored: under another one an old problem would be told anew, and as over.
BROKER, DAEMON, HALT, SETTINGS, WAREHOUSE, WEEK = "broker", "daemon", "halt", "settings", "warehouse", "week"
RUN, RUNS = "run", "runs"  # one that is silent; that none could be looked at
_AUDIT_HEAD, _SUMMARY = "audit_head", "summary"


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, in one line and in full, what to do about it, and where to look."""

    title: str
    detail: str
    action: str
    link: str | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """What was done in a week, by its Monday, in one line and in several; `of` is the instant of the report that it
    tells."""

    week: date
    of: datetime
    title: str
    lines: Sequence[str]
    action: str
    link: str


def job_key(job: str) -> str:
    """Of a job or an asset."""
    return f"job:{job}"


def run_key(run_id: str) -> str:
    return f"{RUN}:{run_id}"


def check_key(check: str) -> str:
    """Of one that is named "orders.traded"."""
    return f"check:{check.replace('.', ':')}"


def run_link(settings: AlertSettings, run_id: str) -> str:
    return f"{settings.ui_url.rstrip('/')}/runs/{run_id}"


def without_warehouse(error: Exception) -> Problem:
    return Problem(
        "the warehouse cannot be used",
        str(error),
        "see whether the database runs, can be reached and written, and has room; until then nothing is traded",
    )


class Notifier:
    """Tells the people of one platform; who shares it tells one story even while the warehouse is away."""

    def __init__(self) -> None:
        # What was told and could not be kept: known to this process only, and better than each minute again.
        self._unkept: dict[str, Alert] = {}

    def alert(self, key: str, problem: Problem, store: "Warehouse", channel: Channel) -> None:
        """One problem that was just met. Never an error: the work that alerts must go on."""
        self.report({key: problem}, store, channel, over=lambda _: False)

    def report(
        self,
        problems: Mapping[str, Problem],
        store: "Warehouse | None",
        channel: Channel,
        *,
        over: Callable[[str], bool],
    ) -> bool:
        """Tells of the problems that there are, by their keys, and of the end of those known ones that are `over`.

        What no address takes stays untold, and is tried at the next call: then False. Without a warehouse (None, or one
        that cannot be reached) the messages go out all the same.
        """
        from tokenomics_dagster.storage.records import WarehouseBusy, WarehouseError

        now = datetime.now(UTC)
        addresses = Addresses(channel)
        known, unsent, told = dict(self._unkept), dict(problems), True
        if store is not None:
            try:
                with _turn(store):
                    kept = store.alerts()
                    known |= {
                        key: one for key, one in kept.items() if key not in known or known[key].seen_at <= one.seen_at
                    }
                    for key in problems:
                        seen = self._unkept[key] = _notify(addresses, key, unsent.pop(key), known.get(key), now)
                        store.save_alert(seen)
                        del self._unkept[key]
                        told = told and seen.told_at is not None
                    for key, before in known.items():
                        if key in problems or not over(key):
                            continue
                        if _notify_of_end(addresses, before, now):
                            self._unkept.pop(key, None)
                            store.forget_alert(key)
                        else:
                            told = False
                return told
            except WarehouseBusy:
                for key, problem in problems.items():
                    log.error(
                        "%s (%s) not told now, another process is telling: %s", problem.title, key, problem.detail
                    )
                return False
            except WarehouseError as error:
                log.warning("what is told cannot be kept: %s", error)
                unsent[WAREHOUSE] = without_warehouse(error)
                addresses = Addresses(channel)  # waiting for the warehouse may have taken all of the look's time
        for key, problem in unsent.items():
            self._unkept[key] = _notify(addresses, key, problem, known.get(key), now)
        return all(self._unkept[key].told_at is not None for key in unsent)


def notify_of_head(
    store: "Warehouse", channel: Channel, now: datetime, week: Callable[[datetime], Sequence[str]] = lambda _: ()
) -> bool:
    """Once a week, by the broker's time `now`: where the audit ends, to a place that nobody reaches from the database;
    before that what came since the last such message, in lines that `week` is asked for when they are due alone. False
    where no address takes it.

    It is the proof, too, that a message arrives: who hears nothing else for weeks cannot tell peace from a channel that
    is broken. That it was told is a record of the audit itself. What is not taken is tried at the next call. Raises
    WarehouseError.
    """
    from tokenomics_dagster.storage.audit import HEAD_TOLD
    from tokenomics_dagster.storage.records import WarehouseBusy

    since = _head_due_since(store, now)
    if since is None:
        return True
    brought = week(since)  # before the turn: who waits for it must not wait for a broker
    try:
        with _turn(store):
            if _head_due_since(store, now) is None:
                return True
            head = store.audit_head()
            audit = (
                f"the audit has {head.count} records, the last one's hash is {head.hash}; {len(store.alerts())} "
                "problems are open"
            )
            message = _of_lines(
                key=_AUDIT_HEAD,
                title="this week's message",
                lines=[*brought, audit],
                action=f"keep it: `tokenomics audit verify --head {head.hash} --count {head.count}` finds records that "
                "were removed or written anew; where a week passes without one, no alert would arrive either",
                link=channel.settings.ui_url,
                now=now,
            )
            if not Addresses(channel).take("weekly", message, now):
                return False
            log.info("%s: %s", message.title, message.detail)
            store.audit(HEAD_TOLD, {"count": head.count, "hash": head.hash}, at=now)
    except WarehouseBusy:
        log.info("this week's message waits for the next look: another process is telling")
    return True


def _head_due_since(store: "Warehouse", now: datetime) -> datetime | None:
    """When it was told last, or the audit began; None where that is no week ago."""
    since = store.head_notified_at()
    return since if since is not None and now - since >= _HEAD_EVERY else None


def notify_of_weeks(
    store: "Warehouse", channel: Channel, now: datetime, untold: Callable[[], Iterator[Summary]]
) -> bool:
    """The summaries that are `untold`, asked for once no other process tells; each is a record of the audit when it was
    taken, so that whoever looks next knows it. False where no address takes one: it is tried at the next call.

    Raises WarehouseError.
    """
    from tokenomics_dagster.storage.audit import SUMMARY_TOLD
    from tokenomics_dagster.storage.records import WarehouseBusy

    addresses = Addresses(channel)
    try:
        with _turn(store):
            for one in untold():
                message = _of_lines(_SUMMARY, one.title, one.lines, one.action, one.link, now)
                if not addresses.take("rebalanced", message, now):
                    return False
                log.info("%s: %s", message.title, message.detail)
                store.audit(SUMMARY_TOLD, {"report": one.of}, at=now, week=one.week)
    except WarehouseBusy:
        log.info("the week's summary waits for the next look: another process is telling")
    return True


def _of_lines(key: str, title: str, lines: Sequence[str], action: str, link: str, now: datetime) -> "Alert":
    """A message that is no problem: told once, and known to nobody but the audit."""
    from tokenomics_dagster.storage.records import Alert

    return Alert(
        key=key,
        title=title,
        detail=_short("\n".join(map(one_line, lines))),
        action=action,
        link=link,
        first_seen_at=now,
        seen_at=now,
        count=1,
        told_at=None,
    )


@contextmanager
def _turn(store: "Warehouse") -> Iterator[None]:
    """One process tells at a time: two that look at once must not both find a problem new."""
    from tokenomics_dagster.storage.records import WarehouseBusy

    deadline = time.monotonic() + _TURN_S
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(store.exclusive("alerts"))
                break
            except WarehouseBusy:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(0.1)
        yield


def _notify(addresses: Addresses, key: str, problem: Problem, before: "Alert | None", now: datetime) -> "Alert":
    """The problem as seen once more, after telling of it if that is due."""
    from tokenomics_dagster.storage.records import Alert

    told_at = before.told_at if before else None
    seen = Alert(
        key=key,
        title=problem.title,
        detail=_short(problem.detail),
        action=problem.action,
        link=problem.link,
        first_seen_at=before.first_seen_at if before else now,
        seen_at=now,
        count=1 + (before.count if before else 0),
        told_at=told_at,
    )
    again = told_at is not None and now - told_at >= addresses.repeat_after
    if before is None or again:
        log.error("%s: %s; what to do: %s %s", seen.title, seen.detail, seen.action, seen.link or "")
    if (told_at is None or again) and addresses.take("still" if again else "problem", seen, now):
        return replace(seen, told_at=now)
    return seen


def _notify_of_end(addresses: Addresses, before: "Alert", now: datetime) -> bool:
    """Whether the problem can be forgotten: its end was told, or nobody had heard of it."""
    if before.told_at is not None and not addresses.take("recovered", before, now):
        return False
    log.warning("recovered: %s", before.title)
    return True


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
