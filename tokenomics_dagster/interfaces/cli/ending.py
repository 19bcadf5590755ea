"""How a command ends that is interrupted, or told no: one line that says what was saved and how to go on."""

import logging
from typing import Any

import click
import typer
from typer.core import TyperGroup

from tokenomics_dagster.interfaces.cli.terminal import err, tell, tell_beside

INTERRUPTED = 130  # as shells say it: 128 and the number of SIGINT
SAVED = {
    "init": ".env is written last, whole or not at all; `tokenomics init` begins anew and keeps what is there already",
    "start": "what was fetched and traded is kept; `tokenomics start` goes on where it was, and trades nothing twice",
    "demo": "what it had fetched and traded is kept; the same command goes on there, and trades nothing twice",
    "repair": "what it had fetched is stored; with --failed the same command asks for the rest, else it begins anew",
    "backtest": "nothing was stored or written; the same command begins anew",
    "tune": "what it had tried is kept; the same command goes on there",
    "purge": "the runs that it had deleted are gone, others whole but for those it was at; the same command goes on",
    "report": "a page is written whole or not at all; the same command makes it anew",
    "migrate": "the database is at a whole step between two schemas; the same command goes on",
}
"""By command. What only looks has nothing to save, and a decision is recorded at once or not at all."""

_NOTHING = "nothing more was done; `tokenomics status` tells how things stand"


def _of_no_interrupt(record: logging.LogRecord) -> bool:
    """SQLAlchemy logs with its trace, before it raises it again, a Ctrl-C that meets a connection being closed."""
    return record.exc_info is None or not isinstance(record.exc_info[1], KeyboardInterrupt)


class EndsInWords(TyperGroup):
    """Its commands answer Ctrl-C in words, at a question too; click would leave an empty line, or "Aborted."."""

    def invoke(self, ctx: click.Context) -> Any:
        if logging.lastResort is not None:
            logging.lastResort.addFilter(_of_no_interrupt)
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            pass
        except click.Abort as abort:
            if not isinstance(abort.__context__, KeyboardInterrupt):
                unanswered = isinstance(abort.__context__, EOFError)
                why = "the question got no answer" if unanswered else "the answer was no"
                err.print(f"{why}: nothing was changed or traded")
                raise typer.Exit(1) from None
        tell.end()
        tell_beside.end()
        err.print(f"interrupted: {SAVED.get(str(ctx.invoked_subcommand), _NOTHING)}")
        raise typer.Exit(INTERRUPTED)
