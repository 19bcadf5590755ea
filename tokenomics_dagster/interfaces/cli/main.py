"""The whole command on one page, in the order of its help, and how known errors end it."""

import os
import sys
from errno import ENOSPC
from io import TextIOWrapper
from typing import Annotated

import typer

from tokenomics_dagster.interfaces.cli import (
    answers,
    audit,
    backtest,
    decisions,
    first,
    known,
    orders,
    portfolio,
    report,
    sandbox,
    status,
    tune,
    upkeep,
)
from tokenomics_dagster.interfaces.cli.ending import EndsInWords
from tokenomics_dagster.interfaces.cli.terminal import out, say_error
from tokenomics_dagster.model.errors import NothingToDo, UserError

app = typer.Typer(
    cls=EndsInWords,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # its pretty tracebacks print local variables, keys among them
)


def _version(*, asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        out.print(f"tokenomics {version('tokenomics-dagster')}")
        raise typer.Exit


@app.callback(epilog="Exit code: 0 done, or nothing to do; 1 failed; 2 wrong usage; 130 Ctrl-C.")
def tokenomics(
    context: typer.Context,
    demo: Annotated[
        bool,
        typer.Option("--demo", help="Look at what `tokenomics demo` left."),
    ] = False,
    version: Annotated[  # noqa: ARG001  it acts by its callback
        bool, typer.Option("--version", callback=lambda value: _version(asked=value), is_eager=True, help="Show it.")
    ] = False,
) -> None:
    """Picks US stocks by fundamentals and keeps an Alpaca account on the best."""
    from tokenomics_dagster.kit.logs import start_for_command

    if demo:
        from tokenomics_dagster.interfaces.on_demo import OTHER_WORLDS, on_demo

        command = str(context.invoked_subcommand)
        if command in OTHER_WORLDS:
            raise typer.BadParameter(f"{command} does not look at what a demo left: leave --demo out")
        context.with_resource(on_demo(command))
    start_for_command()


app.command(
    short_help="Run the whole weekly cycle on the sandbox, without any key.",
    epilog="Example: tokenomics demo --universe-size 100",
)(sandbox.demo)
app.command(
    short_help="A market in a box: Finnhub's and Alpaca's APIs.",
    epilog="Example: tokenomics sandbox --now 2026-08-24T14:05:00Z -- tokenomics check",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": False},
)(sandbox.sandbox)
app.command(
    short_help="Ask for keys, try them, make folders and database.",
    epilog="Example: tokenomics init && tokenomics start",
)(first.init)
app.command(
    short_help="What a paper account's first portfolio still lacks.",
    epilog="Example: tokenomics start --yes",
)(first.start)
app.command(
    short_help="Say for each part whether it works, and what to do if not.",
    epilog="Example: tokenomics check --json check.json",
)(status.check)
app.command(
    short_help="Each setting in force, where it comes from and what it means.",
    epilog="Example: tokenomics settings --diff",
)(status.settings)
app.command(
    short_help="Last runs, age of each asset, positions against targets.",
    epilog="Example: tokenomics status --json status.json",
)(status.status)
app.command(
    short_help="A rebalanced week as one page.",
    epilog="Example: tokenomics report 2026-08-24 --open",
)(report.report)
app.command(
    short_help="What was traded in a week, why, and at which price.",
    epilog="Example: tokenomics trades 2026-08-24 --all",
)(portfolio.trades)
app.command(
    short_help="What a rebalance would do now; nothing is sent.",
    epilog="Example: tokenomics plan --dry",
)(portfolio.plan)
app.command(
    "next",
    short_help="Schedules and sensors: what comes when.",
    epilog="Example: tokenomics next",
)(portfolio.next_)
app.command(
    short_help="What the account has earned, against what.",
    epilog="Example: tokenomics performance --json earned.json",
)(portfolio.performance)
app.command(
    short_help="All about one stock: why it is held or not.",
    epilog="Example: tokenomics explain AAPL",
)(answers.explain)
app.command(
    short_help="What is held: cost, value, gain, weight, target.",
    epilog="Example: tokenomics holdings --json holdings.json",
)(answers.holdings)
app.command(
    short_help="Two weeks compared: who came, who went, and why.",
    epilog="Example: tokenomics changes 2026-08-17 2026-08-24",
)(answers.changes)
app.command(
    short_help="Stop a running rebalance, and every later one.",
    epilog='Example: tokenomics halt "the prices look wrong" --cancel-orders',
)(decisions.halt)
app.command(epilog='Example: tokenomics resume "prices are right again"')(decisions.resume)
app.command(
    short_help="Show a trade plan that waits, and approve it.",
    epilog="Example: tokenomics approve fundamentals-2026-08-24-509a03f5170a",
)(decisions.approve)
app.command(
    short_help="Let the strategy have stocks that it did not buy.",
    epilog="Example: tokenomics adopt AAPL MSFT",
)(decisions.adopt)
app.command(
    short_help="Orders whose end is not known, and what to do about each.",
    epilog="Example: tokenomics orders --json orders.json",
)(orders.orders)
app.command(
    short_help="Say what became of an order that nobody can find out.",
    epilog="Example: tokenomics settle-order tokenomics-fundamentals-2026-08-24-AAPL-buy-1 --as canceled "
    '"seen in the dashboard"',
)(orders.settle_order)
app.command(
    short_help="Serve figures to Prometheus; needs no key of any provider.",
    epilog="Example: tokenomics metrics --once",
)(status.metrics)
app.command(
    short_help="Fetch the financials of some symbols again.",
    epilog="Example: tokenomics repair --failed",
)(upkeep.repair)
app.command(
    short_help="Tell what the platform knew at an instant.",
    epilog="Example: tokenomics known 2026-08-24 --what scores --symbol AAPL",
)(known.known)
app.command(
    short_help="Run an experiment on history, and say how sure that is.",
    epilog="Example: tokenomics backtest config/experiments/momentum.yaml --html momentum.html",
)(backtest.backtest)
app.command(
    short_help="Look for better settings, and say whether they would help.",
    epilog="Example: tokenomics tune config/experiments/momentum.yaml --trials 20",
)(tune.tune)
app.command(
    short_help="Delete old runs of the Dagster instance that nothing needs.",
    epilog="Example: tokenomics purge --older-than 90 --dry-run",
)(upkeep.purge)
app.command(
    short_help="Bring the database to the schema of this version.",
    epilog="Example: tokenomics migrate",
)(upkeep.migrate)
app.add_typer(audit.app, name="audit", short_help="The record of what was decided and done.")


def main() -> None:
    """Entry point of the command: known errors become one sentence and exit code 1."""
    for standard in (0, 1, 2):
        try:
            os.fstat(standard)
        except OSError:  # closed by the shell (`>&-`): the next file or socket would be opened in its place
            os.open(os.devnull, os.O_RDWR)
    if isinstance(sys.stdout, TextIOWrapper):
        # A terminal without Unicode shows what it does not know as a question mark: the command goes on.
        sys.stdout.reconfigure(errors="replace")
    try:
        app()
    except NothingToDo as reason:
        out.print(str(reason))
        sys.exit(0)
    except _known_errors() as error:
        say_error(str(error))
        sys.exit(1)
    except OSError as error:
        if error.errno != ENOSPC:
            raise
        say_error(f"there is no room to write what is to be told ({error.strerror}): look whether it was done")
        sys.exit(1)


def _known_errors() -> tuple[type[Exception], ...]:
    """The errors that are written for the user; the sandbox, which knows nothing of the platform, has its own."""
    names = {"tokenomics_dagster.sandbox.server": "SandboxError", "tokenomics_dagster.sandbox.faults": "FaultError"}
    return UserError, *(getattr(sys.modules[module], name) for module, name in names.items() if module in sys.modules)
