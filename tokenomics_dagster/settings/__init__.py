"""The platform's settings: a section for each room that has some, and the environment, in one frozen `Settings`.

Only values belong in this package, with their defaults, limits and meanings, and no behaviour. config/settings.yaml is
the same as a page for people; a test keeps the two equal. loading.py reads the file, environment.py the variables;
nothing else does.
"""

from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from tokenomics_dagster.settings.alerts import AlertSettings
from tokenomics_dagster.settings.alpaca import LIVE_TRADING_URL, PAPER_TRADING_URL, AlpacaSettings
from tokenomics_dagster.settings.environment import Environment
from tokenomics_dagster.settings.finnhub import FinnhubSettings
from tokenomics_dagster.settings.fundamentals import FundamentalsSettings
from tokenomics_dagster.settings.guards import GuardSettings
from tokenomics_dagster.settings.market_data import MarketDataSettings
from tokenomics_dagster.settings.rebalancing import RebalancingSettings
from tokenomics_dagster.settings.reports import ReportsSettings
from tokenomics_dagster.settings.research import ResearchSettings
from tokenomics_dagster.settings.retention import RetentionSettings
from tokenomics_dagster.settings.schedules import ScheduleSettings
from tokenomics_dagster.settings.section import Section
from tokenomics_dagster.settings.trading import TradingSettings
from tokenomics_dagster.settings.universe import UniverseSettings


class Settings(Section):
    universe: UniverseSettings = Field(
        UniverseSettings(), description="which stocks exist for the platform, and which are followed"
    )
    market_data: MarketDataSettings = Field(
        MarketDataSettings(), description="which market data is kept, and when it is believed"
    )
    fundamentals: FundamentalsSettings = Field(
        FundamentalsSettings(), description="how figures become scores, and which figures are believed"
    )
    rebalancing: RebalancingSettings = Field(RebalancingSettings(), description="what the portfolio is to be")
    trading: TradingSettings = Field(
        TradingSettings(), description="how orders are sent, and how long is waited for them"
    )
    finnhub: FinnhubSettings = Field(FinnhubSettings(), description="how Finnhub is asked")
    alpaca: AlpacaSettings = Field(AlpacaSettings(), description="how Alpaca is asked")
    guards: GuardSettings = Field(GuardSettings(), description="each refuses, and says which figure and which limit")
    research: ResearchSettings = Field(ResearchSettings(), description="what is tried on history")
    reports: ReportsSettings = Field(ReportsSettings(), description="what the portfolio is compared with")
    schedules: ScheduleSettings = Field(ScheduleSettings(), description="when the platform works by itself")
    alerts: AlertSettings = Field(AlertSettings(), description="what is told; where: ALERT_WEBHOOK_URL, ALERT_URLS")
    retention: RetentionSettings = Field(RetentionSettings(), description="how long runs are kept")
    environment: Environment = Field(description="secrets and addresses")

    @model_validator(mode="after")
    def _trading_host_fits(self) -> Self:
        # A live host behind `paper: true`, or the reverse, is never what somebody meant.
        live = urlsplit(self.trading_url).hostname == urlsplit(LIVE_TRADING_URL).hostname
        if live and self.trading.paper:
            raise ValueError("trading.paper = true, but ALPACA_TRADING_URL is the live host: change one of them")
        return self

    @property
    def trading_url(self) -> str:
        """Address of Alpaca's trading API: ALPACA_TRADING_URL, or the host that trading.paper asks for."""
        return self.environment.alpaca_trading_url or (PAPER_TRADING_URL if self.trading.paper else LIVE_TRADING_URL)
