"""What is made of an experiment with a search: its tuning."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from tokenomics_dagster.kit.checks import judged, schema_finding, specs
from tokenomics_dagster.kit.failing import in_a_sentence
from tokenomics_dagster.kit.metadata import table
from tokenomics_dagster.kit.partitions import partition_of
from tokenomics_dagster.kit.resources import Made, SettingsResource, schema_metadata
from tokenomics_dagster.model.extra import require
from tokenomics_dagster.research.assets import created_at, experiments_folder
from tokenomics_dagster.research.tuning_checks import TUNING, check_tuning
from tokenomics_dagster.settings import Settings

if TYPE_CHECKING:
    from tokenomics_dagster.research.tuning_tables import TuningDetails


class TuningConfig(dg.Config):
    """Leave as it is, unless more is to be tried: the more settings, the better the best of them looks by luck."""

    trials: int = Field(default=50, ge=2, le=10_000, description="Settings that each fold may try.")
    seed: int = Field(default=1, ge=0, le=1_000_000_000, description="The same seed gives the same answer.")


def tunable_names(settings: Settings) -> list[str]:
    """The experiments that have a `search`, in their order; what it says is not read."""
    return sorted(path.stem for path in experiments_folder(settings).glob("*.yaml") if _has_search(path))


def _has_search(path: Path) -> bool:
    return any(line.startswith(b"search:") for line in path.read_bytes().splitlines())


@dg.asset(
    group_name="research",
    kinds={"numpy"},
    metadata=schema_metadata("tokenomics_dagster.research.tuning_tables.Tuning"),
    check_specs=specs("tuning", TUNING),
)
@in_a_sentence
def tuning(
    context: dg.AssetExecutionContext,
    config: TuningConfig,
    settings_in_force: dg.ResourceParam[SettingsResource],
) -> Iterator[dg.Output[Made["TuningDetails"]] | dg.AssetCheckResult]:
    """Whether other settings of an experiment would have done better on sessions that they were not chosen by.

    One partition per file of the experiments' folder that has a `search`; made by hand, and never overdue. Every
    setting that was tried is kept, with its returns.
    """
    require("optuna", extra="research", what="tuning an experiment")
    from tokenomics_dagster.reports.figures import percent
    from tokenomics_dagster.research.experiment import read_experiment
    from tokenomics_dagster.research.record import tune_on_record
    from tokenomics_dagster.research.search import named
    from tokenomics_dagster.research.tuning_snapshot import made
    from tokenomics_dagster.research.tuning_tables import Tuning

    settings = settings_in_force.read()
    experiment = read_experiment(experiments_folder(settings) / f"{partition_of(context, 'momentum')}.yaml")
    of, verdict = tune_on_record(experiment, settings, trials=config.trials, seed=config.seed, say=context.log.info)
    stored = made(of, verdict, created_at(context))
    findings = [schema_finding(Tuning, stored.frame), *check_tuning(of, verdict)]
    yield from judged(TUNING, findings, otherwise="the tuning is not stored")
    yield dg.Output(
        stored,
        metadata={
            "in_short": verdict.sentences[0],
            "what came of it": table(((one,) for one in verdict.sentences), "in words"),
            "out of sample": table(
                (
                    (name, one.sharpe, *map(percent, (one.total_return, one.volatility, one.max_drawdown)))
                    for name, one in verdict.beside.items()
                ),
                *("account", "Sharpe ratio", "total return", "volatility", "largest drawdown"),
            ),
            "folds": table(
                ((*one.spans(of.dates), named(one.setting), one.sharpe, one.untuned) for one in of.choices),
                *("chosen by", "judged", "setting", "Sharpe ratio it was chosen by", "of the settings as they are"),
            ),
            "settings_tried": len(of.trials),
        },
    )
