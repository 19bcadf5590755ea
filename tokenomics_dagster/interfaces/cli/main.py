"""The whole command on one page, in the order of its help, and how known errors end it."""

import sys
from errno import ENOSPC
from io import TextIOWrapper
from typing import Annotated

import typer

from tokenomics_dagster.interfaces.cli import audit, backtest, decisions, known, orders, sandbox, status, tune, upkeep
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


@app.callback(epilog="Exit code: 0 done, also where nothing was to do; 1 failed; 2 wrong usage; 130 ended by Ctrl-C.")
def tokenomics(
    context: typer.Context,
    demo: Annotated[
        bool,
        typer.Option("--demo", help="Look at what `tokenomics demo` left, whatever the environment and .env say."),
    ] = False,
    version: Annotated[  # noqa: ARG001  it acts by its callback
        bool, typer.Option("--version", callback=lambda value: _version(asked=value), is_eager=True, help="Show it.")
    ] = False,
) -> None:
    """Picks US stocks by fundamentals and keeps an Alpaca account on a score-weighted portfolio."""
    from tokenomics_dagster.kit.logs import start_for_command

    if demo:
        from tokenomics_dagster.interfaces.on_demo import OTHER_WORLDS, on_demo

        command = str(context.invoked_subcommand)
        if command in OTHER_WORLDS:
            raise typer.BadParameter(f"{command} does not look at what a demo left: leave --demo out")
        context.with_resource(on_demo(command))
    start_for_command()


app.command()(sandbox.demo)
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": False})(sandbox.sandbox)
app.command()(status.check)
app.command()(status.settings)
app.command()(status.status)
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
