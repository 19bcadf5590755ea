"""Alerts: tells a person of each problem once, again when it lasts, and when it is over. Logged always, and posted to
the webhook of the settings where they have one.

What was told is in the warehouse, by the key of the problem, so that every process tells one story. What a problem is,
is the caller's to say. The time between two messages is the machine's: they must go out while the broker is away.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from pydantic import SecretStr

from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.alerts import AlertSettings

if TYPE_CHECKING:
    from tokenomics_dagster.storage.records import Alert
    from tokenomics_dagster.storage.warehouse import Warehouse

log = logging.getLogger("tokenomics.alerts")

State = Literal["problem", "still", "recovered", "weekly"]

_TIMEOUT_S = 5.0
_LOOK_S = 20.0  # for all messages of one look: a sensor has 60 s
_TURN_S = 6.0  # another process that waits for the webhook is done after one time-out
_LONGEST = 1_500  # characters of a text; Slack cuts a message at 4,000
_HEAD_EVERY = timedelta(days=7)

# The keys of problems, as they are stored: under another one an old problem would be told anew, and as over.
BROKER, HALT, SETTINGS, WAREHOUSE, WEEK = "broker", "halt", "settings", "warehouse", "week"
RUN, RUNS = "run", "runs"  # one that is silent; that none could be looked at
_AUDIT_HEAD = "audit_head"

_INERT = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", "*": "\N{ASTERISK OPERATOR}", "~": "\N{TILDE OPERATOR}"}
)


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, in one line and in full, what to do about it, and where to look."""

    title: str
    detail: str
    action: str
    link: str | None = None


@dataclass(frozen=True, slots=True)
class Channel:
    """How people are told, and by which webhook; None where the log is all there is. Its address is a secret."""

    settings: AlertSettings
    webhook: SecretStr | None


def channel_of(settings: Settings) -> Channel:
    return Channel(settings.alerts, settings.environment.alert_webhook_url)


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
    ) -> None:
        """Tells of the problems that there are, by their keys, and of the end of those known ones that are `over`.

        What the webhook does not take stays untold, and is tried at the next call. Without a warehouse (None, or one
        that cannot be reached) the messages go out all the same.
        """
        from tokenomics_dagster.storage.records import WarehouseBusy, WarehouseError

        now = datetime.now(UTC)
        webhook = _Webhook(channel)
        known, unsent = dict(self._unkept), dict(problems)
        if store is not None:
            try:
                with _turn(store):
                    kept = store.alerts()
                    known |= {
                        key: one for key, one in kept.items() if key not in known or known[key].seen_at <= one.seen_at
                    }
                    for key in problems:
                        seen = self._unkept[key] = _notify(webhook, key, unsent.pop(key), known.get(key), now)
                        store.save_alert(seen)
                        del self._unkept[key]
                    for key, before in known.items():
                        if key not in problems and over(key) and _notify_of_end(webhook, before, now):
                            self._unkept.pop(key, None)
                            store.forget_alert(key)
                return
            except WarehouseBusy:
                for key, problem in problems.items():
                    log.error(
                        "%s (%s) not told now, another process is telling: %s", problem.title, key, problem.detail
                    )
                return
            except WarehouseError as error:
                log.warning("what is told cannot be kept: %s", error)
                unsent[WAREHOUSE] = without_warehouse(error)
                webhook = _Webhook(channel)  # waiting for the warehouse may have taken all of the look's time
        for key, problem in unsent.items():
            self._unkept[key] = _notify(webhook, key, problem, known.get(key), now)


def notify_of_head(store: "Warehouse", channel: Channel, now: datetime) -> None:
    """Once a week, by the broker's time `now`: where the audit ends, to a place that nobody reaches from the database.

    It is the proof, too, that a message arrives: who hears nothing else for weeks cannot tell peace from a channel that
    is broken. That it was told is a record of the audit itself. What the webhook does not take is tried at the next
    call. Raises WarehouseError.
    """
    from tokenomics_dagster.storage.audit import HEAD_TOLD
    from tokenomics_dagster.storage.records import Alert, WarehouseBusy

    try:
        with _turn(store):
            since, head = store.head_notified_at(), store.audit_head()
            if since is None or now - since < _HEAD_EVERY:
                return
            message = Alert(
                key=_AUDIT_HEAD,
                title="this week's message",
                detail=f"the audit has {head.count} records, the last one's hash is {head.hash}; {len(store.alerts())} "
                "problems are open",
                action=f"keep it: `tokenomics audit verify --head {head.hash} --count {head.count}` finds records that "
                "were removed or written anew; where a week passes without one, no alert would arrive either",
                link=channel.settings.ui_url,
                first_seen_at=now,
                seen_at=now,
                count=1,
                told_at=None,
            )
            if _Webhook(channel).takes("weekly", message, now):
                log.info("%s: %s", message.title, message.detail)
                store.audit(HEAD_TOLD, {"count": head.count, "hash": head.hash}, at=now)
    except WarehouseBusy:
        log.info("this week's message waits for the next look: another process is telling")


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


def _notify(webhook: "_Webhook", key: str, problem: Problem, before: "Alert | None", now: datetime) -> "Alert":
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
    again = told_at is not None and now - told_at >= webhook.repeat_after
    if before is None or again:
        log.error("%s: %s; what to do: %s %s", seen.title, seen.detail, seen.action, seen.link or "")
    if (told_at is None or again) and webhook.takes("still" if again else "problem", seen, now):
        return replace(seen, told_at=now)
    return seen


def _notify_of_end(webhook: "_Webhook", before: "Alert", now: datetime) -> bool:
    """Whether the problem can be forgotten: its end was told, or nobody had heard of it."""
    if before.told_at is not None and not webhook.takes("recovered", before, now):
        return False
    log.warning("recovered: %s", before.title)
    return True


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


class _Webhook:
    """The address that is told, for one look: after a message that it did not take no other is tried."""

    def __init__(self, channel: Channel) -> None:
        self._format = channel.settings.format
        self._url = None if channel.webhook is None else channel.webhook.get_secret_value()
        self._gave_up = False
        self._until = time.monotonic() + _LOOK_S
        self.repeat_after = timedelta(hours=channel.settings.repeat_hours)

    def takes(self, state: State, alert: "Alert", now: datetime) -> bool:
        """True when the message was accepted, or when there is no address: then the log is all there is."""
        if self._url is None:
            return True
        if self._gave_up or time.monotonic() >= self._until:
            return False
        import requests

        body = _slack(state, alert) if self._format == "slack" else _plain(state, alert, now)
        try:
            with _unlogged(self._url):
                # A redirect would carry what was told to an address that nobody has set.
                status = requests.post(self._url, json=body, timeout=_TIMEOUT_S, allow_redirects=False).status_code
        except (OSError, ValueError) as error:  # requests' own, and certificates that are missing; what is no address
            # The text of the error holds the address, and the address is a secret.
            log.warning("the alert webhook cannot be reached (%s)", type(error).__name__)
            self._gave_up = True
            return False
        if not 200 <= status < 300:
            log.warning("the alert webhook answered with status %d", status)
            self._gave_up = True
            return False
        return True


@contextmanager
def _unlogged(url: str) -> Iterator[None]:
    """urllib3 logs the path of every call at DEBUG, and the path of a webhook is its password."""
    logger = logging.getLogger("urllib3.connectionpool")
    path = urlsplit(url).path

    def without_path(record: logging.LogRecord) -> bool:
        return path not in record.getMessage()

    logger.addFilter(without_path)
    try:
        yield
    finally:
        logger.removeFilter(without_path)


def _slack(state: State, alert: "Alert") -> dict[str, str]:
    """Slack's incoming webhooks take `text` alone; *bold* is its markup."""
    title, detail, action = _inert(alert.title), _inert(alert.detail), _inert(alert.action)
    if state == "recovered":
        return {"text": f"*recovered: {title}*\nIt was first seen {_when(alert)}."}
    title = f"still: {title}" if state == "still" else title
    seen = f"\nSeen {alert.count} times since {alert.first_seen_at:%Y-%m-%d %H:%M} UTC." if state == "still" else ""
    link = f"\n{alert.link}" if alert.link else ""
    return {"text": f"*{title}*\n{detail}{seen}\nWhat to do: {action}{link}"}


def _inert(text: str) -> str:
    """The text as Slack shows it as it is: no link, no call of a channel, no bold; one line, and no hidden direction.

    Slack escapes three characters (`<!channel>` and `<url|name>` need two of them); its marks have no escape, so the
    two that change a line give way to their likes.
    """
    plain = "".join(c if c.isprintable() else " " for c in text)
    return plain.translate(_INERT)


def _when(alert: "Alert") -> str:
    times = "once" if alert.count == 1 else f"{alert.count} times"
    return f"at {alert.first_seen_at:%Y-%m-%d %H:%M} UTC, {times} in all"


def _plain(state: State, alert: "Alert", now: datetime) -> dict[str, str | int | None]:
    return {
        "key": alert.key,
        "state": state,
        "title": alert.title,
        "detail": alert.detail,
        "action": alert.action,
        "link": alert.link,
        "count": alert.count,
        "at": now.isoformat(),
    }
