"""`tokenomics explain | holdings | changes` after three weeks with a split, a rename, a stock of nobody's and new
figures: what they say adds up to the broker's books."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tokenomics_dagster.interfaces.demo import FAST, dagster_home
from tokenomics_dagster.portfolio.schema import TargetWeights
from tokenomics_dagster.sandbox.server import running_sandbox
from tokenomics_dagster_tests.conftest import REPOSITORY, Platform
from tokenomics_dagster_tests.end_to_end.conftest import Command
from tokenomics_dagster_tests.operations.conftest import point_to

FIRST, SECOND, THIRD = "2026-08-10", "2026-08-17", "2026-08-24"
TOP_N = 10


@dataclass
class Weeks:
    """A platform after three weeks, and which stock met what."""

    platform: Platform
    split: str
    renamed: str
    sinks: str
    """Held in the first two weeks, then with a ROE of the worst."""
    rises: str
    """Not chosen in the first week, then with figures of the best."""
    mute: str
    """Without ROE since the second week."""
    foreign: str


@pytest.fixture(scope="module")
def weeks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weeks]:
    """To be read only."""
    folder = tmp_path_factory.mktemp("weeks")
    settings_file = folder / "settings.yaml"
    settings_file.write_text((REPOSITORY / "config/settings.yaml").read_text())
    with (
        running_sandbox(listings=150, seed=7) as sandbox,
        dg.DagsterInstance.from_config(str(dagster_home(folder))) as instance,
        pytest.MonkeyPatch.context() as patch,
    ):
        made = Platform(sandbox, instance, folder, settings_file)
        for section, values in FAST.items():
            made.configure(**{f"{section}__{key}": value for key, value in values.items()})
        made.configure(
            universe__size=30,
            rebalancing__top_n_stocks=TOP_N,
            rebalancing__max_position_pct=12.0,
            trading__poll_interval_s=0.05,
        )
        point_to(made, patch)
        yield lived(made)
        made.store.close()


def lived(platform: Platform) -> Weeks:
    sandbox = platform.sandbox
    at(platform, f"{FIRST}T14:05:00")
    platform.run_all(FIRST)
    targets = platform.store.load_snapshot("target_weights", TargetWeights, partition=FIRST)
    assert targets is not None
    held = list(targets["symbol"])
    scores = platform.store.newest_values("scores", "symbol", "score")
    others = sorted((s for s in scores if s not in held and scores[s] is not None), key=lambda s: scores[s])
    listed = {one for one in platform.store.newest_values("listings", "symbol", "type")}
    found = Weeks(platform, held[0], held[1], held[2], others[0], others[1], "")
    dropped = platform.store.history("universe", limit=1)[0].details["dropped"]
    found.foreign = next(s for s, why in dropped.items() if why.startswith("below the") and s in listed)
    at(platform, "2026-08-12T12:00:00")
    act(platform, "split", found.split, new_rate=2, old_rate=1)
    act(platform, "rename", found.renamed, new_symbol="RENAMED")
    at(platform, "2026-08-13T15:00:00")
    with platform.broker() as broker:
        broker.submit(found.foreign, "buy", "by-hand-1", qty=Decimal(3))
    best = {"roeTTM": 45, "totalDebt/totalEquityQuarterly": 0.0, "revenueGrowthTTMYoy": 60, "epsGrowthTTMYoy": 60}
    sandbox.admin("PATCH", f"/sandbox/metrics/{found.rises}", best)
    sandbox.admin("PATCH", f"/sandbox/metrics/{found.sinks}", {"roeTTM": -60})
    sandbox.admin("PATCH", f"/sandbox/metrics/{found.mute}", {"roeTTM": None})
    for week in (SECOND, THIRD):
        at(platform, f"{week}T14:05:00")
        platform.must_run("fundamentals_refresh", "score")
        platform.must_run("rebalance", week=week)
    return found


def at(platform: Platform, instant: str) -> None:
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": f"{instant}Z"})


def act(platform: Platform, kind: str, symbol: str, **fields: Any) -> None:
    platform.sandbox.admin("POST", "/sandbox/actions", {"kind": kind, "symbol": symbol, **fields})


def test_look(weeks: Weeks, monkeypatch, command, tmp_path) -> None:
    import os

    point_to(weeks.platform, monkeypatch)
    print(weeks)
    for args in [
        ["holdings"],
        ["changes"],
        ["changes", FIRST, SECOND],
        *[
            ["explain", s]
            for s in (
                weeks.split,
                weeks.renamed,
                "renamed",
                weeks.sinks,
                weeks.rises,
                weeks.mute,
                weeks.foreign,
                "nosuch",
                "corp",
            )
        ],
    ]:
        o = command(*args, "--json", tmp_path / "o.json")
        print("$", *args, o.code)
        print(o.out, o.err)
    assert 0
