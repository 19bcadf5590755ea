"""What runs without keys and servers: the demo, and the sandbox that it runs on."""

import os
import signal
import socket
import subprocess
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from dotenv import dotenv_values

from tokenomics_dagster.interfaces.cli.terminal import out, say_error, tell, write_json

if TYPE_CHECKING:
    from tokenomics_dagster.sandbox.world import SandboxOptions

ReplayOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="A recorded market; without it the market is generated.", show_default=False),
]

HostOption = Annotated[str, typer.Option(metavar="A", help="0.0.0.0 in a container: others trade, none administers.")]
StateOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="To load the state from and to save it to.", show_default=False)
]
SaveEveryOption = Annotated[
    int | None, typer.Option(min=1, metavar="S", help="Seconds between two saves; else at its end.", show_default=False)
]
FinnhubLimitOption = Annotated[
    list[str] | None, typer.Option(metavar="RATE", help="Enforced: 60/min, 30/s; repeatable.", show_default=False)
]


def demo(
    replay: ReplayOption = None,
    universe_size: Annotated[int | None, typer.Option(min=1, help="Stocks to follow.", show_default="1500")] = None,
    settings: Annotated[Path | None, typer.Option(help="Settings file.", show_default="config/settings.yaml")] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the summary for machines to this file.", show_default=False)
    ] = None,
) -> None:
    """Run the whole weekly cycle, from universe to filled orders, on the sandbox: no keys, no servers."""
    from tokenomics_dagster.interfaces.cli import tables
    from tokenomics_dagster.interfaces.demo import HOME, DemoError, run_demo

    if json_file is not None and not json_file.parent.is_dir():
        raise DemoError(f"{json_file.parent} is not a folder: nothing was run, as its result could not be written")
    result = run_demo(
        replay=replay,
        universe_size=universe_size,
        settings_file=settings,
        say=tell,
    )
    if json_file is not None:
        write_json(json_file, result.document())
    out.print()
    for table in tables.demo(result):
        out.print(table)
    out.print(f"Ask it: tokenomics --demo status, known {result.week}, audit show {result.week} and all others.")
    out.print(f"Look at it: make ui (everything lies in {HOME}); run it again: nothing is traded twice.")
    out.print(result.evidence)


def sandbox(
    context: typer.Context,
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="0 chooses a free one.")] = 8790,
    host: HostOption = "127.0.0.1",
    replay: ReplayOption = None,
    state: StateOption = None,
    save_every: SaveEveryOption = None,
    now: Annotated[
        str | None, typer.Option(metavar="T", help="Its time at start, ISO 8601 with zone.", show_default=False)
    ] = None,
    faults: Annotated[Path | None, typer.Option(metavar="FILE", help="Faults, as JSON.", show_default=False)] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Of the generated market.", show_default="2026")
    ] = None,
    listings: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Of the generated market.", show_default="8000")
    ] = None,
    volatility_pct: Annotated[
        float | None,
        typer.Option(metavar="PCT", help="Daily volatility of prices.", show_default="0: they stand still"),
    ] = None,
    spread_bps: Annotated[float | None, typer.Option(metavar="BPS", help="Bid-ask spread.", show_default="2")] = None,
    cash: Annotated[
        float | None, typer.Option(metavar="USD", help="Cash of the account.", show_default="100000")
    ] = None,
    finnhub_limit: FinnhubLimitOption = None,
    trading_limit: Annotated[
        list[str] | None, typer.Option(metavar="RATE", help="The same for Alpaca's trading API.", show_default=False)
    ] = None,
) -> None:
    """A market in a box: an HTTP server with Finnhub's and Alpaca's APIs.

    With `-- COMMAND ...` it runs that command with the environment that points to the sandbox, and ends with it.
    """
    from tokenomics_dagster.interfaces.demo import locked, tell_address
    from tokenomics_dagster.sandbox.server import running_sandbox
    from tokenomics_dagster.sandbox.world import SandboxOptions

    options: dict[str, Any] = {
        "port": port,
        "host": host,
        "replay": replay,
        "state": state,
        "save_every_s": save_every,
        "now": now,
        "faults": faults,
        "seed": seed,
        "listings": listings,
        "volatility_pct": volatility_pct,
        "spread_bps": spread_bps,
        "cash": None if cash is None else str(cash),
        "finnhub_limit": tuple(finnhub_limit or ()),
        "trading_limit": tuple(trading_limit or ()),
    }
    if context.args:
        _refuse_env_file(context.args[0])
    with locked(state.resolve()) if state else nullcontext() as lock:
        if context.args:
            with running_sandbox([] if lock is None else [lock], **options) as running:
                if lock is not None:
                    tell_address(lock, running.environment())
                out.print(f"sandbox on {running.url}")
                raise typer.Exit(_run(context.args, running.environment()))
        _serve(SandboxOptions.of(**options))


def _serve(options: "SandboxOptions") -> None:
    from tokenomics_dagster.sandbox.server import serve
    from tokenomics_dagster.sandbox.world import SandboxError

    try:
        listener = socket.create_server((options.host, options.port))
    except OSError as error:
        raise SandboxError(
            f"port {options.port}: {error.strerror}; stop what uses it, or choose another with --port"
        ) from None
    port = listener.getsockname()[1]
    out.print(f"sandbox on http://{options.host}:{port}, Ctrl-C ends it; point the platform to it with:")
    for name, value in options.environment(port).items():
        out.print(f"  export {name}={value}")
    serve(options, listener)


def _refuse_env_file(program: str) -> None:
    """A command that would read real keys and addresses from a .env instead of the sandbox's from its environment.

    `dagster` loads ./.env over its environment (dagster/_cli/utils.py, measured with 1.13.27), `dg` that of its project
    too. What a script starts cannot be known, so any command is refused.
    """
    from tokenomics_dagster.interfaces.demo import DemoError
    from tokenomics_dagster.settings.environment import Environment

    here = Path.cwd()
    for folder in [here, *(here.parents if Path(program).name == "dg" else [])]:
        values = dotenv_values(folder / ".env")
        found = sorted(key for key in values if key.lower() in Environment.model_fields)
        if found:
            raise DemoError(
                f"{folder / '.env'} sets {', '.join(found)}: dagster and dg load it over the sandbox's environment, so "
                f"{program} would work, and trade, on the real account; run it in a folder without that file"
            )


def _run(command: list[str], environment: dict[str, str]) -> int:
    """Runs a command in front; Ctrl-C reaches it too, and it is waited for, so that the state is saved after it."""
    try:
        process = subprocess.Popen(command, env={**os.environ, **environment})  # noqa: S603  the user's own command
    except OSError as error:
        say_error(f"{command[0]}: {error.strerror}")
        return 1
    previous = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    try:
        code = process.wait()
        return code if code >= 0 else 128 - code  # ended by a signal: as shells say it
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
