"""A tuning as JSON, and as the warehouse keeps it: rows by setting, and all else beside them."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pandas as pd

from tokenomics_dagster.research.result import plain
from tokenomics_dagster.research.search import canonical
from tokenomics_dagster.research.statistics import as_day, sharpe
from tokenomics_dagster.research.tuning import Choice, Tuned
from tokenomics_dagster.research.tuning_tables import Tuning, TuningDetails
from tokenomics_dagster.research.verdict import Verdict
from tokenomics_dagster.storage.records import Made

if TYPE_CHECKING:
    from tokenomics_dagster.storage.warehouse import Warehouse


def document(of: Tuned, verdict: Verdict) -> dict[str, Any]:
    """What `--json` writes, as docs/tuning.md tells each key: strict JSON, an undefined figure is null."""
    days = [str(day) for day in of.dates.astype("datetime64[D]")]
    judged = {"tuned": of.tuned, "untuned": of.untuned, "held": of.held}
    return {
        "experiment": of.experiment.name,
        "rules": of.experiment.model_dump(mode="json", exclude={"name", "search"}),
        "search": plain(of.experiment.search),
        "seed": of.seed,
        "trials": of.asked,
        "helped": verdict.helped,
        "sentences": list(verdict.sentences),
        "folds": [_choice(one, of) for one in of.choices],
        "now": _choice(of.now, of),
        "out_of_sample": {
            name: {"figures": plain(getattr(verdict, name)), "returns": returns.tolist()}
            for name, returns in judged.items()
        }
        | {"from": days[of.judged.start], "to": days[of.judged.stop - 1]},
        "overfitting": plain(verdict.overfitting),
        "deflated": plain(verdict.deflated),
        "difference": plain(verdict.difference),
        "tried": [
            {
                "setting": dict(trial.setting),
                "studies": trial.studies,
                "sharpe": plain(sharpe(trial.returns)),
                "returns": trial.returns.tolist(),
            }
            for trial in of.trials
        ],
        "sessions": days,
        "fingerprint": of.fingerprint,
    }


def made(of: Tuned, verdict: Verdict, as_of: datetime) -> Made[TuningDetails]:
    """`as_of`: when it was asked for, UTC."""
    told = document(of, verdict)
    rows = [
        (number, canonical(one["setting"]), one["studies"], one["sharpe"], json.dumps(one["returns"]))
        for number, one in enumerate(told.pop("tried"))
    ]
    frame = pd.DataFrame(rows, columns=list(Tuning.to_schema().columns))
    return Made(frame, as_of, TuningDetails(**told))


def keep(store: Warehouse, of: Tuned, verdict: Verdict, as_of: datetime, *, run_id: str, partition: str) -> int:
    """Appends it as the asset's IO manager does, and returns the snapshot's number."""
    return store.save_snapshot("tuning", Tuning, made(of, verdict, as_of), run_id=run_id, partition=partition)


def _choice(one: Choice, of: Tuned) -> dict[str, Any]:
    return {
        "chosen_by": _span(one.fold.train, of),
        "judged": _span(one.fold.test, of),
        "purged_sessions": one.fold.purged,
        "tried": one.tried,
        "setting": dict(one.setting),
        "sharpe_chosen_by": plain(one.sharpe),
        "sharpe_untuned": plain(one.untuned),
    }


def _span(rows: slice, of: Tuned) -> list[str] | None:
    if rows.start == rows.stop:
        return None
    return [as_day(of.dates[rows.start]).isoformat(), as_day(of.dates[rows.stop - 1]).isoformat()]
