"""The table of the extra room."""

from tokenomics_dagster.kit.tables import Table, column


class Moods(Table):
    """One row per stock."""

    symbol: str = column("ticker", unique=True)
    mood: float = column("-1 to 1", ge=-1, le=1)
