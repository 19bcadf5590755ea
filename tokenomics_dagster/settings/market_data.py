"""Which market data is kept, and when it is believed."""

from datetime import date

from pydantic import Field

from tokenomics_dagster.settings.section import Change, Percent, Section


class MarketDataSettings(Section):
    bars_from: date = Field(
        date(2021, 1, 4),
        ge=date(2016, 1, 4),
        description="the first session whose daily bars are asked for; Alpaca has none before 2016, of iex none before "
        "2020-07-27",
    )
    max_missing_names_pct: Percent = Field(
        25.0,
        description="percent of the names that have had bars which may lack one of a session; thin names trade at the "
        "exchange IEX on some days only",
    )
    max_recorded_difference_pct: Change = Field(
        1.0,
        description="percent by which a price that a plan was made with may lie outside of its session's bar: odd lots "
        "make prices, and no bar",
    )
