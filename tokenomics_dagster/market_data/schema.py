"""The table of the market data room: columns, units and what must hold in them; and what belongs to a snapshot of it.

The bars themselves are in the lake (storage/lake.py): the warehouse keeps what a run found, session by session.
"""

from collections.abc import Mapping, Sequence

import pandas as pd
import pandera.pandas as pa
from pydantic import Field

from tokenomics_dagster.kit.tables import Table, column
from tokenomics_dagster.model.details import Details

SESSION = r"^\d{4}-\d{2}-\d{2}$"


class DailyBars(Table):
    """One row per session that a run asked for, in their order."""

    session: str = column("day in New York, YYYY-MM-DD", unique=True, str_matches=SESSION)
    names: int = column("followed names that have had a bar by then", ge=0)
    bars: int = column("how many of them have one of this session in the lake", ge=0)
    corrected: int = column("bars that were known otherwise before this run", ge=0)
    refused: int = column("bars that this run was told and kept out of the lake", ge=0)

    @pa.dataframe_check(name="bars_fit", description="no session has more bars than names")
    @classmethod
    def _bars_fit(cls, frame: pd.DataFrame) -> pd.Series:
        return frame["bars"] <= frame["names"]

    @pa.dataframe_check(name="in_order", description="sessions follow each other")
    @classmethod
    def _in_order(cls, frame: pd.DataFrame) -> bool:
        return bool(frame["session"].is_monotonic_increasing)


class DailyBarsDetails(Details):
    last_session: str = Field(description="the newest session that was asked for, YYYY-MM-DD")
    feed: str = Field(description="alpaca.data_feed of then; the volumes of iex are a fraction of the market's")
    asked: int = Field(description="names that were asked for")
    new: int = Field(description="bars that were not known before")
    without: Sequence[str] = Field(description="names that were asked for and have never had a bar")
    refused: Mapping[str, str] = Field(description='by "SYMBOL YYYY-MM-DD" why a bar was kept out of the lake')
    corrected: Sequence[str] = Field(description='"SYMBOL YYYY-MM-DD" of the bars that were known otherwise')
