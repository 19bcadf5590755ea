"""The sandbox as one server, the process it runs in, and its start as a child of another one.

What it is made of stays out (world.py), and so do its answers (finnhub_api.py, alpaca_api.py, admin.py).
"""

import asyncio
import collections
import contextlib
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import requests
import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from tokenomics_dagster.sandbox import alpaca_api, finnhub_api
from tokenomics_dagster.sandbox.admin import Admin
from tokenomics_dagster.sandbox.faults import FaultError, FaultMiddleware
from tokenomics_dagster.sandbox.gate import Counter, Gate
from tokenomics_dagster.sandbox.world import HOST, Sandbox, SandboxError, SandboxOptions

START_TIMEOUT_S, STOP_TIMEOUT_S = 60, 20


def create_app(sandbox: Sandbox, drop: Callable[[Scope], None], reset: Callable[[], None]) -> ASGIApp:
    """The whole sandbox as an ASGI application; `drop` closes the connection that a request came by."""
    calls: collections.Counter[str] = collections.Counter()
    routes = [
        *Admin(sandbox, calls, reset).routes(),
        *finnhub_api.routes(sandbox.market, sandbox.clock),
        *alpaca_api.routes(sandbox.broker, sandbox.market, sandbox.clock),
    ]

    guarded = Gate(Starlette(routes=routes), sandbox.options)
    return Counter(FaultMiddleware(guarded, sandbox.faults, drop), routes, calls)


class _World:
    """The application of a sandbox that can begin anew."""

    def __init__(self, options: SandboxOptions) -> None:
        self._options = options
        self.begin()

    def begin(self) -> None:
        self.sandbox = Sandbox(self._options)
        self._app = create_app(self.sandbox, _TrackedProtocol.drop, self.begin)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


class _TrackedProtocol(AutoHTTPProtocol):  # type: ignore[valid-type, misc]
    """uvicorn's HTTP protocol that keeps its connections by the client's address: ASGI has no way to hang up."""

    transports: ClassVar[dict[Any, asyncio.Transport]] = {}

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.address = transport.get_extra_info("peername")
        self.transports[self.address] = transport
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transports.pop(self.address, None)
        super().connection_lost(exc)

    @classmethod
    def drop(cls, scope: Scope) -> None:
        transport = cls.transports.get(scope["client"])
        if transport is not None:
            transport.close()


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, which then dies by the signal it got: here the state is still to be saved."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def serve(options: SandboxOptions, listener: socket.socket | None = None) -> None:
    """Run until SIGTERM or SIGINT; then save the state, if a file was given.

    In the main thread only, as it takes those signals. SandboxError if it cannot start, or cannot save.
    """
    world = _World(options)
    if options.state is not None:
        world.sandbox.save()  # a place that cannot be written must show now, not when a week of trading is to be saved

    async def save() -> None:
        world.sandbox.save()

    config = uvicorn.Config(
        world,
        http=_TrackedProtocol,
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="warning",
        proxy_headers=False,
        timeout_keep_alive=600,  # a pooled connection that the server closes looks like a lost order to a client
        timeout_graceful_shutdown=2,
        callback_notify=save if options.save_every_s else None,  # between two requests: nothing is half done
        timeout_notify=options.save_every_s or 0,
    )
    with listener or _listen(options) as bound:
        _Server(config).run(sockets=[bound])
    if options.state is not None:
        world.sandbox.save()


def _listen(options: SandboxOptions) -> socket.socket:
    try:
        return socket.create_server((options.host, options.port))
    except OSError as error:
        raise SandboxError(
            f"port {options.port} of {options.host}: {error.strerror}; stop what uses it, or give another port"
        ) from None


@dataclasses.dataclass(frozen=True, slots=True)
class SandboxHandle:
    """A running sandbox in its own process."""

    port: int
    options: SandboxOptions
    process: "subprocess.Popen[bytes]"
    log_path: Path

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def environment(self) -> dict[str, str]:
        """FINNHUB_* and ALPACA_* variables for a client of this sandbox."""
        return self.options.environment(self.port)

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the administration, e.g. ("PUT", "/sandbox/clock", {"advance_s": 60}); SandboxError if it refuses."""
        data = None if body is None else json.dumps(body, default=str)
        answer = requests.request(method, f"{self.url}{path}", data=data, timeout=30)
        if not answer.ok:
            raise SandboxError(f"{method} {path}: {answer.json()['error']}")
        return answer.json()

    def log(self) -> str:
        """What the server has written to its standard error: nothing, unless something is wrong."""
        return self.log_path.read_text()


@contextlib.contextmanager
def running_sandbox(keep_open: Sequence[int] = (), /, **options: Any) -> Iterator[SandboxHandle]:
    """A sandbox as a child process until the block ends; options as in `SandboxOptions`, but on a free port by default.

    It inherits the file descriptors `keep_open`. It ends with its parent, too, however that ends. The state, if a file
    was given, is saved. SandboxError if it cannot start, or cannot save.
    """
    parsed = SandboxOptions.of(**{"port": 0, **options})
    with tempfile.TemporaryDirectory(prefix="tokenomics-sandbox-") as folder:
        log_path = Path(folder) / "log"
        with _listen(parsed) as bound, log_path.open("wb") as log:
            port = bound.getsockname()[1]
            process = subprocess.Popen(  # noqa: S603 this very module
                [sys.executable, "-m", __spec__.name, str(bound.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                pass_fds=[bound.fileno(), *keep_open],
                start_new_session=True,  # Ctrl-C is for its parent, which ends it last
            )
        handle = SandboxHandle(port, parsed, process, log_path)
        try:
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # it has ended: the log says why
                process.stdin.write(parsed.model_dump_json().encode() + b"\n")
                process.stdin.flush()
            _wait_until_ready(handle)
            yield handle
        finally:
            _stop(process)
        if process.returncode != 0:
            raise SandboxError(f"the sandbox did not end well ({process.returncode}): {handle.log()[-2000:].strip()}")


def _wait_until_ready(handle: SandboxHandle) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        # the socket listens already, so this waits in the kernel until the child accepts, or is reset when it dies
        with contextlib.suppress(requests.RequestException):
            if requests.get(f"{handle.url}/sandbox/health", timeout=START_TIMEOUT_S).ok:
                return
        if handle.process.poll() is not None:
            break
        time.sleep(0.01)
    raise SandboxError(f"the sandbox did not start: {handle.log()[-2000:].strip() or 'no answer'}")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise SandboxError(f"the sandbox did not end within {STOP_TIMEOUT_S} s and was killed") from None
    finally:
        if process.stdin is not None:
            process.stdin.close()


def _end_with_parent() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """The child of `running_sandbox`: a listening socket's number as argument, options as a line of JSON on stdin."""
    try:
        options = SandboxOptions.of(**json.loads(sys.stdin.readline()))
        threading.Thread(target=_end_with_parent, daemon=True).start()
        serve(options, socket.socket(fileno=int(sys.argv[1])))
    except (SandboxError, FaultError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
