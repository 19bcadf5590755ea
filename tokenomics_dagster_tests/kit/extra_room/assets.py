"""Moods of the stocks that are followed."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from tokenomics_dagster.kit.checks import Table, results, schema_finding, specs
from tokenomics_dagster.kit.outcome import Outcome, Stage
from tokenomics_dagster.kit.resources import Made, Stored, schema_metadata
from tokenomics_dagster.kit.room import AgeLimits, Job, Kind, Metrics, Room, Samples
from tokenomics_dagster.providers.alpaca.resource import AlpacaResource
from tokenomics_dagster.settings import Settings
from tokenomics_dagster_tests.kit.extra_room import checks

if TYPE_CHECKING:
    from tokenomics_dagster.storage.warehouse import Warehouse
    from tokenomics_dagster.universe.schema import UniverseDetails
    from tokenomics_dagster_tests.kit.extra_room.schema import MoodsDetails

SCHEMA = "tokenomics_dagster_tests.kit.extra_room.schema.Moods"


class MoodsConfig(dg.Config):
    same: bool = False


@dg.asset(
    group_name="news",
    kinds={"pandas"},
    deps=["letters"],  # nobody here makes them
    metadata=schema_metadata(SCHEMA),
    check_specs=specs("moods", checks.MOODS, blocking=False),
)
def moods(
    config: MoodsConfig, universe: Stored["UniverseDetails"], alpaca: AlpacaResource
) -> Iterator[dg.Output[Made["MoodsDetails"]] | dg.AssetCheckResult]:
    """How each stock of the universe feels."""
    from tokenomics_dagster_tests.kit.extra_room.schema import Moods, MoodsDetails

    stocks = universe.frame
    frame = stocks[["symbol"]].assign(mood=0.0 if config.same else (stocks["rank"] % 3 - 1) / 2)
    yield from results(checks.MOODS, [schema_finding(Moods, frame), *checks.check_moods(frame)])
    yield dg.Output(Made(frame, alpaca.now(), MoodsDetails(universe_as_of=universe.as_of)))


def _samples(store: "Warehouse", _now: datetime, _settings: Settings) -> Samples:
    for snapshot in store.history("moods", limit=1):
        yield "tokenomics_moods", float(snapshot.row_count), ()


def _outcome(store: "Warehouse", _now: datetime) -> Outcome:
    from tokenomics_dagster_tests.kit.extra_room.schema import Moods

    made = store.load_snapshot("moods", Moods)
    assert made is not None
    best = made.nlargest(1, "mood")
    return Outcome(
        {"moods": len(made)},
        [Stage("moods", len(made), "")],
        {"best": Table(("symbol",), [list(best["symbol"])])},
    )


ROOM = Room(
    "moods",
    assets=[moods],
    jobs=[Job("feel", makes=["moods"], description="Daily: moods.", remedy="run feel again, in a better mood")],
    max_ages=lambda _: {"moods": AgeLimits(timedelta(days=1), timedelta(days=2))},
    kinds=[Kind("moods", asset="moods", schema=SCHEMA, shown=("symbol", "mood"), order={"mood": False})],
    metrics=[Metrics({"tokenomics_moods": ((), "Stocks with a mood.")}, _samples)],
    outcome=_outcome,
)
