"""Experiments to daily returns, each once: kept in a folder the moment they are there, made in several processes.

A killed command loses what it was at, and the same command goes on; two at once do no harm. One file per experiment,
replaced by rename, needs no lock: a study in SQLite locks, and a journal is torn by a kill. What is tried stays out.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from contextlib import contextmanager
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from typing import Protocol

import numpy as np

from tokenomics_dagster.kit.interrupts import for_parent_alone
from tokenomics_dagster.research.experiment import Experiment, ExperimentError
from tokenomics_dagster.research.panel import Bools, Days, Floats
from tokenomics_dagster.storage import private

_AT_ONCE = 4  # experiments of a task: what a kill can lose, a process each


class Market(Protocol):
    """A record that experiments are run on. `dates`: (T,) sessions; `decided`: (T,) where the experiment as it is
    decided something; `fingerprint`: of all that results rest on beside the experiment, data and rules."""

    @property
    def dates(self) -> Days: ...

    @property
    def decided(self) -> Bools: ...

    @property
    def fingerprint(self) -> str: ...

    def evaluate(self, experiments: Sequence[Experiment]) -> Floats:
        """(K, T) returns of each session, fractions."""
        ...

    def follow(self, experiments: Sequence[Experiment], starts: Sequence[int]) -> Floats:
        """(T,) returns of one account that goes by each experiment from its row of `starts` (increasing) on, by the
        first one before, and pays for what it changes."""
        ...

    def hold(self, first: int) -> Floats:
        """(T,) returns of what is bought at row `first` and never traded again, fractions; 0 up to it."""
        ...


class Evaluations:
    """Returns by experiment, from the folder or made; see `evaluating`."""

    def __init__(self, market: Market, folder: Path, pool: ProcessPoolExecutor | None, processes: int) -> None:
        self.market, self.folder = market, folder
        self._pool, self._processes = pool, processes
        self._known: dict[str, Floats] = {}

    def of(self, experiments: Sequence[Experiment]) -> Floats:
        """(K, T) returns. Raises ExperimentError where one of them is no number."""
        keys = [_key(one, self.market.fingerprint) for one in experiments]
        missing = {key: one for key, one in zip(keys, experiments, strict=True) if not self._is_known(key)}
        self._make(missing)
        return np.stack([self._known[key] for key in keys])

    def _is_known(self, key: str) -> bool:
        if key not in self._known:
            try:
                found = np.load(self._file(key), allow_pickle=False)
            except (OSError, ValueError, EOFError):  # none, or not wholly written before a power failure
                return False
            if found.shape != self.market.dates.shape or found.dtype != np.float64 or not np.isfinite(found).all():
                return False
            self._known[key] = found
        return True

    def _make(self, missing: dict[str, Experiment]) -> None:
        if missing:
            private.make_folder(self.folder)
        items = list(missing.items())
        size = min(_AT_ONCE, -(-len(items) // self._processes)) or 1
        tasks = [dict(items[n : n + size]) for n in range(0, len(items), size)]
        if self._pool is None:
            for task in tasks:
                _evaluate(self.market, task, self.folder)
        else:
            with for_parent_alone():
                futures = [
                    self._pool.submit(_evaluate_in_worker, task, self.folder, self.market.fingerprint) for task in tasks
                ]
            done, waiting = wait(futures, return_when=FIRST_EXCEPTION)
            for future in waiting:
                future.cancel()
            for future in done:
                future.result()
        for key, one in items:
            if not self._is_known(key):
                raise ExperimentError(f"the returns of {one.name} were written to {self._file(key)}, and are gone")

    def _file(self, key: str) -> Path:
        return self.folder / f"{key}.npy"


@contextmanager
def evaluating(make: Callable[[], Market], folder: Path, processes: int) -> Iterator[Evaluations]:
    """Evaluations in the folder of their market below `folder`; `make` opens the market, in each process once.

    `make` must be importable where there is more than one process (a function of a module, or its partial): they are
    started anew, for a fork of a process with threads can hang.
    """
    market = make()
    own = folder / market.fingerprint[:16]
    if processes == 1:
        yield Evaluations(market, own, None, 1)
        return
    context = get_context("spawn")
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_open, initargs=(make,))
    try:
        yield Evaluations(market, own, pool, processes)
    finally:
        pool.shutdown(cancel_futures=True)  # who presses Ctrl-C waits for the tasks under way, and not for all


def cores() -> int:
    """That this process may use: a container's share can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_opened: list[Market] = []


def _open(make: Callable[[], Market]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _opened.append(make())


def _end_with_parent() -> None:
    """A killed parent closes no queue, and its workers would wait for work for ever."""
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)


def _evaluate_in_worker(task: dict[str, Experiment], folder: Path, fingerprint: str) -> None:
    """Raises ExperimentError where this process read another market than the one that asks: it opened the files anew,
    and what it makes would be kept, and believed, as the other's."""
    if _opened[0].fingerprint != fingerprint:
        raise ExperimentError("the data or the rules changed since this began: run it again, and it begins anew")
    _evaluate(_opened[0], task, folder)


def _evaluate(market: Market, task: dict[str, Experiment], folder: Path) -> None:
    returns = market.evaluate(list(task.values()))
    for (key, one), row in zip(task.items(), returns, strict=True):
        if row.shape != market.dates.shape or not np.isfinite(row).all():
            raise ExperimentError(f"{one.name} has returns that are no numbers: run tokenomics backtest on it")
        written = io.BytesIO()
        np.save(written, np.asarray(row, dtype=np.float64), allow_pickle=False)
        private.write_bytes(folder / f"{key}.npy", written.getvalue())


def _key(experiment: Experiment, fingerprint: str) -> str:
    """Of all that the returns follow from; what is searched and how it is called changes none of them."""
    document = experiment.model_dump(mode="json", exclude={"name", "search", "folder"})
    text = json.dumps([fingerprint, document], sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
