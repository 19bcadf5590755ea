"""An experiment on history, for a person: its result, its page, and whether its strategy looks ahead."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenomics_dagster.model.extra import require
from tokenomics_dagster.operations.common import open_store
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.loading import load_settings

if TYPE_CHECKING:
    from tokenomics_dagster.kit.checks import Table
    from tokenomics_dagster.research.experiment import Experiment
    from tokenomics_dagster.research.result import Result
    from tokenomics_dagster.storage.warehouse import Warehouse

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Backtested:
    """`document`: what `--json` writes; `screen`: what a terminal shows, by titles; `page`: one HTML file."""

    document: dict[str, Any]
    screen: Mapping[str, "Table"]
    page: str


def backtest(file: Path, *, controls: bool, say: Say) -> Backtested:
    """Runs the experiment. Raises ExperimentError, MissingExtra, or SettingsError."""
    from tokenomics_dagster.research.screen import screen
    from tokenomics_dagster.research.tear_sheet import page

    result = run(file, load_settings(to_trade=False), controls=controls, say=say)
    return Backtested(result.document(), screen(result), page(result))


def files_read(file: Path) -> dict[Path, str]:
    """The experiment's file and what it names, by what they are in words. Raises ExperimentError."""
    from tokenomics_dagster.research.experiment import read_experiment

    return {file: "the experiment", **read_experiment(file).files()}


def run(file: Path, settings: Settings, *, controls: bool, say: Say) -> "Result":
    """The result with what it took, in seconds."""
    needed()
    from tokenomics_dagster.research.backtest import backtest
    from tokenomics_dagster.research.experiment import read_experiment
    from tokenomics_dagster.research.pools import PORTFOLIOS

    begun = time.perf_counter()
    experiment = read_experiment(file)
    with _store_of(experiment, settings) as store:
        result = backtest(experiment, settings, store, portfolios=PORTFOLIOS if controls else 0, say=say)
    return replace(result, seconds=round(time.perf_counter() - begun, 3))


def look_ahead(file: Path, *, say: Say) -> list[str]:
    """What shows that its strategy looks ahead, the first decision first, in sentences; nothing where none was found.

    Its decisions are recomputed at random cut-offs with another future. Raises as `backtest`.
    """
    needed()
    from tokenomics_dagster.research.experiment import read_experiment
    from tokenomics_dagster.research.lookahead import check_lookahead
    from tokenomics_dagster.research.sources import load

    settings, experiment = load_settings(to_trade=False), read_experiment(file)
    with _store_of(experiment, settings) as store:
        say("reading the data ...")
        panel, fundamentals = load(experiment, settings, store)
    say("deciding anew with another future ...")
    return [found.told for found in check_lookahead(panel, fundamentals, experiment, settings)]


def needed() -> None:
    """Raises MissingExtra where a library of the extra [research] is not installed."""
    for module in ("arch", "pyarrow", "scipy", "statsmodels"):
        require(module, extra="research", what="a backtest")


@contextmanager
def _store_of(experiment: "Experiment", settings: Settings) -> Iterator["Warehouse | None"]:
    """The warehouse where the experiment asks for it: figures, or the market caps that no bar has."""
    if experiment.data.prices == "lake" or experiment.data.fundamentals == "warehouse":
        with closing(open_store(settings)) as store:
            yield store
    else:
        yield None
