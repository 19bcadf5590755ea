"""The warehouse and the publisher as Dagster knows them: two resources, and the IO manager between assets.

Thin: SQL is in storage/, Redis commands in publishing.py. Their addresses hold passwords, so they come from the
environment and are no fields, which the UI would show.
"""

from collections.abc import Callable
from contextlib import closing
from statistics import median
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import PrivateAttr

from tokenomics_dagster.kit.checks import NOT_PUBLISHED
from tokenomics_dagster.kit.failing import in_a_sentence
from tokenomics_dagster.kit.metadata import column_metadata
from tokenomics_dagster.kit.room import imported
from tokenomics_dagster.model.details import Details
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.storage.records import Made, Stored

if TYPE_CHECKING:
    # pandas, pandera and SQLAlchemy take 0.7 s to import, more than Dagster itself: not while definitions load.
    from pandas import DataFrame

    from tokenomics_dagster.storage.publishing import Publisher
    from tokenomics_dagster.storage.warehouse import Warehouse
else:
    DataFrame = Any

__all__ = [
    "DataFrame",
    "Made",
    "PublisherResource",
    "SettingsResource",
    "Stored",
    "WarehouseIOManager",
    "WarehouseResource",
    "schema_metadata",
]

_SCHEMA = "schema"


def schema_metadata(path: str) -> dict[str, str]:
    """Asset metadata that names the pandera model (`package.module.Model`) by which the IO manager stores the asset.

    What belongs to a snapshot of it is read by the model of the same name with `Details` after it.
    """
    return {_SCHEMA: path}


class SettingsResource:
    """The settings of one platform, so that several can live in a process. Not to be changed by a run's config.

    Raises SettingsError where what they are read from anew cannot be used.
    """

    def __init__(self, settings: Settings, read: Callable[[], Settings] | None = None) -> None:
        self.built_with = settings
        self.read = read or (lambda: settings)


class WarehouseResource(dg.ConfigurableResource[Any]):
    """Opens TOKENOMICS_DATABASE_URL when first used; closed at the end of the run."""

    settings_in_force: dg.ResourceDependency[SettingsResource]
    _warehouse: Any = PrivateAttr(default=None)

    def open(self) -> "Warehouse":
        if self._warehouse is None:
            from tokenomics_dagster.storage.warehouse import Warehouse

            # As built with: a problem with the settings of now is told by what is stored here, too.
            environment = self.settings_in_force.built_with.environment
            self._warehouse = Warehouse(environment.tokenomics_database_url.get_secret_value())
        return self._warehouse

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        if self._warehouse is not None:
            self._warehouse.close()
            self._warehouse = None


class WarehouseIOManager(dg.ConfigurableIOManager):
    """Appends what was made as a snapshot of the asset; loads the newest one of an upstream asset (of that partition).

    Each materialization tells the snapshot's rows, age and columns.
    """

    warehouse: dg.ResourceDependency[WarehouseResource]

    @in_a_sentence
    def handle_output(self, context: dg.OutputContext, obj: Made[Details]) -> None:
        schema = imported(_schema_path(context))
        snapshot_id = self.warehouse.open().save_snapshot(
            context.asset_key.to_user_string(),
            schema,
            obj,
            run_id=context.run_id,
            partition=context.partition_key if context.has_partition_key else "",
        )
        context.add_output_metadata(
            {"snapshot_id": snapshot_id, "dagster/row_count": len(obj.frame), **_ages(obj), **column_metadata(schema)}
        )

    @in_a_sentence
    def load_input(self, context: dg.InputContext) -> Stored[Details]:
        upstream = context.upstream_output
        assert upstream is not None
        partition = context.asset_partition_key if context.has_asset_partitions else ""
        name, path = context.asset_key.to_user_string(), _schema_path(upstream)
        details: type[Details] = imported(f"{path}Details")
        stored = self.warehouse.open().load_stored(name, imported(path), details, partition=partition)
        if stored is None:
            where = f" of {partition}" if partition else ""
            raise dg.Failure(f"there is no {name}{where} in the warehouse yet: materialize {name} first")
        return stored


class PublisherResource(dg.ConfigurableResource[Any]):
    """Redis, when REDIS_URL or REDIS_HOST is set; without it nothing is published."""

    settings_in_force: dg.ResourceDependency[SettingsResource]

    def publish(self, context: dg.AssetExecutionContext, command: "Callable[[Publisher], None]") -> bool:
        """Runs `command` on the publisher; False, and a line in the log, when no Redis is configured."""
        address = self.settings_in_force.built_with.environment.redis
        if address is None:
            context.log.info(NOT_PUBLISHED)
            return False
        from tokenomics_dagster.storage.publishing import Publisher

        with closing(Publisher(address)) as publisher:
            command(publisher)
        return True


def _ages(made: Made[Details]) -> dict[str, Any]:
    """The instant that a snapshot describes, and how old at that instant was what it was made from.

    That is each other table of which its details tell, and the rows by their columns of instants. The machine's clock
    has no say: a past week that is decided again has the ages of that week.
    """
    as_of, frame = made.as_of, made.frame
    ages = {f"{name}_age_days": as_of - at for name, at in made.details.made_from.items()}
    for column in frame.select_dtypes("datetimetz").columns:
        known = [as_of - at.to_pydatetime() for at in frame[column].dropna()]
        if known:
            ages |= {f"{column}_median_age_days": median(known), f"{column}_oldest_age_days": max(known)}
    days = {key: round(age.total_seconds() / 86_400, 3) for key, age in ages.items()}
    return {"as_of": dg.MetadataValue.timestamp(as_of), **days}


def _schema_path(context: dg.OutputContext) -> str:
    path = (context.definition_metadata or {}).get(_SCHEMA)
    if not isinstance(path, str):
        raise dg.DagsterInvariantViolationError(f"asset {context.asset_key.to_user_string()} names no schema")
    return path
