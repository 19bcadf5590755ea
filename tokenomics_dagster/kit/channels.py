"""How a message reads, and the addresses that take it. When somebody is told, and what, is alerts.py's.

The webhook of ALERT_WEBHOOK_URL is our own; the addresses of ALERT_URLS are apprise's (extra [notify]), which knows a
hundred services. One address that takes a message is enough for it to be told: which of them did is kept nowhere, and
a message that one never takes must not come to the others each minute. All are asked at once, with one time-out.
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from pydantic import SecretStr

from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.alerts import AlertSettings

if TYPE_CHECKING:
    from tokenomics_dagster.storage.records import Alert

log = logging.getLogger("tokenomics.alerts")

State = Literal["problem", "still", "recovered", "weekly", "rebalanced"]
_OF_LINES: tuple[State, ...] = ("weekly", "rebalanced")  # their detail has several, each made one by alerts.py

_TIMEOUT_S = 5.0  # for one call
_MESSAGE_S = 6.0  # for one message at all addresses: one of apprise's may take several calls
_LOOK_S = 20.0  # for all messages of one look: a sensor has 60 s
_LOGGERS = ("urllib3.connectionpool", "urllib3.util.retry", "requests_oauthlib.oauth1_auth", "requests_oauthlib")
"""They log addresses of calls, and the path of a webhook is its password."""

_SLACK = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", "*": "\N{ASTERISK OPERATOR}", "~": "\N{TILDE OPERATOR}"}
)
# A hundred services have as many marks, and apprise escapes HTML alone: what calls people, marks or hides a link in
# some of them gives way to its like.
_ANYWHERE = str.maketrans(
    {
        "<": "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}",
        ">": "\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}",
        "*": "\N{ASTERISK OPERATOR}",
        "~": "\N{TILDE OPERATOR}",
        "@": "\N{FULLWIDTH COMMERCIAL AT}",
        "[": "\N{FULLWIDTH LEFT SQUARE BRACKET}",
        "]": "\N{FULLWIDTH RIGHT SQUARE BRACKET}",
    }
)


@dataclass(frozen=True, slots=True)
class Channel:
    """How people are told, and where: by which webhook, at which addresses of apprise; with neither the log is all
    there is. Addresses are secrets."""

    settings: AlertSettings
    webhook: SecretStr | None
    addresses: tuple[SecretStr, ...] = ()


def channel_of(settings: Settings) -> Channel:
    environment = settings.environment
    return Channel(settings.alerts, environment.alert_webhook_url, environment.alert_addresses)


class Addresses:
    """All that are told, for one look: one that did not take a message is not tried with another."""

    def __init__(self, channel: Channel) -> None:
        self._open: list[_Webhook | _Apprised] = [
            _Apprised(place, address.get_secret_value()) for place, address in enumerate(channel.addresses, start=1)
        ]
        if channel.webhook is not None:
            self._open.append(_Webhook(channel.webhook.get_secret_value(), channel.settings.format))
        self._none = not self._open
        self._until = time.monotonic() + _LOOK_S
        self.repeat_after = timedelta(hours=channel.settings.repeat_hours)

    def take(self, state: State, alert: "Alert", now: datetime) -> bool:
        """True when one of them accepted the message, or when there is none: then the log is all there is."""
        if self._none:
            return True
        if not self._open or time.monotonic() >= self._until:
            return False
        tried = [_Sending(address, state, alert, now) for address in self._open]
        for one in tried:
            one.start()
        ends = time.monotonic() + _MESSAGE_S
        for one in tried:
            one.join(max(0.0, ends - time.monotonic()))
            if one.is_alive():
                log.warning("%s took longer than %g s", one.address, _MESSAGE_S)
        self._open = [one.address for one in tried if one.taken]
        return bool(self._open)


class _Sending(threading.Thread):
    """One message on its way to one address. Who waits for it no longer leaves it to its own time-outs."""

    def __init__(self, address: "_Webhook | _Apprised", state: State, alert: "Alert", now: datetime) -> None:
        super().__init__(name="alert", daemon=True)
        self.address, self.taken = address, False
        self._message = state, alert, now

    def run(self) -> None:
        self.taken = self.address.takes(*self._message)


class _Webhook:
    """ALERT_WEBHOOK_URL."""

    def __init__(self, url: str, form: str) -> None:
        self._url, self._format = url, form

    def __str__(self) -> str:
        return "the alert webhook"

    def takes(self, state: State, alert: "Alert", now: datetime) -> bool:
        import requests

        body = _slack(state, alert) if self._format == "slack" else _plain(state, alert, now)
        try:
            with unlogged():
                # A redirect would carry what was told to an address that nobody has set.
                status = requests.post(self._url, json=body, timeout=_TIMEOUT_S, allow_redirects=False).status_code
        except (OSError, ValueError) as error:  # requests' own, and certificates that are missing; what is no address
            # The text of the error holds the address, and the address is a secret.
            log.warning("the alert webhook cannot be reached (%s)", type(error).__name__)
            return False
        if not 200 <= status < 300:
            log.warning("the alert webhook answered with status %d", status)
            return False
        return True


class _Apprised:
    """One address of ALERT_URLS; of it a log knows its place there alone."""

    def __init__(self, place: int, url: str) -> None:
        self._place, self._url = place, url

    def __str__(self) -> str:
        return f"number {self._place} of ALERT_URLS"

    def takes(self, state: State, alert: "Alert", _now: datetime) -> bool:
        with unlogged():
            service = _service(self._url)
            if service is None:
                log.warning("%s is none that apprise knows: `tokenomics check` says so, too", self)
                return False
            import apprise

            sender = apprise.Apprise(asset=service.asset)
            sender.add(service)
            kinds = {"problem": "failure", "still": "failure", "recovered": "success"}
            title, *lines = _text(state, alert, _anywhere)
            taken = bool(
                sender.notify("\n".join(lines), title, apprise.NotifyType(kinds.get(state, "info")), body_format="text")
            )
        if not taken:
            log.warning("%s did not take a message", self)  # apprise says why with the address in it
        return taken


def unknown_addresses(channel: Channel) -> list[int]:
    """The places in ALERT_URLS, from 1, of those that apprise cannot use. Costs half a second the first time."""
    with unlogged():
        found = [_service(one.get_secret_value()) for one in channel.addresses]
    return [place for place, one in enumerate(found, start=1) if one is None]


def _service(url: str) -> Any:
    """What apprise makes of an address, held to our rules whatever the address says; None where it knows none such."""
    # Its lines hold addresses, and all that it has to say to us is whether a message was taken.
    logging.getLogger("apprise").disabled = True
    import apprise

    # Without a limit of its own it sends in this thread, whose lines are kept from the logs.
    asset = apprise.AppriseAsset(
        app_id="tokenomics", app_desc="tokenomics", app_url="", async_mode=False, service_timeout=0, secure_logging=True
    )
    service = apprise.Apprise.instantiate(url, asset=asset)
    if service is None:
        return None
    service.redirects, service.retry, service.optional = False, 0, False
    service.socket_connect_timeout = service.socket_read_timeout = _TIMEOUT_S
    if service.overflow_mode == apprise.OverflowMode.UPSTREAM:
        service.overflow_mode = apprise.OverflowMode.SPLIT  # the service would refuse what is too long for it
    return service


@contextmanager
def unlogged() -> Iterator[None]:
    """What the clients' libraries log in this thread meanwhile is lost: urllib3 logs each path at DEBUG."""
    me = threading.get_ident()

    def of_others(record: logging.LogRecord) -> bool:
        return record.thread != me

    loggers = [logging.getLogger(name) for name in _LOGGERS]
    for logger in loggers:
        logger.addFilter(of_others)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(of_others)


def one_line(text: str) -> str:
    """No line break, no hidden direction."""
    return "".join(c if c.isprintable() else " " for c in text)


def _in_slack(text: str) -> str:
    """The text as Slack shows it as it is: no link, no call of a channel, no bold.

    Slack escapes three characters (`<!channel>` and `<url|name>` need two of them); its marks have no escape, so the
    two that change a line give way to their likes.
    """
    return one_line(text).translate(_SLACK)


def _anywhere(text: str) -> str:
    return one_line(text).translate(_ANYWHERE)


def _slack(state: State, alert: "Alert") -> dict[str, str]:
    """Slack's incoming webhooks take `text` alone; *bold* is its markup."""
    title, *lines = _text(state, alert, _in_slack)
    return {"text": "\n".join([f"*{title}*", *lines])}


def _text(state: State, alert: "Alert", inert: Any) -> list[str]:
    """The title, and the lines below it; `inert` makes a text one that a service shows as it is."""
    if state == "recovered":
        return [f"recovered: {inert(alert.title)}", f"It was first seen {_when(alert)}."]
    title = inert(f"still: {alert.title}" if state == "still" else alert.title)
    lines = [inert(line) for line in (alert.detail.split("\n") if state in _OF_LINES else [alert.detail])]
    if state == "still":
        lines.append(f"Seen {alert.count} times since {alert.first_seen_at:%Y-%m-%d %H:%M} UTC.")
    lines.append(f"{'More' if state == 'rebalanced' else 'What to do'}: {inert(alert.action)}")
    return [title, *lines, *([alert.link] if alert.link else [])]


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
