"""The whole platform on one page.

    listings -> universe -> financials -> scores -> target_weights -> trade_plan -> orders -> portfolio_report
                 daily_bars
    backtest (the same rules on history)

A room is one folder, and one line here. This page joins the rooms with resources and with what looks after them, and
says once what holds for every asset.
"""

import gc
from collections.abc import Callable, Sequence

import dagster as dg

# What the import of Dagster made, 110,000 objects, lives as long as the process: not to be gone through once more while
# the rooms load, by each full collection of a run, and at the end (0.25 of 1.15 s of a process that only loads this).
gc.freeze()

from tokenomics_dagster.automation.jobs import build_jobs
from tokenomics_dagster.automation.schedules import build_schedules
from tokenomics_dagster.automation.sensors import build_sensors
from tokenomics_dagster.execution.room import ROOM as EXECUTION
from tokenomics_dagster.fundamentals.room import ROOM as FUNDAMENTALS
from tokenomics_dagster.kit import alive, logs
from tokenomics_dagster.kit.alerts import Notifier
from tokenomics_dagster.kit.metadata import code_reference, links
from tokenomics_dagster.kit.partitions import symbol_partitions
from tokenomics_dagster.kit.resources import PublisherResource, SettingsResource, WarehouseIOManager, WarehouseResource
from tokenomics_dagster.kit.room import House, Room
from tokenomics_dagster.market_data.room import ROOM as MARKET_DATA
from tokenomics_dagster.portfolio.room import ROOM as PORTFOLIO
from tokenomics_dagster.providers.alpaca.resource import AlpacaResource
from tokenomics_dagster.providers.finnhub.resource import FinnhubResource
from tokenomics_dagster.providers.resource import paces_alone
from tokenomics_dagster.research.room import ROOM as RESEARCH
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.universe.room import ROOM as UNIVERSE

OWNER = "team:tokenomics"
ROOMS: Sequence[Room] = (UNIVERSE, MARKET_DATA, FUNDAMENTALS, PORTFOLIO, EXECUTION, RESEARCH)


def build_defs(
    settings: Settings, *, rooms: Sequence[Room] = ROOMS, read: Callable[[], Settings] | None = None
) -> dg.Definitions:
    """The platform under these settings; runs and ticks `read` them anew, where they may change beside it.

    Raises ValueError where the rooms contradict each other.
    """
    house, in_force = House(rooms), SettingsResource(settings, read)
    logs.name_symbols(name for name, asset in house.assets.items() if asset.partitions_def == symbol_partitions)
    warehouse = WarehouseResource(settings_in_force=in_force)
    return dg.Definitions(
        assets=_assets(house, settings),
        jobs=build_jobs(house),
        schedules=[*(one for room in rooms for one in room.schedules(settings)), *build_schedules(settings)],
        sensors=[*(one for room in rooms for one in room.sensors(settings)), *build_sensors(house, settings)],
        resources={
            "settings_in_force": in_force,
            "notifier": Notifier(),
            "finnhub": paces_alone(FinnhubResource.from_settings(settings, in_force)),
            "alpaca": paces_alone(AlpacaResource.from_settings(settings, in_force)),
            "warehouse": warehouse,
            "publisher": PublisherResource(settings_in_force=in_force),
            "io_manager": WarehouseIOManager(warehouse=warehouse),
        },
        executor=alive.in_process,
    )


def _assets(house: House, settings: Settings) -> list[dg.AssetsDefinition]:
    """Each with its owner, its tags, how old it may become, its partitions, and links to its code and documents."""
    limits, partitions = house.max_ages(settings), house.partitions(settings)

    def completed(name: str, asset: dg.AssetsDefinition) -> dg.AssetsDefinition:
        address, room = settings.environment.tokenomics_code_url, house.room_of[name]
        stored = name in house.stored()
        shown = {
            **code_reference(asset.op, address),
            **links(name, house.job_of[name], is_table=stored, repository_url=address),
        }
        tags = {"domain": room.name, "tier": room.tier if stored else "serving"}
        limit = limits.get(name)
        fresh = (
            None if limit is None else dg.FreshnessPolicy.time_window(fail_window=limit.fail, warn_window=limit.warn)
        )
        return asset.map_asset_specs(
            lambda spec: spec.replace_attributes(
                owners=[OWNER],
                freshness_policy=fresh,
                tags={**spec.tags, **tags},
                metadata={**spec.metadata, **shown},
                partitions_def=partitions.get(name, spec.partitions_def),
            )
        )

    return [completed(name, asset) for name, asset in house.assets.items()]


@dg.definitions
def defs() -> dg.Definitions:
    """What Dagster loads."""
    logs.start()
    return build_defs(load_settings(), read=load_settings)
