"""The whole platform on one page.

    listings -> universe -> financials -> scores -> target_weights -> trade_plan -> orders -> portfolio_report

Rooms bring their assets; this page joins them with resources, jobs, schedules and sensors, and says once what holds
for every asset.
"""

import dagster as dg

from tokenomics_dagster.automation import sensors
from tokenomics_dagster.automation.jobs import JOBS
from tokenomics_dagster.automation.schedules import build_schedules
from tokenomics_dagster.execution import assets as execution
from tokenomics_dagster.fundamentals import assets as fundamentals
from tokenomics_dagster.portfolio import assets as portfolio
from tokenomics_dagster.providers.alpaca import AlpacaResource
from tokenomics_dagster.providers.finnhub import FinnhubResource
from tokenomics_dagster.settings import Settings, load_settings
from tokenomics_dagster.storage.resources import PublisherResource, WarehouseIOManager, WarehouseResource
from tokenomics_dagster.universe import assets as universe

OWNER = "team:tokenomics"


def build_defs(settings: Settings) -> dg.Definitions:
    """The platform under these settings."""
    warehouse = WarehouseResource()
    return dg.Definitions(
        assets=[
            asset.map_asset_specs(lambda spec: spec.replace_attributes(owners=[OWNER]))
            for asset in dg.load_assets_from_modules([universe, fundamentals, portfolio, execution])
            if isinstance(asset, dg.AssetsDefinition)
        ],
        jobs=JOBS,
        schedules=build_schedules(settings),
        sensors=[sensors.scores_when_complete, sensors.approved_plans],
        resources={
            "finnhub": FinnhubResource.from_settings(settings),
            "alpaca": AlpacaResource.from_settings(settings),
            "warehouse": warehouse,
            "publisher": PublisherResource(),
            "io_manager": WarehouseIOManager(warehouse=warehouse),
        },
        executor=dg.in_process_executor,
    )


defs = build_defs(load_settings())
