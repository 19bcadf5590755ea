"""Other settings for an experiment, and whether they would have done better than those there are."""

import time
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from tokenomics_dagster.interfaces.cli.terminal import check_outputs, out, tell_beside, write_json


def tune(
    file: Annotated[Path, typer.Argument(metavar="EXPERIMENT", help="An experiment with a search: docs/tuning.md.")],
    trials: Annotated[int, typer.Option(min=2, max=10_000, help="Settings that each fold may try.")] = 50,
    processes: Annotated[
        int | None,
        typer.Option(min=1, max=256, help="That evaluate at a time; the answer is the same.", show_default="all cores"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=1_000_000_000, help="The same seed gives the same answer.")] = 1,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the whole result to this file.", show_default=False)
    ] = None,
) -> None:
    """Look for better settings of an experiment, and say plainly whether they would have helped.

    After a kill the same command goes on.
    """
    from tokenomics_dagster.interfaces.cli import tables
    from tokenomics_dagster.interfaces.cli.words import span
    from tokenomics_dagster.model.progress import timed
    from tokenomics_dagster.operations import tuning as operation
    from tokenomics_dagster.operations.backtest import files_read

    check_outputs(files_read(file), json_file)
    begun = time.monotonic()
    done = operation.tune(file, trials=trials, seed=seed, processes=processes, say=timed(tell_beside, time.monotonic))
    tell_beside(f"tuned in {span(timedelta(seconds=time.monotonic() - begun))}")
    for table in tables.tuning(done.screen):
        out.print(table)
    for sentence in (*done.sentences, done.kept):
        out.print(sentence)
    if json_file is not None:  # last: a full disk must not take the answer with it
        write_json(json_file, done.document)
