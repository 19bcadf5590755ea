"""Faults on demand: rules from JSON, which call they strike, and what the HTTP client then sees.

Faults of orders (rejects, halts, ...) are decided here and carried out by the broker. Which requests are legal at all
(keys, rate limits) is the server's business.
"""

import asyncio
import contextlib
import dataclasses
import fnmatch
import json
import math
import random
import threading
import time
import urllib.parse
from collections.abc import Callable, Sequence
from typing import Any, Literal, Self, get_args

import pydantic
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HttpKind = Literal[
    "429",
    "429_no_headers",
    "500",
    "502_html",
    "503",
    "504",
    "timeout",
    "slow",
    "lost_answer",
    "lost_answer_504",
    "duplicate",
    "malformed_json",
    "truncated",
]
OrderKind = Literal["reject", "halt", "stuck_partial", "slow_fill", "cancel_sticks"]
HTTP_KINDS: tuple[str, ...] = get_args(HttpKind)
ORDER_KINDS: tuple[str, ...] = get_args(OrderKind)

SECONDS = {"429": 1.0, "timeout": 60.0, "slow": 2.0}  # defaults of `seconds`, and the kinds that take it

HANG_UP_S = 5.0

STATUS_OF = {"429": 429, "429_no_headers": 429, "500": 500, "502_html": 502, "503": 503, "504": 504}
MESSAGE_OF = {
    429: "API limit reached. Please try again later. Remaining Limit: 0",
    500: "internal server error occurred",
    503: "service unavailable",
    504: "upstream request timeout",
}
HTML_502 = (
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body><h1>502 Bad Gateway</h1></body>\r\n</html>\r\n"
)


class FaultError(ValueError):
    """A rule that is not one; the message says which, and what is allowed."""


class Rule(pydantic.BaseModel):
    """One fault: what it strikes, when, and how.

    HTTP kinds need `endpoint`, "METHOD /path" with shell wildcards ("* /v2/orders*"; `*` crosses slashes), and may
    narrow it by `query` ({"symbol": "AAPL"}, wildcards too). Order kinds take `symbol` (wildcards) and `side` instead.
    When: `calls` (numbers of matching calls, from 1), `every` n-th, or `probability` (drawn with `seed`); without one
    of them, always; `times` bounds how often in all. `seconds`: how long "slow" delays the answer (default 2), after
    how long "timeout" hangs up at last (60), and what "429" announces as its reset (1).
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    kind: Literal[HttpKind, OrderKind]
    endpoint: str | None = pydantic.Field(default=None, pattern=r"^(GET|POST|PUT|PATCH|DELETE|\*) /\S*$")
    query: dict[str, str] | None = None
    symbol: str | None = None
    side: Literal["buy", "sell"] | None = None
    calls: list[pydantic.PositiveInt] | None = pydantic.Field(default=None, min_length=1)
    every: pydantic.PositiveInt | None = None
    probability: float | None = pydantic.Field(default=None, gt=0, le=1)
    seed: int = 0
    times: pydantic.PositiveInt | None = None
    seconds: float | None = pydantic.Field(default=None, ge=0, le=600)

    @pydantic.field_validator("kind", mode="before")
    @classmethod
    def _status_as_text(cls, kind: Any) -> Any:
        return str(kind) if isinstance(kind, int) else kind

    @pydantic.model_validator(mode="after")
    def _belongs_together(self) -> Self:
        if self.kind in HTTP_KINDS:
            if self.endpoint is None:
                raise ValueError(f'kind {self.kind} needs endpoint, e.g. "GET /v2/orders*"')
            if self.symbol or self.side:
                raise ValueError(f"kind {self.kind} takes no symbol or side; they belong to {', '.join(ORDER_KINDS)}")
        elif self.endpoint or self.query:
            raise ValueError(f"kind {self.kind} strikes orders and takes symbol and side, not endpoint or query")
        if sum(when is not None for when in (self.calls, self.every, self.probability)) > 1:
            raise ValueError("only one of calls, every and probability is allowed")
        if self.seconds is not None and self.kind not in SECONDS:
            raise ValueError(f"kind {self.kind} takes no seconds; {', '.join(SECONDS)} do")
        return self

    def wait_s(self) -> float:
        return SECONDS[self.kind] if self.seconds is None else self.seconds


@dataclasses.dataclass(slots=True)
class _Armed:
    rule: Rule
    draw: random.Random
    matched: int = 0
    fired: int = 0

    def due(self) -> bool:
        """Count a matching call and say whether the rule wants to strike it."""
        rule = self.rule
        self.matched += 1
        chosen = (
            self.matched in rule.calls
            if rule.calls is not None
            else self.matched % rule.every == 0
            if rule.every is not None
            else self.draw.random() < rule.probability
            if rule.probability is not None
            else True
        )
        return chosen and (rule.times is None or self.fired < rule.times)


class Faults:
    """The rules in force. Each counts every call that it matches; the first that is due strikes. Thread-safe."""

    def __init__(self, rules: Any = ()) -> None:
        self._lock = threading.Lock()
        self.replace(rules)

    def replace(self, rules: Any) -> None:
        """Put other rules (a list of objects, see `Rule`) in force, counting from 0; FaultError keeps the old ones."""
        if isinstance(rules, str) or not isinstance(rules, Sequence):
            raise FaultError(f"faults: a list of rules is expected, not {type(rules).__name__}")
        armed = []
        for number, one in enumerate(rules):
            try:
                rule = Rule.model_validate(one)
            except pydantic.ValidationError as error:
                raise FaultError(f"faults[{number}]: {_explain(error)}") from None
            armed.append(_Armed(rule, random.Random(f"{rule.seed}|{number}")))  # noqa: S311 repeatable, not secret
        with self._lock:
            self._armed = armed

    def to_json(self) -> list[dict[str, Any]]:
        """The rules in force, each with `matched` (calls it fits) and `fired` (calls it struck)."""
        with self._lock:
            return [
                {**one.rule.model_dump(exclude_none=True), "matched": one.matched, "fired": one.fired}
                for one in self._armed
            ]

    def http_fault(self, method: str, path: str, query: dict[str, str]) -> Rule | None:
        """The rule that strikes this request, None if it goes through; asked once per request."""

        def fits(rule: Rule) -> bool:
            if rule.endpoint is None:
                return False
            wanted, pattern = rule.endpoint.split(" ", 1)
            return (
                wanted in ("*", method)
                and fnmatch.fnmatchcase(path, pattern)
                and all(fnmatch.fnmatchcase(query.get(key, ""), glob) for key, glob in (rule.query or {}).items())
            )

        return self._strike(fits)

    def order_fault(self, symbol: str, side: str) -> str | None:
        """ "reject", "halt", "stuck_partial", "slow_fill" or None; asked once, when an order is accepted."""
        rule = self._strike(lambda rule: rule.kind != "cancel_sticks" and _fits_order(rule, symbol, side))
        return None if rule is None else rule.kind

    def cancel_sticks(self, symbol: str, side: str) -> bool:
        """Whether this cancel stays `pending_cancel` for ever; asked once per cancel."""
        rule = self._strike(lambda rule: rule.kind == "cancel_sticks" and _fits_order(rule, symbol, side))
        return rule is not None

    def _strike(self, fits: Callable[[Rule], bool]) -> Rule | None:
        if not self._armed:
            return None
        with self._lock:
            due = [one for one in self._armed if fits(one.rule) and one.due()]
            if not due:
                return None
            due[0].fired += 1
            return due[0].rule


def _fits_order(rule: Rule, symbol: str, side: str) -> bool:
    return (
        rule.kind in ORDER_KINDS
        and fnmatch.fnmatchcase(symbol, rule.symbol or "*")
        and (rule.side is None or rule.side == side)
    )


def _explain(error: pydantic.ValidationError) -> str:
    reasons = []
    for one in error.errors():
        where = ".".join(str(part) for part in one["loc"])
        if one["type"] == "extra_forbidden":
            reasons.append(f"{where} is unknown; allowed are {', '.join(Rule.model_fields)}")
        elif one["type"] == "value_error":
            reasons.append(str(one["ctx"]["error"]))
        else:
            reasons.append(f"{where}: {one['input']!r} is not allowed: {one['msg']}")
    return "; ".join(reasons)


class FaultMiddleware:
    """Outermost ASGI layer: lets a request through, or strikes it as the rule in force says.

    "slow", "lost_answer", "lost_answer_504", "duplicate", "malformed_json" and "truncated" run the handler first, so
    an order in such a request HAS been accepted; the other kinds answer without running it.
    `drop(scope)` closes the client's connection at once.
    """

    def __init__(self, app: ASGIApp, faults: Faults, drop: Callable[[Scope], None]) -> None:
        self.app = app
        self.faults = faults
        self.drop = drop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/sandbox/"):
            return await self.app(scope, receive, send)
        query = dict(urllib.parse.parse_qsl(scope["query_string"].decode("latin-1")))
        rule = self.faults.http_fault(scope["method"], scope["path"], query)
        if rule is None:
            return await self.app(scope, receive, send)
        if rule.kind in STATUS_OF:
            return await _answer(send, *error_response(scope["path"], STATUS_OF[rule.kind], _headers(rule)))
        if rule.kind == "timeout":
            await _until_gone(receive, rule.wait_s())
            return await self._hang_up(scope, receive)
        return await self._after_handling(rule, scope, receive, send)

    async def _after_handling(self, rule: Rule, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _read(receive)
        status, headers, content = await self._handle(scope, body)
        match rule.kind:
            case "slow":
                await _until_gone(receive, rule.wait_s())
            case "duplicate":
                status, headers, content = await self._handle(scope, body)
            case "lost_answer":
                return await self._hang_up(scope, receive)
            case "lost_answer_504":
                status, headers, content = error_response(scope["path"], 504, [])
            case "malformed_json":
                # "<" is JSON nowhere but inside a string, and a string cut short has no end
                content = content[: len(content) // 2] + b"<"
            case "truncated":
                too_long = sized(headers, len(content) + 1)
                await send({"type": "http.response.start", "status": status, "headers": too_long})
                await send({"type": "http.response.body", "body": content[: len(content) // 2], "more_body": True})
                return await self._hang_up(scope, receive)
        return await _answer(send, status, headers, content)

    async def _hang_up(self, scope: Scope, receive: Receive) -> None:
        self.drop(scope)
        await _until_gone(receive, HANG_UP_S)  # returning earlier is an unfinished answer, which the server would log

    async def _handle(self, scope: Scope, body: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        messages: list[Message] = []
        unread = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            return unread.pop() if unread else {"type": "http.disconnect"}

        async def collect(message: Message) -> None:
            messages.append(message)

        await self.app(dict(scope), receive, collect)
        start, *parts = messages
        return start["status"], list(start["headers"]), b"".join(part.get("body", b"") for part in parts)


def error_response(
    path: str, status: int, headers: list[tuple[bytes, bytes]]
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Status, headers and body of an error in the form of the API of `path`; 502 is a gateway's HTML page."""
    if status == 502:
        return status, [(b"content-type", b"text/html"), *headers], HTML_502
    message = MESSAGE_OF[status]
    if path.startswith("/api/v1/"):
        body: dict[str, Any] = {"error": message}
    else:
        body = {"code": status * 100_000 + 10_000, "message": "too many requests." if status == 429 else message}
    return status, [(b"content-type", b"application/json"), *headers], json.dumps(body).encode()


def rate_limit_headers(limit: int, remaining: int, reset: float) -> list[tuple[bytes, bytes]]:
    """`reset`: unix time in seconds of the machine, not the sandbox's: a client compares it with its own clock."""
    values = {b"x-ratelimit-limit": limit, b"x-ratelimit-remaining": remaining, b"x-ratelimit-reset": math.ceil(reset)}
    return [(name, str(value).encode()) for name, value in values.items()]


def _headers(rule: Rule) -> list[tuple[bytes, bytes]]:
    if rule.kind != "429":
        return []
    after = math.ceil(rule.wait_s())
    return [(b"retry-after", str(after).encode()), *rate_limit_headers(60, 0, time.time() + after)]


def sized(headers: list[tuple[bytes, bytes]], length: int) -> list[tuple[bytes, bytes]]:
    """The headers with the length of the body that is announced."""
    return [*(one for one in headers if one[0] != b"content-length"), (b"content-length", str(length).encode())]


async def _answer(send: Send, status: int, headers: list[tuple[bytes, bytes]], content: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": sized(headers, len(content))})
    await send({"type": "http.response.body", "body": content})


async def _read(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return body


async def _until_gone(receive: Receive, seconds: float) -> None:
    """Wait that long, or until the client has given up."""

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(gone(), seconds)
