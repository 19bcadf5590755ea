"""The first hour: keys and folders (`init`), and the first portfolio of a paper account (`start`)."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from tokenomics_dagster.interfaces.cli.terminal import out, say_error, tell

_FEWEST = 20  # names that a portfolio of at most 5 % each needs to be invested


def init(
    no_input: Annotated[bool, typer.Option("--no-input", help="Ask nothing: keys come from the environment.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace keys that .env holds without asking.")] = False,
    starter: Annotated[
        int, typer.Option(min=0, max=500, help="Stocks to begin with, all by the next night; 0: all at once.")
    ] = 50,
) -> None:
    """Ask for keys, try them, and make .env, DAGSTER_HOME and the database; nothing is traded."""
    from tokenomics_dagster.operations.setting_up import instance_home, set_up, try_keys

    if 0 < starter < _FEWEST:
        raise typer.BadParameter(
            f"a portfolio needs {_FEWEST} stocks to choose from, or 0 for all", param_hint="--starter"
        )
    keys = _asked(no_input=no_input, force=force)
    out.print("trying them ...")
    tried = try_keys(keys)
    kind = "paper account" if tried.is_paper else "LIVE account, with real money,"
    out.print(f"Finnhub answers ({tried.finnhub_host})")
    out.print(f"{kind} {tried.number} at {tried.trading_host}, {tried.equity:,.2f} USD; the market is {tried.market}")
    for line in set_up(keys, starter, tried.week):
        out.print(line)
    program = _program()
    out.print("\nNext:", soft_wrap=True)
    out.print(f"  export DAGSTER_HOME={shlex.quote(str(instance_home()))}")
    if tried.is_paper:
        out.print(f"  {program} start        # the first portfolio of the paper account; asks before it trades")
    else:
        out.print("  # a live account: docs/operations.md, Going live, says what comes before the first order")
    out.print(f"  {_program('dagster')} dev         # the UI at http://127.0.0.1:3000, schedules and sensors")


def start(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before trading.")] = False,
    no_trade: Annotated[bool, typer.Option("--no-trade", help="Stop before the rebalance.")] = False,
) -> None:
    """Run what a paper account's first portfolio still lacks: universe, financials, scores, rebalance."""
    from tokenomics_dagster.interfaces.cli import tables
    from tokenomics_dagster.operations import start as starting

    found = starting.to_start()
    if no_trade:
        found = found.without_trades()
    out.print(f"{found.account}, {found.equity:,.2f} USD")
    if not found.jobs:
        out.print("nothing is lacking: universe, financials and scores are there")
    if found.trades and not yes:
        typer.confirm("Trade on it, once everything is there?", abort=True)
    done = starting.start(found, tell)
    for shown in tables.started(done):
        out.print(shown)


def _asked(*, no_input: bool, force: bool) -> dict[str, str]:
    """The keys: of the environment, else as typed, else of .env. Ends the command where one is lacking."""
    from tokenomics_dagster.operations.setting_up import KEYS, known_keys

    keys = {}
    for name, known in known_keys().items():
        if (
            known.contradicts
            and not force
            and (no_input or not typer.confirm(f"{name}: .env has another; replace it?"))
        ):
            _end(f"{name}: .env holds another than the environment; unset one, or --force replaces that of .env")
        if known.environment or (no_input and known.file):
            keys[name] = known.environment or known.file
            out.print(f"{name}: from {'the environment' if known.environment else '.env'}")
        elif no_input:
            _end(f"{name} is not set: export it, or run `tokenomics init` without --no-input to be asked for it")
        else:
            keys[name] = _typed(name, KEYS[name], known.file, force=force)
    return keys


def _typed(name: str, meaning: str, kept: str, *, force: bool) -> str:
    if not sys.stdin.isatty():
        _end("there is no terminal to ask on: export the keys and give --no-input")
    hint = "Enter keeps that of .env" if kept else meaning
    typed = str(typer.prompt(f"{name} ({hint}), not shown", hide_input=True, default=kept, show_default=False)).strip()
    if kept and typed != kept and not force and not typer.confirm(f"{name}: replace that of .env?"):
        return kept
    return typed


def _end(sentence: str) -> NoReturn:
    say_error(f"{sentence}. Nothing was written")
    raise typer.Exit(1)


def _program(name: str = "tokenomics") -> str:
    """How this shell can call the command beside the one that runs."""
    here = Path(sys.argv[0]).with_name(name)
    folder = Path.cwd()
    return str(here.relative_to(folder)) if here.is_absolute() and here.is_relative_to(folder) else str(here)
