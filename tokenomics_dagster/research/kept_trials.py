"""What was tried before: the daily returns of every study that ended, kept in a folder and counted by each later one.

A folder for each set of prices, in it a file for each trial, named by what it holds: the same study again is the same
trial, and one that came out otherwise is another. Files are written beside and renamed, so that a kill and two studies
at once leave whole ones. What trials do to a Sharpe ratio is trials.py's.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from tokenomics_dagster.research.panel import Days, Floats
from tokenomics_dagster.storage import private

LIMIT = 5_000
"""Trials on one set of prices. The correlations of so many take 200 MB; and what is chosen among more is chosen by
luck: the best of 5,000 without skill is expected at 3.7 standard errors."""
_BY = ("study", "tuning")
_EXAMPLES = 3
_STILL = 1e-12
_DIGITS = 10
"""Of a daily return: another machine's last bits make no other trial."""


@dataclass(frozen=True, slots=True)
class Trial:
    """`active`: (T,) returns less the benchmark's, of the sessions `dates`. `by`: a study of its own, or a setting that
    a tuning tried."""

    strategy: str
    by: Literal["study", "tuning"]
    rules_hash: str
    dates: Days
    active: Floats

    @property
    def key(self) -> str:
        """SHA-256 of the rules, the period and what came of it."""
        text = json.dumps([self.strategy, self.by, self.rules_hash])
        days = np.ascontiguousarray(self.dates.astype("datetime64[D]").astype(np.int64))
        return hashlib.sha256(text.encode() + days.tobytes() + _rounded(self.active)).hexdigest()

    def told(self) -> str:
        return f"{self.strategy}, {self.dates[0]} to {self.dates[-1]}"


@dataclass(frozen=True, slots=True)
class Before:
    """What a folder holds of one set of prices. `damaged`: names of files that cannot be believed. `refused`: why none
    of it can be counted, empty where it can."""

    folder: str
    trials: tuple[Trial, ...] = ()
    damaged: tuple[str, ...] = ()
    refused: str = ""


NOTHING = Before("")


@dataclass(frozen=True, slots=True)
class Counted:
    """Trials that were made, the study itself among them: `studies` and `settings` (of tunings) that are kept,
    `shipped` strategies that were tried at once. Of `unknown` there are no returns over all of these sessions: each
    counts as independent of all others. `sentence` says so."""

    trials: int
    studies: int
    settings: int
    shipped: int
    unknown: int
    sentence: str


class Tally(NamedTuple):
    """`returns`: (T, N) of all that are known, those that were given first. `warnings`: whole sentences."""

    returns: Floats
    counted: Counted
    warnings: tuple[str, ...]


def keep(folder: Path, data_hash: str, trials: Sequence[Trial]) -> tuple[str, ...]:
    """Keeps what came of trials on the prices of this hash. A warning where it cannot: a study ends all the same."""
    own = _of_prices(folder, data_hash)
    try:
        private.make_folder(own)
        for trial in trials:
            written = io.BytesIO()
            about = json.dumps({"strategy": trial.strategy, "by": trial.by, "rules_hash": trial.rules_hash})
            np.savez(written, about=np.array(about), dates=trial.dates.astype("datetime64[D]"), active=trial.active)
            private.write_bytes(own / f"{trial.key}.npz", written.getvalue())
    except OSError as error:
        why = f"{own} cannot be written ({error.strerror or error})"
        done = "make it writable, or name another folder as research.studies in the settings, and run it again"
        return (f"This trial is not kept, and no later study will count it: {why}; {done}.",)
    return ()


def kept(folder: Path, data_hash: str, without: Collection[str] = ()) -> Before:
    """All trials on the prices of this hash, but for those with these keys: what asks may have been here before. What a
    writer left behind that was killed (.*.npz.*) is none."""
    own = _of_prices(folder, data_hash)
    try:
        names = sorted(path.name for path in own.iterdir() if path.suffix == ".npz" and path.stem not in without)
    except FileNotFoundError:
        return Before(str(own))
    except OSError as error:
        return Before(
            str(own),
            refused=f"what was tried before cannot be counted, for {own} cannot be read ({error.strerror or error})",
        )
    if len(names) > LIMIT:
        return Before(
            str(own),
            refused=f"{len(names):,} trials on these prices are kept in {own}, and more than {LIMIT:,} are not "
            "counted: what is best among so many is luck, and only prices that none of them saw can show more",
        )
    found = {name: _read(own / name) for name in names}
    return Before(
        str(own),
        tuple(one for one in found.values() if one is not None),
        tuple(name for name, one in found.items() if one is None),
    )


def _of_prices(folder: Path, data_hash: str) -> Path:
    return folder / data_hash[:16]


def _read(path: Path) -> Trial | None:
    """None where the file does not hold what its name says."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            about = json.loads(str(file["about"]))
            trial = Trial(about["strategy"], about["by"], about["rules_hash"], file["dates"], file["active"])
        whole = trial.key == path.stem and trial.by in _BY and trial.active.shape == trial.dates.shape
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None
    return trial if whole and len(trial.active) and np.isfinite(trial.active).all() else None


def tally(before: Before, dates: Days, returns: Floats) -> Tally:
    """What was tried, all together. `returns`: (T, N) less the benchmark's on `dates`, of the study and of the shipped
    strategies that it tried at once.

    A kept trial counts where it shares a session with the study: with its returns where it has all of these sessions,
    as unknown where not, or where they do not vary. What came out as one that is counted already is the same trial.
    """
    seen = {_rounded(column) for column in returns.T}
    columns, counts, apart = list(returns.T), dict.fromkeys(_BY, 0), list[str]()
    for trial in before.trials:
        rows = np.flatnonzero(np.isin(trial.dates, dates))
        if not rows.size:
            continue
        shared = trial.active[rows]
        if len(rows) < len(dates) or shared.std() < _STILL:
            apart.append(trial.told())
        elif _rounded(shared) in seen:
            continue
        else:
            seen.add(_rounded(shared))
            columns.append(shared)
        counts[trial.by] += 1
    unknown, shipped = len(apart) + len(before.damaged), returns.shape[1] - 1
    total = len(columns) + unknown
    counted = Counted(
        total, counts["study"], counts["tuning"], shipped, unknown, _sentence(before, counts, shipped, unknown, total)
    )
    return Tally(np.stack(columns, axis=1), counted, tuple(_warnings(before, apart)))


def _sentence(before: Before, counts: dict[str, int], shipped: int, unknown: int, total: int) -> str:
    if before.refused:
        return f"It is refused to say how many were tried: {before.refused}."
    where = f" kept in {before.folder}" if before.folder else ""
    settings = f" and {_many(counts['tuning'], 'setting')} of tunings" if counts["tuning"] else ""
    without = f", {unknown:,} of them without returns over these sessions" if unknown else ""
    damaged = f" ({len(before.damaged):,} more are damaged)" if before.damaged else ""
    studies = _many(counts["study"], "other study", "other studies")
    tried = _many(shipped, "shipped strategy", "shipped strategies")
    return f"{_many(total, 'trial')}{without}: this one, {studies}{settings}{where}{damaged}, and {tried}."


def _warnings(before: Before, apart: Sequence[str]) -> Iterator[str]:
    if before.damaged:
        yield (
            f"Of the trials in {before.folder} {len(before.damaged):,} cannot be read ({_some(before.damaged)}): each "
            "counts as one whose returns are unknown. Restore them, or delete them and forget what was tried."
        )
    if apart:
        yield (
            f"{_many(len(apart), 'trial')} of before cannot be set beside this one over all of its sessions "
            f"({_some(apart, '; ')}): each counts as independent of all others."
        )


def _many(count: int, one: str, more: str = "") -> str:
    return f"{count:,} {one if count == 1 else more or one + 's'}"


def _some(names: Sequence[str], between: str = ", ") -> str:
    more = f"{between}and {len(names) - _EXAMPLES:,} more" if len(names) > _EXAMPLES else ""
    return between.join(names[:_EXAMPLES]) + more


def _rounded(returns: Floats) -> bytes:
    return (np.round(returns, _DIGITS) + 0.0).tobytes()  # -0.0 is 0.0
