"""What is made of an experiment: its backtest."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from tokenomics_dagster.kit.checks import judged, schema_finding, specs
from tokenomics_dagster.kit.failing import in_a_sentence
from tokenomics_dagster.kit.partitions import partition_of
from tokenomics_dagster.kit.resources import (
    Made,
    SettingsResource,
    WarehouseResource,
    schema_metadata,
)
from tokenomics_dagster.model.extra import require
from tokenomics_dagster.research import checks
from tokenomics_dagster.settings import Settings

if TYPE_CHECKING:
    from tokenomics_dagster.research.tables import BacktestDetails

_CHECKOUT = Path(__file__).resolve().parents[2]


def experiments_folder(settings: Settings) -> Path:
    """Where the experiments are: of this folder or, where it has none, of the checkout that the package lies in."""
    folder = Path(settings.research.experiments).expanduser()
    return folder if folder.is_dir() else _CHECKOUT / folder


def experiment_names(settings: Settings) -> list[str]:
    """The files' names without .yaml, in their order; none is read."""
    return sorted(path.stem for path in experiments_folder(settings).glob("*.yaml"))


class BacktestConfig(dg.Config):
    """Leave empty, unless it must be quick."""

    portfolios: int = 1_000
    """Random ones from each pool; with 0 nothing is varied, either."""


@dg.asset(
    group_name="research",
    kinds={"numpy"},
    metadata=schema_metadata("tokenomics_dagster.research.tables.Backtest"),
    check_specs=specs("backtest", checks.BACKTEST),
)
@in_a_sentence
def backtest(
    context: dg.AssetExecutionContext,
    config: BacktestConfig,
    warehouse: WarehouseResource,
    settings_in_force: dg.ResourceParam[SettingsResource],
) -> Iterator[dg.Output[Made["BacktestDetails"]] | dg.AssetCheckResult]:
    """What an experiment would have done on history, under the very rules that trade, with how sure that is.

    One partition per file of the folder that research.experiments names; made by hand, and never overdue.
    """
    require("arch", extra="research", what="a backtest")
    from tokenomics_dagster.research import shown, snapshot
    from tokenomics_dagster.research.backtest import backtest as run_backtest
    from tokenomics_dagster.research.experiment import read_experiment
    from tokenomics_dagster.research.tables import Backtest

    settings = settings_in_force.read()
    experiment = read_experiment(experiments_folder(settings) / f"{partition_of(context, 'momentum')}.yaml")
    result = run_backtest(experiment, settings, warehouse.open(), portfolios=config.portfolios, say=context.log.info)
    made = snapshot.of(result, created_at(context))
    findings = [schema_finding(Backtest, made.frame), *checks.check_backtest(result)]
    yield from judged(checks.BACKTEST, findings, otherwise="the backtest is not stored")
    yield dg.Output(made, metadata=shown.backtest(result))


def created_at(context: dg.AssetExecutionContext) -> datetime:
    """When the run was asked for: history has no now, and the broker is not needed for it."""
    record = context.instance.get_run_record_by_id(context.run.run_id)
    assert record is not None
    return record.create_timestamp.replace(tzinfo=UTC)
