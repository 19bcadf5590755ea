"""The `tokenomics` command. Thin: what a command does lies in the rooms, in demo.py and in the sandbox.

Exit code: 0 done, 1 failed, 2 wrong usage.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import nullcontext
from datetime import date, datetime
from errno import ENOSPC
from io import TextIOWrapper
from math import isnan
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from dotenv import dotenv_values
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tokenomics_dagster.storage import private

app = typer.Typer(
    help="Picks US stocks by fundamentals and keeps an Alpaca account on a score-weighted portfolio.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # its pretty tracebacks print local variables, keys among them
)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


class _Terminal(Console):
    """Shows texts as they are, for many come from outside: nothing in them is markup or moves the cursor."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, highlight=False, soft_wrap=True, markup=False, emoji=False)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str("\n".join(map(_printable, text.split("\n"))), **options)


out = _Terminal()
err = _Terminal(stderr=True)

ReplayOption = Annotated[
    Path | None,
    typer.Option(help="Folder of a recorded market; without it the market is generated.", show_default=False),
]


def main() -> None:
    """Entry point of the command: known errors become one sentence and exit code 1."""
    from tokenomics_dagster.kit.logs import start_for_command

    start_for_command()
    if isinstance(sys.stdout, TextIOWrapper):
        # A terminal without Unicode shows what it does not know as a question mark: the command goes on.
        sys.stdout.reconfigure(errors="replace")
    try:
        app()
    except _known_errors() as error:
        _say_error(str(error))
        sys.exit(1)
    except OSError as error:
        if error.errno != ENOSPC:
            raise
        _say_error(f"there is no room to write what is to be told ({error.strerror}): look whether it was done")
        sys.exit(1)


def _say_error(text: str) -> None:
    err.print(Text("error:", "red"), text)


def _known_errors() -> tuple[type[Exception], ...]:
    """The errors that are written for the user, of the modules that have been imported so far."""
    names = {
        "tokenomics_dagster.settings": ["SettingsError"],
        "tokenomics_dagster.demo": ["DemoError"],
        "tokenomics_dagster.sandbox.server": ["SandboxError"],
        "tokenomics_dagster.sandbox.faults": ["FaultError"],
        "tokenomics_dagster.providers.errors": ["ProviderError"],
        "tokenomics_dagster.operations.common": ["OperationRefused"],
        "tokenomics_dagster.automation.retention": ["RetentionError"],
        "tokenomics_dagster.execution.guards": ["Refused"],
        "tokenomics_dagster.storage.records": ["WarehouseError"],
        "tokenomics_dagster.storage.publishing": ["PublishError"],
    }
    return tuple(
        getattr(sys.modules[module], name) for module, found in names.items() if module in sys.modules for name in found
    )


@app.command()
def demo(
    replay: ReplayOption = None,
    universe_size: Annotated[int | None, typer.Option(min=1, help="Stocks to follow.", show_default="1500")] = None,
    settings: Annotated[Path | None, typer.Option(help="Settings file.", show_default="config/settings.yaml")] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the summary for machines to this file.", show_default=False)
    ] = None,
) -> None:
    """Run the whole weekly cycle, from universe to filled orders, on the sandbox: no keys, no servers."""
    from tokenomics_dagster.demo import HOME, DemoError, run_demo

    if json_file is not None and not json_file.parent.is_dir():
        raise DemoError(f"{json_file.parent} is not a folder: nothing was run, as its result could not be written")
    result = run_demo(
        replay=replay,
        universe_size=universe_size,
        settings_file=settings,
        say=lambda line: out.print(line),
    )
    if json_file is not None:
        _write(json_file, result.to_json())
    out.print()
    for table in result.tables():
        out.print(table)
    out.print(f"Look at it: make ui (everything lies in {HOME}); run it again: nothing is traded twice.")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": False})
def sandbox(
    context: typer.Context,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 chooses a free one.")] = 8790,
    replay: ReplayOption = None,
    state: Annotated[
        Path | None, typer.Option(help="File to load the state from and to save it to.", show_default=False)
    ] = None,
    now: Annotated[
        str | None, typer.Option(help="The sandbox's time at start, ISO 8601 with zone.", show_default=False)
    ] = None,
    faults: Annotated[Path | None, typer.Option(help="JSON file of faults.", show_default=False)] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the generated market.", show_default="2026")] = None,
    listings: Annotated[int | None, typer.Option(min=1, help="Of the generated market.", show_default="8000")] = None,
    volatility_pct: Annotated[
        float | None, typer.Option(help="Daily volatility of prices, percent.", show_default="0: prices stand still")
    ] = None,
    spread_bps: Annotated[float | None, typer.Option(help="Bid-ask spread, basis points.", show_default="2")] = None,
    cash: Annotated[float | None, typer.Option(help="Cash of the account, USD.", show_default="100000")] = None,
    finnhub_limit: Annotated[
        list[str] | None, typer.Option(help="Enforced limit such as 60/min or 30/s; repeatable.", show_default=False)
    ] = None,
    trading_limit: Annotated[
        list[str] | None, typer.Option(help="The same for Alpaca's trading API.", show_default=False)
    ] = None,
) -> None:
    """A market in a box: an HTTP server with Finnhub's and Alpaca's APIs.

    With `-- COMMAND ...` it runs that command with the environment that points to the sandbox, and ends with it.
    """
    from tokenomics_dagster.demo import locked
    from tokenomics_dagster.sandbox.server import running_sandbox, serve
    from tokenomics_dagster.sandbox.world import HOST, SandboxError, SandboxOptions

    options: dict[str, Any] = {
        "port": port,
        "replay": replay,
        "state": state,
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
                out.print(f"sandbox on {running.url}")
                raise typer.Exit(_run(context.args, running.environment()))
        parsed = SandboxOptions.of(**options)
        try:
            listener = socket.create_server((HOST, port))
        except OSError as error:
            raise SandboxError(
                f"port {port}: {error.strerror}; stop what uses it, or choose another with --port"
            ) from None
        port = listener.getsockname()[1]
        out.print(f"sandbox on http://{HOST}:{port}, Ctrl-C ends it; point the platform to it with:")
        for name, value in parsed.environment(port).items():
            out.print(f"  export {name}={value}")
        serve(parsed, listener)


def _refuse_env_file(program: str) -> None:
    """A command that would read real keys and addresses from a .env instead of the sandbox's from its environment.

    `dagster` loads ./.env over its environment (dagster/_cli/utils.py, measured with 1.13.27), `dg` that of its project
    too. What a script starts cannot be known, so any command is refused.
    """
    from tokenomics_dagster.demo import DemoError
    from tokenomics_dagster.settings import Environment

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
        _say_error(f"{command[0]}: {error.strerror}")
        return 1
    previous = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    try:
        code = process.wait()
        return code if code >= 0 else 128 - code  # ended by a signal: as shells say it
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@app.command()
def check() -> None:
    """Say for each part whether it works, and what to do if not; exit code 1 if a required one fails."""
    from tokenomics_dagster.operations.status import check_all

    table = Table("part", "", "what was found", box=None, pad_edge=False)
    failed = False
    for name, works, text in check_all():
        mark = {True: Text("ok", "green"), False: Text("FAILED", "red"), None: Text("off", "yellow")}[works]
        table.add_row(name, mark, text)
        failed = failed or works is False
    out.print(table)
    raise typer.Exit(1 if failed else 0)


@app.command()
def status() -> None:
    """Last runs, age and coverage of each asset, positions against targets."""
    from tokenomics_dagster.operations.status import status_tables

    for table in status_tables():
        out.print(table)


def _reason(text: str) -> str:
    text = " ".join(text.split())
    if not text:
        raise typer.BadParameter("a reason of printable text is needed: it is what the audit will tell")
    # No halt is refused for a sign without a width, which came with a copied text.
    return _printable(text)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("any date of the week is needed, such as 2026-08-24") from None


ReasonArgument = Annotated[str, typer.Argument(parser=_reason, metavar="REASON", help="Why; it is recorded.")]


@app.command()
def halt(
    reason: ReasonArgument,
    cancel_orders: Annotated[bool, typer.Option("--cancel-orders", help="Cancel all open orders, too.")] = False,
) -> None:
    """Stop a running rebalance before its next order, and every later one, until `resume`."""
    from tokenomics_dagster.operations.decisions import halt_trading

    for line in halt_trading(reason, cancel_orders=cancel_orders):
        out.print(line)


@app.command()
def resume(reason: ReasonArgument) -> None:
    """Let the rebalance trade again after a halt."""
    from tokenomics_dagster.operations.decisions import resume_trading

    for line in resume_trading(reason):
        out.print(line)


@app.command()
def approve(
    plan_id: Annotated[str, typer.Argument(help="As the waiting run names it: week and 12 digits of the hash.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Show a trade plan that waits for a person, and approve it."""
    from tokenomics_dagster.model.plan import week_of_plan
    from tokenomics_dagster.operations.decisions import approve_plan, plan_tables, plan_to_approve

    try:
        week_of_plan(plan_id)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    for table in plan_tables(*plan_to_approve(plan_id)):
        out.print(table)
    if not yes:
        typer.confirm("Approve it?", abort=True)
    for line in approve_plan(plan_id):
        out.print(line)


@app.command()
def orders() -> None:
    """List the orders whose end is not known, and say what to do about each."""
    from tokenomics_dagster.operations.orders import orders_in_doubt

    for line in orders_in_doubt():
        out.print(line)


@app.command()
def settle_order(
    client_order_id: Annotated[str, typer.Argument(help="As `tokenomics orders` names it.")],
    reason: ReasonArgument,
    end: Annotated[
        Literal["canceled", "filled", "never-sent"],
        typer.Option(
            "--as", help="What became of it: canceled, or ended otherwise, with what had filled; filled; never-sent."
        ),
    ],
) -> None:
    """Say what became of an order that the rebalance cannot find out; refused where the broker says otherwise."""
    from tokenomics_dagster.operations.orders import settle_order as settle

    for line in settle(client_order_id, end, reason):
        out.print(line)


@app.command()
def metrics(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 9464,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 in a container.")] = "127.0.0.1",
    once: Annotated[
        bool, typer.Option("--once", help="Print one scrape; exit code 1 if a part is unreadable.")
    ] = False,
) -> None:
    """Serve asset ages, coverage, orders, drift, equity, halt and runs to Prometheus; needs no key of any provider."""
    from tokenomics_dagster.operations.metrics import scrape_once, serve_metrics

    if once:
        text, readable = scrape_once()
        sys.stdout.write(text)
        raise typer.Exit(0 if readable else 1)
    out.print(f"serving http://{host}:{port}/metrics, Ctrl-C ends it")
    serve_metrics(port, host)


@app.command()
def repair(
    symbols: Annotated[
        list[str] | None, typer.Argument(parser=str.upper, metavar="SYMBOL...", help="Stocks to ask for again.")
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="All that the last sweep could not fetch.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="The whole universe: what was stored of late is wrong.")
    ] = False,
) -> None:
    """Fetch the financials of some symbols again; exit code 1 if some are still missing."""
    from tokenomics_dagster.operations.repair import NotFollowed
    from tokenomics_dagster.operations.repair import repair as run

    if bool(symbols) + failed + again != 1:
        raise typer.BadParameter("name symbols, or give --failed or --again")
    try:
        missing = run(symbols or [], again=again, say=lambda line: out.print(line))
    except NotFollowed as error:
        raise typer.BadParameter(str(error)) from None
    if missing:
        _say_error(f"still failed: {', '.join(missing)}")
        raise typer.Exit(1)
    out.print("all were fetched")


def _instant(text: str) -> datetime:
    from tokenomics_dagster.operations.known import instant

    try:
        return instant(text)
    except ValueError:
        raise typer.BadParameter(
            "an instant with its zone is needed, such as 2026-08-24T14:05:00Z, or a date: its end in New York"
        ) from None


@app.command()
def known(
    at: Annotated[
        datetime,
        typer.Argument(parser=_instant, metavar="T", help="2026-08-24T14:05:00Z; a date is its end, New York."),
    ],
    what: Annotated[
        Literal["universe", "financials", "scores", "weights"] | None,
        typer.Option(help="Only this.", show_default="all of them"),
    ] = None,
    symbol: Annotated[str | None, typer.Option(parser=str.upper, help="Only this stock.", show_default=False)] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write all rows to this file.", show_default=False)
    ] = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="Write all rows of --what to this file.", show_default=False)
    ] = None,
) -> None:
    """Tell what the platform knew at an instant; exit code 1 if that is nothing."""
    from tokenomics_dagster.operations.known import known as ask
    from tokenomics_dagster.operations.known import known_document, known_tables

    if csv_file is not None and what is None:
        raise typer.BadParameter("--csv holds one table: say which by --what")
    found = ask(at, () if what is None else (what,), symbol)
    if json_file is not None:
        _write(json_file, known_document(at, found))
    if csv_file is not None:
        _write_text(csv_file, found[0].frame.to_csv(index=False))
    for table in known_tables(at, found):
        out.print(table)


def _number(value: float | None) -> float | None:
    if value is not None and isnan(value):  # which no range leaves out
        raise typer.BadParameter("a number is needed")
    return value


@app.command()
def purge(
    older_than: Annotated[
        float | None,
        typer.Option(
            min=1,
            max=3_650,
            callback=_number,
            help="Days since a run was last touched.",
            show_default="retention.runs_days",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> None:
    """Delete old runs of the Dagster instance with their events and logs, but for those that something needs."""
    from tokenomics_dagster.operations.purge import purge_instance

    for piece in purge_instance(older_than, dry_run=dry_run):
        out.print(piece)


@app.command()
def migrate() -> None:
    """Bring the database to the schema of this version; safe to repeat, and while others do the same."""
    from tokenomics_dagster.settings import load_environment
    from tokenomics_dagster.storage.warehouse import migrate as bring

    for line in bring(load_environment().tokenomics_database_url.get_secret_value()):
        out.print(line)


audit = typer.Typer(help="The record of every plan, approval, halt, order and reconciliation.", no_args_is_help=True)
app.add_typer(audit, name="audit")


@audit.command()
def verify(
    head: Annotated[
        str | None, typer.Option(help="Hash of a head noted elsewhere: it must be in the chain.", show_default=False)
    ] = None,
    count: Annotated[
        int | None, typer.Option(min=1, help="The number of records noted with --head.", show_default=False)
    ] = None,
) -> None:
    """Find any change, deletion or reordering since the records were written; exit code 1 names the first bad one."""
    from tokenomics_dagster.operations.audit import verify_audit

    if head is not None and not re.fullmatch(r"[0-9a-f]{64}", head):
        raise typer.BadParameter("a head is 64 hexadecimal digits: the log of trades and messages of halts have them")
    if count is not None and head is None:
        raise typer.BadParameter("--count goes with --head")
    for line in verify_audit(head, count):
        out.print(line)


@audit.command()
def show(
    week: Annotated[date, typer.Argument(parser=_day, metavar="WEEK", help="Any date of the week, 2026-08-24.")],
) -> None:
    """Tell the story of a week, in order; times in New York."""
    from tokenomics_dagster.operations.audit import audit_story

    for line in audit_story(week):
        out.print(line)


def _write(path: Path, document: Any) -> None:
    _write_text(path, json.dumps(document, indent=2, allow_nan=False) + "\n")


def _write_text(path: Path, text: str) -> None:
    try:
        private.write_text(path, text)
    except OSError as error:
        _say_error(f"{path} cannot be written: {error.strerror}")
        raise typer.Exit(1) from None
