"""The demo's last line: evidence for its own market, and where the page lies."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from tokenomics_dagster.model.errors import UserError
from tokenomics_dagster.model.extra import MissingExtra
from tokenomics_dagster.operations.backtest import needed
from tokenomics_dagster.operations.common import open_store
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.storage import private


def evidence(settings: Settings, folder: Path, say: Callable[[str], None]) -> str:
    """The line. What keeps it from being had ends no demo: then the line says that, and what to do."""
    try:
        needed()
    except MissingExtra as error:
        return f"evidence: none, for {error}"
    from tokenomics_dagster.research.rehearsal import NAME, in_one_line, rehearse
    from tokenomics_dagster.research.tear_sheet import page

    begun = perf_counter()
    try:
        with closing(open_store(settings)) as store:
            result = rehearse(store, settings, folder, say)
    except UserError as error:
        return f"evidence: none, for {error}"
    path = folder / f"{NAME}.html"
    private.write_text(path, page(replace(result, seconds=round(perf_counter() - begun, 2))))
    return f"{in_one_line(result)}; the page: {path}"
