"""The whole platform on one page.

    listings -> universe -> financials -> scores -> target_weights -> trade_plan -> orders -> portfolio_report

Rooms bring their assets; this page joins them with resources, jobs, schedules and sensors, and says once what holds
for every asset.
"""

from collections.abc import Mapping

import dagster as dg

from tokenomics_dagster.automation.jobs import JOBS
from tokenomics_dagster.automation.schedules import build_schedules
from tokenomics_dagster.automation.sensors import build_sensors
from tokenomics_dagster.automation.timetable import freshness
from tokenomics_dagster.execution import assets as execution
from tokenomics_dagster.fundamentals import assets as fundamentals
from tokenomics_dagster.kit import alive, logs
from tokenomics_dagster.kit.metadata import code_reference
from tokenomics_dagster.kit.resources import PublisherResource, WarehouseIOManager, WarehouseResource
from tokenomics_dagster.portfolio import assets as portfolio
from tokenomics_dagster.providers.alpaca import AlpacaResource
from tokenomics_dagster.providers.finnhub import FinnhubResource
from tokenomics_dagster.settings import Settings, load_settings
from tokenomics_dagster.universe import assets as universe

OWNER = "team:tokenomics"


def build_defs(settings: Settings) -> dg.Definitions:
    """The platform under these settings."""
    warehouse, policies = WarehouseResource(), freshness(settings)
    return dg.Definitions(
        assets=[
            _owned(asset, settings.environment.tokenomics_code_url, policies)
            for asset in dg.load_assets_from_modules([universe, fundamentals, portfolio, execution])
            if isinstance(asset, dg.AssetsDefinition)
        ],
        jobs=JOBS,
        schedules=build_schedules(settings),
        sensors=build_sensors(settings),
        resources={
            "finnhub": FinnhubResource.from_settings(settings),
            "alpaca": AlpacaResource.from_settings(settings),
            "warehouse": warehouse,
            "publisher": PublisherResource(),
            "io_manager": WarehouseIOManager(warehouse=warehouse),
        },
        executor=alive.in_process,
    )


def _owned(
    asset: dg.AssetsDefinition, code_url: str | None, policies: Mapping[str, dg.FreshnessPolicy]
) -> dg.AssetsDefinition:
    """The asset with its owner, how old it may become, and a link to its code."""
    code = code_reference(asset.op, code_url)
    return asset.map_asset_specs(
        lambda spec: spec.replace_attributes(
            owners=[OWNER],
            freshness_policy=policies[spec.key.to_user_string()],
            metadata={**spec.metadata, **code},
        )
    )


logs.start()
defs = build_defs(load_settings())
