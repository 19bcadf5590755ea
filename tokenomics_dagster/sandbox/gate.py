"""Which requests are let in: keys, rate limits, and how many there were of each endpoint.

What they are answered stays out (finnhub_api.py, alpaca_api.py), and so do faults (faults.py).
"""

import collections
import functools
import re
import time
import urllib.parse

from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tokenomics_dagster.sandbox.faults import error_response, rate_limit_headers, sized
from tokenomics_dagster.sandbox.finnhub_api import PREFIX
from tokenomics_dagster.sandbox.world import SandboxOptions

JITTER_S = 0.25  # what a loaded machine may squeeze evenly sent requests together by
LIMIT_PERIODS_S = {"s": 1.0, "min": 60.0}

FINNHUB_NO_KEY = b'{"error":"Please use an API key."}'
FINNHUB_WRONG_KEY = b'{"error":"Invalid API key"}'
TRADING_UNAUTHORIZED = b'{"code":40110000,"message":"request is not authorized"}'
DATA_FORBIDDEN = b'{"message":"forbidden."}'


class RateLimit:
    """At most `limit` calls per `period_s`, so that no legal client is refused, however its calls are delayed.

    Legal: never more than `limit` sent in any period. Delivery may delay each call by up to `JITTER_S` (or a quarter of
    the period, if that is less), so the window that is counted is shorter by as much. As that alone would let a steady
    client through that is a little too fast, a token bucket refilled at the exact rate bounds the long run; it holds
    what a legal client can need: `limit` for a burst, and the jitter's share. Refused calls do not count.
    """

    def __init__(self, limit: int, period_s: float) -> None:
        jitter = min(JITTER_S, period_s / 4)
        self.limit = limit
        self._rate = limit / period_s
        self._window_s = period_s - jitter
        self._capacity = limit + jitter * self._rate
        self._tokens = self._capacity
        self._at = 0.0
        self._taken: collections.deque[float] = collections.deque()

    @classmethod
    def of(cls, text: str) -> "RateLimit":
        """From "60/min" or "30/s"."""
        number, period = text.split("/")
        return cls(int(number), LIMIT_PERIODS_S[period])

    def wait_s(self, now: float) -> float:
        """Seconds until a call is allowed, 0 for at once; `now` on a monotonic clock."""
        self._tokens = min(self._capacity, self._tokens + (now - self._at) * self._rate)
        self._at = now
        while self._taken and now - self._taken[0] >= self._window_s:
            self._taken.popleft()
        # a token short by a rounding error is a whole one
        for_token = max(0.0, (1 - 1e-9 - self._tokens) / self._rate)
        return max(for_token, self._taken[0] + self._window_s - now if len(self._taken) >= self.limit else 0.0)

    def take(self, now: float) -> None:
        self._tokens -= 1
        self._taken.append(now)

    @property
    def remaining(self) -> int:
        return max(0, min(self.limit - len(self._taken), int(self._tokens)))


class Gate:
    """ASGI layer: refuses a wrong key, then a call over the rate limit, in the form of the API that was called."""

    def __init__(self, app: ASGIApp, options: SandboxOptions) -> None:
        self.app = app
        self._finnhub_key = options.finnhub_key.get_secret_value()
        self._alpaca = options.alpaca_key.get_secret_value(), options.alpaca_secret.get_secret_value()
        self._finnhub_limits = [RateLimit.of(text) for text in options.finnhub_limit]
        self._trading_limits = [RateLimit.of(text) for text in options.trading_limit]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        path = scope["path"]
        limits: list[RateLimit] = []
        refusal: tuple[int, bytes] | None = None
        if path.startswith(f"{PREFIX}/"):
            refusal, limits = self._finnhub_refusal(scope), self._finnhub_limits
        elif path.startswith(("/v2/stocks/", "/v1/")):
            refusal = None if self._knows_alpaca_keys(scope) else (403, DATA_FORBIDDEN)
        elif path.startswith("/v2/"):
            refusal = None if self._knows_alpaca_keys(scope) else (401, TRADING_UNAUTHORIZED)
            limits = self._trading_limits
        if refusal is not None:
            return await Response(refusal[1], refusal[0], media_type="application/json")(scope, receive, send)
        if not limits:
            return await self.app(scope, receive, send)
        now = time.monotonic()
        wait_s, slowest = max(((limit.wait_s(now), limit) for limit in limits), key=lambda pair: pair[0])
        if wait_s > 0:
            status, headers, body = error_response(
                path, 429, rate_limit_headers(slowest.limit, 0, time.time() + wait_s)
            )
            await send({"type": "http.response.start", "status": status, "headers": sized(headers, len(body))})
            return await send({"type": "http.response.body", "body": body})
        for limit in limits:
            limit.take(now)
        shown = min(limits, key=lambda limit: limit.remaining)
        reset = time.time() + (0.0 if shown.remaining else shown.wait_s(now))
        extra = rate_limit_headers(shown.limit, shown.remaining, reset)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        return await self.app(scope, receive, with_headers)

    def _finnhub_refusal(self, scope: Scope) -> tuple[int, bytes] | None:
        token = _header(scope, b"x-finnhub-token")
        if not token:
            query = urllib.parse.parse_qs(scope["query_string"].decode("latin-1"))
            token = query.get("token", [""])[0]
        if token == self._finnhub_key:
            return None
        return (401, FINNHUB_WRONG_KEY if token else FINNHUB_NO_KEY)

    def _knows_alpaca_keys(self, scope: Scope) -> bool:
        return (_header(scope, b"apca-api-key-id"), _header(scope, b"apca-api-secret-key")) == self._alpaca


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


class Counter:
    """Outermost ASGI layer: undoes finnhub-python's double slash, and counts requests per endpoint as they arrive."""

    def __init__(self, app: ASGIApp, routes: list[BaseRoute], calls: collections.Counter[str]) -> None:
        self.app = app
        self.calls = calls
        self._routes = [one for one in routes if isinstance(one, Route)]
        self._template = functools.lru_cache(maxsize=4096)(self._find_template)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = scope["path"]
            if "//" in path:
                path = re.sub("/{2,}", "/", path)
                scope = {**scope, "path": path}
            if not path.startswith("/sandbox/"):
                self.calls[f"{scope['method']} {self._template(path)}"] += 1
        await self.app(scope, receive, send)

    def _find_template(self, path: str) -> str:
        return next((route.path for route in self._routes if route.path_regex.match(path)), path)
