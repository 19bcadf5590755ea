"""A webhook that is a real server and behaves as it is told."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "/services/T0SECRET/B0SECRET/x7SECRET"


@dataclass
class Webhook:
    """Takes messages while `status` is 200; waits `delay_s` first; keeps what it took and counts every call."""

    url: str = ""
    status: int = 200
    delay_s: float = 0.0
    calls: int = 0
    paths: set[str] = field(default_factory=set)
    told: list[dict[str, Any]] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def texts(self) -> list[str]:
        """The first line of each message."""
        return [one["text"].splitlines()[0].strip("*") for one in self.told]


@contextmanager
def running_webhook() -> Iterator[Webhook]:
    hook = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            hook.calls += 1
            hook.paths.add(self.path)
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if hook.delay_s and hook.ended.wait(hook.delay_s):
                return
            if hook.status == 200:
                hook.told.append(body)
            self.send_response(hook.status)
            if 300 <= hook.status < 400:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        hook.url = f"http://127.0.0.1:{server.server_port}{SECRET}"
        try:
            yield hook
        finally:
            hook.ended.set()
            server.shutdown()
            thread.join()
