"""How things stand: whether each part works, the settings in force, last runs and positions, figures for Prometheus."""

import sys
from collections.abc import Iterator
from typing import Annotated

import typer

from tokenomics_dagster.interfaces.cli.terminal import JsonOption, out, write_json


def check(json_file: JsonOption = None) -> None:
    """Say for each part whether it works, and what to do if not; exit code 1 if a required one fails."""
    from tokenomics_dagster.interfaces.cli import tables
    from tokenomics_dagster.operations.common import document_of
    from tokenomics_dagster.operations.status import check_all

    findings = list(check_all())
    if json_file is not None:
        write_json(json_file, {"parts": document_of(findings)})
    out.print(tables.checked(findings))
    raise typer.Exit(1 if any(one.works is False for one in findings) else 0)


def settings(
    diff: Annotated[bool, typer.Option("--diff", help="Only what differs from the defaults.")] = False,
    json_file: JsonOption = None,
) -> None:
    """Show the settings in force: each value, where it comes from, its unit and its meaning; no secret."""
    from tokenomics_dagster.interfaces.cli import tables
    from tokenomics_dagster.operations.settings_in_force import settings_document, settings_in_force, settings_named

    found = settings_in_force()
    shown = [one for one in found if one.differs or not diff]
    if json_file is not None:
        write_json(json_file, settings_document(shown))
    out.print(settings_named(found))
    for table in tables.settings(shown):
        out.print(table)


def status(json_file: JsonOption = None) -> None:
    """Last runs, age and coverage of each asset, positions against targets."""
    from tokenomics_dagster.interfaces.cli import tables
    from tokenomics_dagster.operations.status import Part, status_document
    from tokenomics_dagster.operations.status import status as look

    seen: list[Part] = []

    def parts() -> Iterator[Part]:
        for part in look():
            seen.append(part)
            yield part

    for table in tables.status(parts()):  # each as soon as it is known
        out.print(table)
    if json_file is not None:
        write_json(json_file, status_document(seen))


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
