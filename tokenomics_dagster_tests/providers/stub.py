"""A small real HTTP server whose answers a test writes as a function; no test of its own."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

DRIPPING_BODY = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"


@dataclass
class Call:
    method: str
    path: str
    raw_query: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def query(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(self.raw_query).items()}


@dataclass
class Reply:
    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes | None = None  # instead of `body`, byte for byte
    length: int | None = None  # announced instead of the true one
    drop: bool = False  # the connection, without an answer
    stall: bool = False  # no answer until the server stops
    after_s: float = 0.0
    drip: Literal["head", "body"] | None = None  # a byte every 50 ms until the client has gone


class Stub:
    def __init__(self, answer: Callable[[Call], Reply]) -> None:
        self.calls: list[Call] = []
        self.answer = answer
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # head and body go out in two writes: 40 ms each otherwise

            def handle_call(self) -> None:
                parts = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                call = Call(self.command, parts.path, parts.query, dict(self.headers), body, time.monotonic())
                with stub._lock:
                    stub.calls.append(call)
                    stub._at_once += 1
                    stub.most_at_once = max(stub.most_at_once, stub._at_once)
                try:
                    self.reply(stub.answer(call))
                finally:
                    with stub._lock:
                        stub._at_once -= 1

            def reply(self, reply: Reply) -> None:
                if reply.after_s:
                    stub._stopped.wait(reply.after_s)
                if reply.stall:
                    stub._stopped.wait(30)
                if reply.drop or reply.stall:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                if reply.drip:
                    self.drip(b"HTTP/1.1 200 OK\r\nX-Long: " if reply.drip == "head" else DRIPPING_BODY)
                    return
                content = json.dumps(reply.body).encode() if reply.content is None else reply.content
                self.send_response(reply.status)
                for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                    self.send_header(name, value)
                length = len(content) if reply.length is None else reply.length
                if reply.status != 204:
                    self.send_header("Content-Length", str(length))
                self.end_headers()
                if reply.status != 204:
                    self.wfile.write(content)
                if length > len(content):
                    self.close_connection = True

            def drip(self, first: bytes) -> None:
                self.close_connection = True
                with suppress(OSError):
                    self.wfile.write(first)
                    while not stub._stopped.wait(0.05):
                        self.wfile.write(b"1")

            do_GET = do_POST = do_DELETE = do_CONNECT = handle_call  # noqa: N815  the names http.server calls

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                return

        class Server(ThreadingHTTPServer):
            request_queue_size = 256
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                return  # a client that went away is part of the tests

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def running(answer: Callable[[Call], Reply]) -> Iterator[Stub]:
    stub = Stub(answer)
    try:
        yield stub
    finally:
        stub.stop()


def in_turn(*replies: Reply) -> Callable[[Call], Reply]:
    """The replies one after the other, the last one for all later calls."""
    left = list(replies)
    lock = threading.Lock()

    def answer(_call: Call) -> Reply:
        with lock:
            return left.pop(0) if len(left) > 1 else left[0]

    return answer


def closed_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
