"""The whole weekly cycle on the sandbox, as real Dagster runs in this process: what `tokenomics demo` does.

Everything lies in one folder and is kept: a second demo goes on where the first one ended, and `make ui` shows it. The
platform knows nothing of this: the environment tells it where the sandbox is, as in any deployment.
"""

import errno
import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tokenomics_dagster.model import calendar
from tokenomics_dagster.model.errors import UserError
from tokenomics_dagster.operations.common import InstanceUnusable, dagster_instance, make_instance
from tokenomics_dagster.sandbox.replay import ReplayError
from tokenomics_dagster.sandbox.replay import replay as read_market
from tokenomics_dagster.sandbox.server import SandboxHandle, running_sandbox
from tokenomics_dagster.settings.environment import Environment, load_environment
from tokenomics_dagster.settings.loading import load_settings, settings_path
from tokenomics_dagster.storage import private

if TYPE_CHECKING:
    import dagster as dg

    from tokenomics_dagster.kit.outcome import Outcome
    from tokenomics_dagster.settings import Settings

HOME = Path(".tokenomics/demo")
STATE, SETTINGS, _DAGSTER = "sandbox.json", "settings.yaml", "dagster"  # in it

# The sandbox has no plan to pay for: the pace of the real APIs would make the demo last two hours.
FAST: dict[str, dict[str, float]] = {
    "finnhub": {"calls_per_minute": 60_000.0, "max_calls_per_second": 1_000.0, "max_in_flight": 8},
    "alpaca": {"calls_per_minute": 60_000.0},
    "trading": {"poll_interval_s": 0.2},
    # Nor need it spare calls, at the price of the names that are seldom traded.
    "universe": {"most_traded_up_to": 0},
}
_CANNOT_WRITE = {
    errno.EACCES, errno.EDQUOT, errno.EEXIST, errno.EIO, errno.ENOSPC, errno.ENOTDIR, errno.EPERM, errno.EROFS,
}  # fmt: skip
_LOCK_TIMEOUT_S = 3.0  # a sandbox saves its state in well under a second
_REMEDY = "make room, or run the demo in a folder that can be written"


class DemoError(UserError):
    """The demo cannot go on; one sentence for the user."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of each room, the calls of each endpoint, seconds by stage, the Monday of the week, and what the same
    strategy would have done on a history of this market, in a line."""

    outcomes: Sequence["Outcome"]
    api_calls: Mapping[str, int]
    seconds: Mapping[str, float]
    week: str
    evidence: str = ""

    def document(self) -> dict[str, Any]:
        """What `--json` writes."""
        told = {key: value for outcome in self.outcomes for key, value in outcome.document.items()}
        machine = {"api_calls": dict(self.api_calls), "seconds": dict(self.seconds), "week": self.week}
        return {**told, **machine, "evidence": self.evidence}


def run_demo(
    *,
    replay: Path | None = None,
    universe_size: int | None = None,
    settings_file: Path | None = None,
    home: Path = HOME,
    say: Callable[[str], None],
) -> Result:
    """Runs the cycle and returns its summary. Raises DemoError, or OperationRefused where a stage failed, and why."""
    document = _settings(settings_file, universe_size)
    if replay is not None:
        replay = replay.resolve()
        _check_recorded(replay)
    home = home.resolve()
    state = home / STATE
    with _room_in(home), locked(state) as lock:
        _forget_other_market(home, replay, say)
        settings_copy = home / SETTINGS
        private.write_text(settings_copy, document)
        with running_sandbox([lock], port=0, state=state, replay=replay) as sandbox:
            tell_address(lock, sandbox.environment())
            os.environ.update(environment(home, sandbox.environment(), settings_copy))
            with chdir(home):  # as `make ui` does: a .env of the user's own folder would contradict the sandbox
                return _run_cycle(home, sandbox, say)


def environment(home: Path, sandbox: Mapping[str, str], settings_file: Path) -> dict[str, str]:
    """As `variables`, with the folder of the Dagster instance made."""
    dagster_home(home)
    return variables(home, sandbox, settings_file)


def variables(home: Path, sandbox: Mapping[str, str], settings_file: Path) -> dict[str, str]:
    """Every variable that the platform reads, pointing into `home` and to the sandbox.

    The others are emptied: a .env with real addresses must not make the demo publish to a real Redis.
    """
    return {
        **{name.upper(): "" for name in Environment.model_fields},
        **sandbox,
        "TOKENOMICS_DATABASE_URL": f"sqlite:///{home / 'warehouse.db'}",
        "TOKENOMICS_LAKE": str(home / "lake"),
        "TOKENOMICS_SETTINGS": str(settings_file),
        "DAGSTER_HOME": str(home / _DAGSTER),
    }


def dagster_home(home: Path) -> Path:
    """The folder of the Dagster instance, with the checkout's dagster.yaml in it."""
    folder = home / _DAGSTER
    make_instance(folder)
    return folder


def _run_cycle(home: Path, sandbox: SandboxHandle, say: Callable[[str], None]) -> Result:
    from tokenomics_dagster.operations.cycle import run_cycle
    from tokenomics_dagster.operations.demo_evidence import evidence
    from tokenomics_dagster.providers.alpaca.resource import AlpacaResource

    settings = load_settings()
    with AlpacaResource.from_settings(settings) as alpaca:
        clock = alpaca.clock()
        if not clock.is_open:
            opened = clock.next_open + timedelta(minutes=settings.schedules.rebalance_minutes_after_open)
            sandbox.admin("PUT", "/sandbox/clock", {"now": opened.isoformat()})
        now = alpaca.clock().now
    week = calendar.week_of(now).isoformat()
    settings = _begun(settings, home, calendar.week_of(now))
    say(f"sandbox: {now.astimezone(calendar.NEW_YORK):%A %Y-%m-%d %H:%M} in New York, week of {week}")
    try:
        with dagster_instance() as instance:
            _release_dead_runs(instance)
            done = run_cycle(instance, settings, now, say=say)
    except InstanceUnusable as error:
        raise DemoError(f"Dagster's storage in {home / _DAGSTER}: {error.reason}; {_REMEDY}") from None
    calls = sandbox.admin("GET", "/sandbox/calls")
    say("evidence ...")
    told = evidence(settings, home, lambda line: say(f"  {line}"))
    return Result(done.outcomes, dict(calls), done.seconds, week, told)


def _release_dead_runs(instance: "dg.DagsterInstance") -> None:
    """Ends the runs of a demo that was killed: this process holds the lock, so no run of this instance is alive.

    Without a daemon nobody else would give back the pool slots that they hold.
    """
    import dagster as dg

    unfinished = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED])
    for run in instance.get_runs(unfinished):
        instance.report_run_failed(run, "the demo that ran it was killed")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)


def _settings(settings_file: Path | None, universe_size: int | None) -> str:
    """The settings of the demo as YAML: the user's, at the sandbox's pace; checked before anything is touched."""
    source = settings_file or settings_path(load_environment())
    size = {} if universe_size is None else {"universe.size": universe_size}
    fast = {f"{section}.{key}": value for section, keys in FAST.items() for key, value in keys.items()}
    settings = load_settings(source, {**fast, **size})
    return f"# Written by `tokenomics demo` from {source or 'the defaults'}\n{_text(settings)}"


def _text(settings: "Settings") -> str:
    document = settings.model_dump(mode="json", exclude={"environment"})
    return yaml.safe_dump(document, sort_keys=False, explicit_end=True)


def _begun(settings: "Settings", home: Path, week: date) -> "Settings":
    """The settings with the weeks of the portfolio begun at the demo's first one: the UI would call earlier ones
    missing."""
    from tokenomics_dagster.operations.setting_up import weeks_begin

    begun = weeks_begin(settings, week) if (home / "warehouse.db").exists() else week
    weeks = settings.rebalancing.model_copy(update={"first_week": begun})
    changed = settings.model_copy(update={"rebalancing": weeks})
    file = home / SETTINGS
    said = file.read_text().splitlines()[0]
    private.write_text(file, f"{said}\n{_text(changed)}")
    return load_settings()


def _check_recorded(market: Path) -> None:
    """A mistyped folder must show before the last demo's market is forgotten for it."""
    try:
        read_market(market)
    except ReplayError as error:
        raise DemoError(str(error)) from None


def _forget_other_market(home: Path, replay: Path | None, say: Callable[[str], None]) -> None:
    """A demo of another market starts anew: its account and its warehouse would mean nothing in this one."""
    marker = home / "market.txt"
    market = str(replay.resolve()) if replay else "generated"
    if marker.exists() and marker.read_text() != market:
        say(f"the last demo was of another market ({marker.read_text()}): starting anew")
        for path in home.iterdir():
            if path.suffix != ".lock":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    private.write_text(marker, market)


@contextmanager
def _room_in(home: Path) -> Iterator[None]:
    """The folder of the demo; that it cannot be written, or is full, becomes one sentence."""
    try:
        private.make_folder(home)
        private.tighten_folder(home)
        yield
    except OSError as error:
        if error.errno not in _CANNOT_WRITE:
            raise
        raise DemoError(f"{error.filename or home}: {error.strerror}; {_REMEDY}") from None


@contextmanager
def locked(state: Path) -> Iterator[int]:
    """Keeps others from the sandbox's state file: the one that ends last would overwrite the other's account.

    Yields the lock's file descriptor. The sandbox inherits it, so that the lock lasts until its state is saved, also
    when this process is killed; a killed one's sandbox is waited for.
    """
    path = state.with_name(f"{state.name}.lock")
    try:
        private.make_file(path)
        lock = path.open("r+")
    except OSError as error:
        raise DemoError(f"{path}: {error.strerror}; the state needs a folder that can be written") from None
    with lock:
        deadline = time.monotonic() + _LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise DemoError(f"another demo, sandbox or `make ui` uses {state}: end it first") from None
                time.sleep(0.05)
        lock.truncate()  # of an earlier one's address
        yield lock.fileno()


def tell_address(lock: int, sandbox: Mapping[str, str]) -> None:
    """Leaves in the lock's file how the sandbox is reached that runs on this state, for `address_of`."""
    os.pwrite(lock, json.dumps(dict(sandbox)).encode(), 0)


def address_of(state: Path) -> dict[str, str] | None:
    """The variables that point to the sandbox that runs on this state; None when none does, or none that told it."""
    path = state.with_name(f"{state.name}.lock")
    if not path.is_file():
        return None
    with path.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            told = lock.read()
            return dict(json.loads(told)) if told else None
    return None
