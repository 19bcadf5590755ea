"""Other settings for an experiment, judged on sessions that nothing was chosen by; kept with every trial."""

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenomics_dagster.kit.checks import Table
from tokenomics_dagster.model.extra import require
from tokenomics_dagster.operations.common import database_named
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.loading import load_settings

if TYPE_CHECKING:
    from tokenomics_dagster.research.tuning import Choice, Tuned
    from tokenomics_dagster.research.verdict import Verdict

_BY_HAND = "tokenomics tune"
"""In the place of a run's id."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """`document`: what `--json` writes; `screen`: what a terminal shows, by titles; `sentences`: what came of it;
    `kept`: where all trials are stored."""

    document: dict[str, Any]
    screen: Mapping[str, Table]
    sentences: tuple[str, ...]
    kept: str


def tune(file: Path, *, trials: int, seed: int, processes: int | None, say: Callable[[str], None]) -> Tuning:
    """Tunes the experiment, and keeps all trials in the warehouse, as the asset of this name does.

    The same call goes on after a kill. Raises ExperimentError, MissingExtra, SettingsError or WarehouseError.
    """
    for module in ("arch", "optuna", "pyarrow", "scipy"):
        require(module, extra="research", what="tuning an experiment")
    from tokenomics_dagster.research.experiment import read_experiment
    from tokenomics_dagster.research.record import tune_on_record
    from tokenomics_dagster.research.tuning_snapshot import document

    settings, experiment = load_settings(to_trade=False), read_experiment(file)
    of, verdict = tune_on_record(experiment, settings, trials=trials, seed=seed, processes=processes, say=say)
    kept = _keep(of, verdict, settings, partition=file.stem)
    return Tuning(document(of, verdict), _screen(of, verdict), verdict.sentences, kept)


def _keep(of: "Tuned", verdict: "Verdict", settings: Settings, *, partition: str) -> str:
    """In a warehouse that is made where there is none yet: a trial that nobody counts flatters the next one."""
    from tokenomics_dagster.research.tuning_snapshot import keep
    from tokenomics_dagster.storage.warehouse import Warehouse

    with closing(Warehouse(settings.environment.tokenomics_database_url.get_secret_value())) as store:
        number = keep(store, of, verdict, datetime.now(UTC), run_id=_BY_HAND, partition=partition)
        kept = f"all {len(of.trials):,} settings that were tried are kept as snapshot {number}"
        return f"{kept} in {database_named(store)}"


def _screen(of: "Tuned", verdict: "Verdict") -> dict[str, Table]:
    from tokenomics_dagster.research.search import named

    folds = [(*_ends(one, of), _number(one.sharpe), _number(one.untuned), named(one.setting)) for one in of.choices]
    judged = [
        (name, _number(one.sharpe), f"{one.total_return:.1%}", _percent(one.volatility), f"{one.max_drawdown:.1%}")
        for name, one in verdict.beside.items()
    ]
    return {
        "folds": Table(("until", "judged from", "to", "Sharpe", "as it is", "chosen until then, by it"), folds),
        "out of sample": Table(("account", "Sharpe", "total return", "volatility", "largest drawdown"), judged),
    }


def _ends(one: "Choice", of: "Tuned") -> tuple[str, str, str]:
    rows = (one.fold.train.stop - 1, one.fold.test.start, one.fold.test.stop - 1)
    chosen, first, last = (str(of.dates[row].astype("datetime64[D]")) for row in rows)
    return chosen, first, last


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.2f}"


def _percent(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.1%}"
