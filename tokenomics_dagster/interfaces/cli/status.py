"""How things stand: whether each part works, last runs and positions, figures for Prometheus."""

import sys
from typing import Annotated

import typer

from tokenomics_dagster.interfaces.cli.terminal import out


def check() -> None:
    """Say for each part whether it works, and what to do if not; exit code 1 if a required one fails."""
    from tokenomics_dagster.interfaces.cli import tables
    from tokenomics_dagster.operations.status import check_all

    findings = list(check_all())
    out.print(tables.checked(findings))
    raise typer.Exit(1 if any(one.works is False for one in findings) else 0)


def status() -> None:
    """Last runs, age and coverage of each asset, positions against targets."""
    from tokenomics_dagster.interfaces.cli import tables
    from tokenomics_dagster.operations.status import status as look

    for table in tables.status(look()):
        out.print(table)


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
