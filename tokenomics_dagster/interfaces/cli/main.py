"""The whole command on one page, in the order of its help, and how known errors end it."""

import sys
from errno import ENOSPC
from io import TextIOWrapper

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
from tokenomics_dagster.interfaces.cli.terminal import say_error
from tokenomics_dagster.model.errors import UserError

app = typer.Typer(
    help="Picks US stocks by fundamentals and keeps an Alpaca account on a score-weighted portfolio.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # its pretty tracebacks print local variables, keys among them
)
app.command()(sandbox.demo)
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": False})(sandbox.sandbox)
app.command()(first.init)
app.command()(first.start)
app.command()(status.check)
app.command()(status.settings)
app.command()(status.status)
app.command()(report.report)
app.command()(portfolio.trades)
app.command()(portfolio.plan)
app.command("next")(portfolio.next_)
app.command()(portfolio.performance)
app.command()(answers.explain)
app.command()(answers.holdings)
app.command()(answers.changes)
app.command()(decisions.halt)
app.command()(decisions.resume)
app.command()(decisions.approve)
app.command()(decisions.adopt)
app.command()(orders.orders)
app.command()(orders.settle_order)
app.command()(status.metrics)
app.command()(upkeep.repair)
app.command()(known.known)
app.command()(backtest.backtest)
app.command()(tune.tune)
app.command()(upkeep.purge)
app.command()(upkeep.migrate)
app.add_typer(audit.app, name="audit")


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
