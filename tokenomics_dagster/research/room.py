"""What others need to know of research: it is made by hand, one experiment at a time."""

from collections.abc import Mapping

import dagster as dg

from tokenomics_dagster.kit.room import Job, Room
from tokenomics_dagster.research.assets import backtest, experiment_names
from tokenomics_dagster.research.tuning_assets import tunable_names, tuning
from tokenomics_dagster.settings import Settings

BACKTESTS = Job(
    "backtests",
    makes=("backtest",),
    description="An experiment on history: choose its partition, or all of them in a backfill.",
    remedy="correct what the error names (the experiment's file, or its data), and run that partition again",
    in_cycle=False,
)
TUNINGS = Job(
    "tunings",
    makes=("tuning",),
    description="Other settings for an experiment with a search, judged on sessions that nothing was chosen by.",
    remedy="correct what the error names (the experiment's search, or its data), and run that partition of tuning "
    "again: what was evaluated is not evaluated again",
    in_cycle=False,
)


def _partitions(settings: Settings) -> Mapping[str, dg.PartitionsDefinition]:
    """By the files that are there while definitions load: a new one is there once they are loaded anew."""
    return {
        "backtest": dg.StaticPartitionsDefinition(experiment_names(settings)),
        "tuning": dg.StaticPartitionsDefinition(tunable_names(settings)),
    }


ROOM = Room(
    "research",
    assets=[backtest, tuning],
    jobs=[BACKTESTS, TUNINGS],
    partitions=_partitions,
    max_ages=lambda _: dict.fromkeys(("backtest", "tuning")),
    remedies={
        "backtest.adds_up": "do not use the result; tell who looks after the engine, with the experiment's file",
        "backtest.tradable": "set fill to next_open or next_close in the experiment, unless it is one to compare with",
        "tuning.apart": "do not use the result; tell who looks after research, with the experiment's file",
        "tuning.helped": "keep the settings as they are",
        "tuning.not_overfitted": "keep the settings as they are: search for less, or on a longer record",
        "backtest.skill": "what luck does as well is no evidence: do not trade it for this",
    },
)
