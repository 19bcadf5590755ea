"""Who looks ahead is named with the first decision that differs; who does not, passes."""

import builtins
import tempfile
from dataclasses import fields, replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from tokenomics_dagster.research import altered
from tokenomics_dagster.research.experiment import ExperimentError
from tokenomics_dagster.research.lookahead import Finding, check_lookahead
from tokenomics_dagster.research.panel import Fundamentals, Panel
from tokenomics_dagster.research.strategies import SHIPPED
from tokenomics_dagster_tests.research.small_market import SETTINGS, experiment, figures, market

HERE = "tokenomics_dagster_tests.research.cheats"


def checked(
    strategy: str, panel: Panel | None = None, told: Fundamentals | None = None, **values
) -> tuple[Finding, ...]:
    panel = market(60, 25, seed=1) if panel is None else panel
    name = f"{HERE}:{strategy}" if strategy.isidentifier() and strategy not in SHIPPED else strategy
    asked = experiment(name, **({"universe_size": 15, "cadence": "daily"} | values))
    return check_lookahead(panel, told, asked, SETTINGS, seed=7, cutoffs=4)


def kinds(found: tuple[Finding, ...]) -> set[str]:
    return {finding.kind for finding in found}


@pytest.mark.parametrize("name", ["Honest", pytest.param("Patient", marks=pytest.mark.soak)])
def test_who_does_not_look_ahead_passes(name):
    assert checked(name) == ()


def first_day(panel: Panel, after: int = 0) -> date:
    return panel.dates[after].item()


def test_a_cheat_by_one_row_is_named_with_the_first_decision_that_differs():
    found = checked("OneRow")
    assert kinds(found) == {"truncated", "absurd", "shuffled"}  # even exchanged histories have no tomorrow
    assert found[0].day == first_day(market())
    assert "decides otherwise when nothing is there of what came after 2024-01-02: it knows what came later" in str(
        found
    )


def test_a_cheat_through_a_modules_cache_is_named_with_the_first_decision_that_differs():
    found = checked("Cached")
    assert {"memory", "truncated", "absurd"} <= kinds(found)
    assert found[0].day == first_day(market())
    assert "it remembers what an earlier run has seen" in str(found)


def test_who_draws_from_names_beyond_the_days_universe_is_named():
    (finding,) = checked("Survivors")
    assert finding.kind == "survivors"
    assert finding.day == first_day(market())
    assert "cannot be chosen: it is number" in finding.told
    assert "Choose among view.eligible" in finding.told


@pytest.mark.soak
@pytest.mark.parametrize("name", SHIPPED)
def test_no_shipped_strategy_looks_ahead(name):
    panel = market(90, 25, seed=2)
    short = {"momentum": {"lookback": 30, "skip": 5}, "low_volatility": {"lookback": 30}}
    assert checked(name, panel, figures(panel), parameters=short.get(name, {})) == ()
    assert checked(name, panel, figures(panel, snapshots=False), parameters=short.get(name, {})) == ()


@pytest.mark.soak
@pytest.mark.parametrize("name", ["Gathered", "InBuiltins", "InTheEnvironment"])
def test_whatever_a_process_knows_another_does_not(name, monkeypatch):
    monkeypatch.setenv("REMEMBERED", "80047d942e")  # an empty one; taken away again with what was put there
    monkeypatch.setattr(builtins, "_remembered", {}, raising=False)
    found = checked(name)
    assert {"truncated", "absurd"} <= kinds(found)
    assert found[0].day == first_day(market())


@pytest.mark.soak
def test_a_memory_on_disk_is_not_there_in_another_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found = checked("OnDisk")
    assert {"memory", "truncated"} <= kinds(found)


@pytest.mark.soak
def test_a_memory_on_disk_that_is_found_there_too_is_named_by_its_path(tmp_path):
    path = str(tmp_path / "remembered")
    found = checked("OnDisk", parameters={"path": path})
    assert {"shuffled", "outside"} <= kinds(found)  # what it knows of a name it finds under that name
    assert f"it opens {path}" in str(found)


IN_MEMORY = pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="this system keeps no files in memory")


@pytest.mark.soak
@pytest.mark.parametrize("place", [None, pytest.param("/dev/shm", marks=IN_MEMORY)])
def test_what_a_strategy_reads_from_elsewhere_is_named_though_its_decisions_stay(place):
    with tempfile.TemporaryDirectory(dir=place) as folder:
        path = Path(folder) / "good_days"
        path.write_text("\n".join(str(day) for day in market(60, 25, seed=1).dates[::3]))
        assert kinds(checked("Timed", parameters={"path": str(path)})) == {"outside"}


@pytest.mark.soak
def test_names_known_by_heart_and_columns_are_found_by_exchanging_histories():
    panel = market(60, 25, seed=1, late=0)
    names = " ".join(panel.symbols[at] for at in np.argsort(-panel.market_cap[-1])[:4])
    found = checked("ByHeart", panel, parameters={"names": names})
    assert kinds(found) == {"shuffled"}
    assert found[0].day == first_day(panel)
    assert kinds(checked("Columns", panel)) == {"shuffled"}


@pytest.mark.soak
def test_a_symbol_that_the_experiment_names_is_meant_and_no_cheat():
    panel = market(60, 25, seed=1, late=0)
    name = panel.symbols[int(np.nanargmax(panel.market_cap[0]))]
    assert checked("Named", panel, parameters={"name": name}, universe_size=25) == ()


@pytest.mark.soak
def test_chance_without_a_seed_is_told():
    assert "memory" in kinds(checked("Unseeded"))
    assert "draws at random without a seed" in str(checked("Unseeded"))


@pytest.mark.soak
def test_a_file_of_ones_own_is_checked_in_another_process_too(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "SEEN = {}\n\n\nclass Mine:\n    def decide(self, view):\n"
        "        for at, name in enumerate(view.symbols):\n"
        "            SEEN.setdefault((name, len(view.price)), view.returns[-1, at])\n"
        "        rank = [SEEN.get((name, len(view.price) + 1), 0.0) for name in view.symbols]\n"
        "        best = max((at for at in range(len(rank)) if view.eligible[at]), key=rank.__getitem__)\n"
        "        return {view.symbols[best]: 1.0}\n"
    )
    found = checked("mine.py:Mine", folder=tmp_path)
    assert {"memory", "truncated"} <= kinds(found)


@pytest.mark.soak
def test_a_universe_that_is_larger_than_the_prices_are_complete_is_named():
    """300 names of which each was among the 100 largest on one of its days, and is small on all others."""
    names, sessions = 300, 60
    random = np.random.default_rng(0)
    caps = np.tile(np.linspace(50, 1, names), (sessions, 1))
    for at in range(0, names, 100):
        caps[at // 100 * 20, at : at + 100] += 1_000
    price = np.full((sessions, names), 10.0)
    days = np.busday_offset(np.datetime64("2024-01-02", "D"), np.arange(sessions))
    panel = Panel(
        days, tuple(f"S{n:03d}" for n in range(names)), price, random.normal(0, 0.02, price.shape), caps, price
    )
    found = checked("Honest", panel, universe_size=200)
    assert kinds(found) == {"survivors"}
    assert "each name of the prices was among the 100 largest at some time" in found[0].told
    assert "set universe_size, now 200, to at most 100" in found[0].told


def test_who_never_decides_cannot_be_checked():
    panel = market(30, 25, seed=1)
    with pytest.raises(ExperimentError, match="decided nothing at 30 sessions: there is nothing to check"):
        checked("fundamentals", panel, replace(figures(panel), roe_ttm_pct=np.full(26 * 6, np.nan)))


def test_every_grid_of_a_panel_is_changed():
    """One that is added to Panel and forgotten here would show a strategy the true future."""
    others = {"dates", "symbols", "exchange", "industry", "quarantined", "warnings", "data_hash"}
    assert {field.name for field in fields(Panel)} == {*altered.GRIDS, *others}
    rules = {"snapshots", "max_age_days", "data_hash", "warnings"}
    assert {field.name for field in fields(Fundamentals)} == {*altered.ROWS, *rules}


@pytest.mark.parametrize("snapshots", [True, False])
def test_exchanged_histories_are_the_same_histories(snapshots):
    panel = market(20, 25)
    told = figures(panel, snapshots=snapshots)
    left, known = altered.truncated(panel, told, 12)
    moved, figures_, true = altered.shuffled(panel, told, 12, seed=3)
    assert sorted(true) == sorted(true.values()) == list(left.symbols) == list(moved.symbols)
    assert any(new != old for new, old in true.items())
    for at, symbol in enumerate(moved.symbols):
        was = left.symbols.index(true[symbol])
        for name in ("price", "returns", "market_cap", "volume", "barred"):
            np.testing.assert_array_equal(getattr(moved, name)[:, at], getattr(left, name)[:, was])
    assert known is not None
    assert figures_ is not None
    before = sorted(zip(known.known_at, known.symbol.tolist(), known.roe_ttm_pct, strict=True))
    now = zip(figures_.known_at, figures_.symbol.tolist(), figures_.roe_ttm_pct, strict=True)
    assert sorted((at, true.get(symbol, symbol), roe) for at, symbol, roe in now) == before
    keys = list(zip(figures_.known_at.tolist(), figures_.symbol.tolist(), strict=True))
    assert keys == sorted(keys)


def test_names_of_equal_market_cap_keep_their_order_when_histories_are_exchanged():
    panel = market(20, 25, late=0, gaps=0)
    caps = panel.market_cap.copy()
    caps[12, 3:15] = 777.0
    panel = replace(panel, market_cap=caps)
    moved, _, true = altered.shuffled(panel, None, 12, seed=3)
    equal = [true[symbol] for at, symbol in enumerate(moved.symbols) if moved.market_cap[12, at] == 777]
    assert equal == sorted(equal)


def test_an_absurd_future_leaves_the_past(tmp_path: Path):
    panel, told = market(20, 25), figures(market(20, 25))
    other, strange = altered.absurd(panel, told, 12, seed=3)
    for name in ("price", "returns", "market_cap", "volume", "barred"):
        np.testing.assert_array_equal(getattr(other, name)[:13], getattr(panel, name)[:13])
        assert not np.array_equal(getattr(other, name)[13:], getattr(panel, name)[13:], equal_nan=True)
    assert strange is not None
    known = told.known_at <= np.datetime64(panel.dates[12], "ns") + np.timedelta64(21, "h")
    np.testing.assert_array_equal(strange.roe_ttm_pct[known], told.roe_ttm_pct[known])
    assert (strange.roe_ttm_pct[~known] != told.roe_ttm_pct[~known]).all()
