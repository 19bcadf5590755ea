"""Decisions of a strategy in processes of their own, which know nothing of what the strategy has seen before.

Run as a module: reads a `Task` from standard input, writes an `Outcome` for each change. It begins in an empty folder,
without the variables of its parent, reads and imports what is needed once, and forks for each change: a second of
imports and a hundred megabytes of panel are not had three times. What a strategy opens is noted.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

from tokenomics_dagster.research import altered, finding
from tokenomics_dagster.research.deciding import DecisionError, decided
from tokenomics_dagster.research.experiment import Experiment, ExperimentError
from tokenomics_dagster.research.panel import Fundamentals, Panel
from tokenomics_dagster.research.runs import Decisions
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.environment import Environment

Change = Literal["truncated", "absurd", "shuffled"]
Answers = Mapping[date, Mapping[str, float] | None]
"""Weights by symbol of each decision; None where it was refused."""

_INHERITED = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "SYSTEMROOT", "VIRTUAL_ENV")
_OUTSIDE = {"open": 0, "os.system": 0, "socket.connect": 1, "sqlite3.connect": 0, "subprocess.Popen": 0}
"""What reaches beyond the view, of Python's audit events, and which of their arguments says where."""
_CODE = (".py", ".pyc", ".pyi", ".so", ".pth")
_SYSTEM = ("/dev/", "/etc/", "/proc/", "/sys/", "/usr/share/zoneinfo/")
_FILES = "/dev/shm/"  # noqa: S108 - of the system by its name alone: files of a person's as in any folder


@dataclass(frozen=True)
class Task:
    """At the close of each of these rows of the panel, increasing, the market is changed in each of these ways, and all
    is decided anew."""

    panel: Panel
    fundamentals: Fundamentals | None
    experiment: Experiment
    settings: Settings
    changes: tuple[Change, ...]
    rows: tuple[int, ...]
    seed: int


@dataclass(frozen=True)
class Told:
    """What was decided of one changed market; or why nothing was, and on which day."""

    answers: Answers
    error: str | None = None
    day: date | None = None


@dataclass(frozen=True)
class Outcome:
    told: tuple[Told, ...]
    opened: tuple[str, ...]
    """What the strategy opened: files, addresses, programs."""


def answers(decisions: Decisions, panel: Panel) -> Answers:
    days = panel.dates[decisions.sessions].astype("datetime64[D]").tolist()
    found: dict[date, Mapping[str, float] | None] = {}
    for i, day in enumerate(days):
        part = slice(decisions.starts[i], decisions.starts[i + 1])
        names = (panel.symbols[name] for name in decisions.names[part])
        weights = dict(zip(names, decisions.weights[part].tolist(), strict=True))
        found[day] = None if decisions.refused[i] else weights
    return found


def apart(task: Task) -> tuple[Outcome, ...]:
    """The outcomes of a task's changes, each from a process of its own. Raises ExperimentError where there is none."""
    experiment = task.experiment.model_copy(update={"folder": task.experiment.folder.resolve()})
    settings = task.settings.model_copy(update={"environment": Environment.model_construct()})
    sent = pickle.dumps(replace(task, experiment=experiment, settings=settings))
    here = str(Path.cwd())
    with tempfile.TemporaryDirectory(prefix="tokenomics-apart-") as folder:
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ} | {
            "HOME": folder,
            "TMPDIR": folder,
            "PYTHONPATH": os.pathsep.join([*(path or here for path in sys.path), here]),
            "PYTHONDONTWRITEBYTECODE": "1",
            # threads do not outlive a fork
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        command = [sys.executable, "-m", __spec__.name]
        process = subprocess.run(  # noqa: S603  this very module
            command, input=sent, capture_output=True, cwd=folder, env=environment, check=False
        )
    if process.returncode != 0:
        last = process.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise ExperimentError(
            f"strategy = {experiment.strategy} could not be run in a process of its own ({process.returncode}): "
            f"{last[0] if last else 'it said nothing'}"
        )
    outcomes: tuple[Outcome, ...] = pickle.loads(process.stdout)  # noqa: S301  of our own child
    return outcomes


def carry_out(sent: bytes, change: Change) -> Outcome:
    """Of one change. The market as it is stays in the bytes: a strategy could find it among all objects."""
    opened: dict[str, None] = {}
    _note_what_is_opened(opened)
    told = tuple(_told(*_changed(sent, change, number)) for number in range(len(pickle.loads(sent).rows)))  # noqa: S301
    return Outcome(told, tuple(opened))


def _changed(sent: bytes, change: Change, number: int) -> tuple[Task, dict[str, str]]:
    """What is to be decided on, with the true names by the others where they are exchanged."""
    task: Task = pickle.loads(sent)  # noqa: S301  of our own parent
    row, seed, true = task.rows[number], task.seed + number, dict[str, str]()
    experiment = task.experiment
    if change == "truncated":
        panel, fundamentals = altered.truncated(task.panel, task.fundamentals, row)
    elif change == "absurd":
        panel, fundamentals = altered.absurd(task.panel, task.fundamentals, row, seed)
    else:
        panel, fundamentals, true = altered.shuffled(task.panel, task.fundamentals, row, seed)
        other = {symbol: new for new, symbol in true.items()}
        # a symbol that the experiment names is meant, under whatever name it goes
        given = experiment.parameters.items()
        meant = {key: other.get(value, value) if isinstance(value, str) else value for key, value in given}
        experiment = experiment.model_copy(update={"parameters": meant})
    return replace(task, panel=panel, fundamentals=fundamentals, experiment=experiment), true


def _told(task: Task, true: dict[str, str]) -> Told:
    try:
        made = finding.find(task.experiment)()
        found = answers(decided(task.panel, task.fundamentals, task.experiment, task.settings, made), task.panel)
    except DecisionError as error:
        return Told({}, str(error), error.day)
    except ExperimentError as error:
        return Told({}, str(error))
    return Told({day: said and {true.get(name, name): of for name, of in said.items()} for day, said in found.items()})


def _note_what_is_opened(opened: dict[str, None]) -> None:
    """From now on; a hook of the interpreter cannot be taken away again, and so belongs into no other process."""
    installed = tuple({f"{Path(path).resolve()}{os.sep}" for path in (sys.prefix, sys.base_prefix)})

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _OUTSIDE:
            return
        where = arguments[_OUTSIDE[event]]
        if event == "open":
            if not isinstance(where, str | bytes):  # a descriptor: of what was opened before
                return
            path = str(Path(os.fsdecode(where)).resolve())
            of_system = path.startswith(_SYSTEM) and not path.startswith(_FILES)
            if path.endswith(_CODE) or path.startswith(installed) or of_system or ".dist-info" in path:
                return
            where = path
        opened.setdefault(f"{where}")

    sys.addaudithook(hook)


_SENT: list[bytes] = []
"""Of a forked process: what it has of its parent is not sent to it."""


def _forked(change: Change) -> Outcome:
    # What one keeps in a file is not there for another.
    folder = Path(change).resolve()
    folder.mkdir()
    os.chdir(folder)
    os.environ |= {"HOME": str(folder), "TMPDIR": str(folder)}
    tempfile.tempdir = None
    return carry_out(_SENT[0], change)


def main() -> None:
    # What a strategy prints is not the outcome.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sent = sys.stdin.buffer.read()
    changes = pickle.loads(sent).changes  # noqa: S301  of our own parent
    with ProcessPoolExecutor(len(changes), get_context("fork"), _SENT.append, (sent,)) as pool:
        outcomes = tuple(pool.map(_forked, changes))
    pickle.dump(outcomes, out)
    out.close()


if __name__ == "__main__":
    from tokenomics_dagster.research import apart as itself  # what it sends is of a module that its parent has, too

    itself.main()
