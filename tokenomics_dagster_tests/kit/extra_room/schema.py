"""The table of the extra room, and what belongs to a snapshot of it."""

from pydantic import Field

from tokenomics_dagster.kit.tables import Table, column
from tokenomics_dagster.model.details import Details, Instant


class Moods(Table):
    """One row per stock."""

    symbol: str = column("ticker", unique=True)
    mood: float = column("-1 to 1", ge=-1, le=1)


class MoodsDetails(Details):
    universe_as_of: Instant = Field(description="the universe whose stocks they are of")
