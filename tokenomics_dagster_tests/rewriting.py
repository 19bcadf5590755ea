"""A proxy in front of the sandbox that changes single answers: what real providers do, and a sandbox never would.

with rewriting(sandbox.url) as proxy:
    proxy.on("GET /v2/account", lambda answer: answer.json.update(buying_power="0"))
    proxy.on("POST /v2/orders", lambda answer: answer.become(403, {"message": "forbidden."}), calls=[1])
    proxy.before("GET /v2/positions", lambda _: hand.submit("AAPL", "sell", qty=1))
"""

import fnmatch
import http.client
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

_NOT_FORWARDED = {"connection", "keep-alive", "transfer-encoding", "content-length", "content-encoding", "host"}


@dataclass
class Answer:
    """One exchange: the request as it came, and the answer that may be changed in place, or by `become`."""

    method: str
    path: str
    query: dict[str, list[str]]
    request: bytes
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    hang_up: bool = False
    """Close the connection without an answer, after the request was carried out."""
    _json: Any = None

    @property
    def json(self) -> Any:
        """The body as it will be sent; changes of it count."""
        if self._json is None:
            self._json = json.loads(self.body)
        return self._json

    @property
    def sent(self) -> Any:
        """The JSON body of the request."""
        return json.loads(self.request)

    def become(self, status: int, body: Any, **headers: str) -> None:
        """Another answer altogether; `body` as bytes, or as what JSON can hold."""
        self.status, self._json = status, None
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.headers = {"Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}

    def final_body(self) -> bytes:
        return self.body if self._json is None else json.dumps(self._json).encode()


@dataclass
class _Rule:
    endpoint: str
    act: Callable[[Answer], Any]
    early: bool
    calls: Sequence[int] | None
    matched: int = 0

    def due(self, method: str, path: str) -> bool:
        if not fnmatch.fnmatchcase(f"{method} {path}", self.endpoint):
            return False
        self.matched += 1
        return self.calls is None or self.matched in self.calls


class Proxy:
    """`url` stands for the sandbox's. Rules strike in the order in which they were made."""

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        assert parts.hostname is not None
        self._upstream = parts.hostname, parts.port
        self._rules: list[_Rule] = []
        self._lock = threading.Lock()
        self.seen: list[str] = []
        """Every request, "METHOD /path", in the order in which they came."""
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # else the body waits 40 ms for the client's word that the head has come

            def handle_one_request(self) -> None:
                with suppress(ConnectionError):
                    super().handle_one_request()

            def log_message(self, *args: Any) -> None:
                pass

            def _serve(self) -> None:
                proxy._serve(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815  http.server asks for these names

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def on(self, endpoint: str, change: Callable[[Answer], Any], *, calls: Sequence[int] | None = None) -> None:
        """`change` the answers of an endpoint ("GET /v2/orders*", shell wildcards); `calls`: only these, from 1."""
        self._rules.append(_Rule(endpoint, change, early=False, calls=calls))

    def before(self, endpoint: str, act: Callable[[Answer], Any], *, calls: Sequence[int] | None = None) -> None:
        """Something happens before a request is carried out; with a status set by it, it is not carried out at all."""
        self._rules.append(_Rule(endpoint, act, early=True, calls=calls))

    def clear(self) -> None:
        self._rules = []
        self.seen.clear()

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        request = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        answer = Answer(handler.command, parts.path.replace("//", "/"), parse_qs(parts.query), request)
        with self._lock:
            self.seen.append(f"{answer.method} {answer.path}")
            due = [rule for rule in self._rules if rule.due(answer.method, answer.path)]
        for rule in due:
            if rule.early:
                rule.act(answer)
        if not answer.status:
            self._forward(handler, answer)
        for rule in due:
            if not rule.early:
                rule.act(answer)
        if answer.hang_up:
            handler.close_connection = True
            return
        body = answer.final_body()
        handler.send_response(answer.status)
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def _forward(self, handler: BaseHTTPRequestHandler, answer: Answer) -> None:
        connection = http.client.HTTPConnection(*self._upstream, timeout=60)
        try:
            headers = {k: v for k, v in handler.headers.items() if k.lower() not in _NOT_FORWARDED}
            headers["Accept-Encoding"] = "identity"
            connection.request(answer.method, handler.path, body=answer.request or None, headers=headers)
            response = connection.getresponse()
            answer.body, answer.status = response.read(), response.status
            answer.headers = {k: v for k, v in response.getheaders() if k.lower() not in _NOT_FORWARDED}
        finally:
            connection.close()


@contextmanager
def rewriting(upstream: str) -> Iterator[Proxy]:
    """A proxy in front of the server at `upstream` until the block ends."""
    proxy = Proxy(upstream)
    thread = threading.Thread(target=proxy._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy._server.shutdown()
        proxy._server.server_close()
        thread.join(5)
