"""The bench itself: that it measures, that it compares like with like, and that its exit code is its verdict."""

import subprocess
import sys
from dataclasses import replace

import pytest

from tokenomics_dagster_tests.bench import evidence, measurements, script
from tokenomics_dagster_tests.bench.__main__ import main
from tokenomics_dagster_tests.bench.measurements import BenchError, Ratio
from tokenomics_dagster_tests.conftest import REPOSITORY


def part(*values: float, limit: float = 2.0, at_least: bool = False):
    return lambda quick: iter([Ratio("measured", values, limit, "behind", at_least)])


@pytest.mark.soak
def test_the_command_measures_and_shows_a_ratio_with_its_limit():
    command = [sys.executable, "-m", "tokenomics_dagster_tests.bench", "--quick", "--only", "pacing"]
    run = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stdout + run.stderr
    rows = {line[:20].strip(): line.split() for line in run.stdout.splitlines()}
    assert "1.05" in rows["pacing at 15/s"]


@pytest.mark.soak
def test_the_platform_and_the_script_do_the_same():
    assert [ratio.limit for ratio in measurements.cycle(True)] == [2.0]


@pytest.mark.soak
def test_backtests_are_compared_with_a_plain_loop_and_two_peers_on_every_session():
    if not evidence.PEERS.exists():
        pytest.skip("vectorbt and bt are not installed: make bench")
    ratios = {ratio.name: ratio for ratio in evidence.evidence(True)}
    assert "plain mode / plain numpy loop" in ratios
    assert all(ratio.holds for name, ratio in ratios.items() if name.startswith("recorded"))


def test_an_engine_that_ends_elsewhere_is_not_compared(monkeypatch):
    simulate = evidence.simulate
    monkeypatch.setattr(
        evidence, "simulate", lambda *given: replace(simulate(*given), equity=simulate(*given).equity * (1 + 2e-6))
    )
    with pytest.raises(BenchError, match="plain mode: equity differs by 2e-06"):
        list(evidence._one_run(evidence.dense(30, 120), quick=True))


def test_equal_values_are_checked_and_speed_is_shown_as_a_factor_over_the_peer():
    ratios = list(measurements.speed(True))
    assert [ratio.limit for ratio in ratios] == [10, 10, 10]
    assert all(ratio.at_least and min(ratio.values) > 1 for ratio in ratios)


@pytest.mark.soak
def test_a_script_that_ends_with_another_portfolio_is_not_compared(monkeypatch):
    monkeypatch.setattr(script, "run_cycle", lambda *_, **__: {"AAPL": 1.0})
    with pytest.raises(BenchError, match="different portfolios"):
        measurements._cycle_pair(300, 30, None, platform_first=False)


@pytest.mark.parametrize(
    ("made", "code", "verdict"),
    [
        (part(2.0), 0, "ok"),
        (part(9.0, 1.0, 1.5), 0, "ok"),
        (part(2.01), 1, "over"),
        (part(10.0, limit=10.0, at_least=True), 0, "ok"),
        (part(9.9, limit=10.0, at_least=True), 1, "over"),
    ],
)
def test_the_median_against_the_limit_decides(monkeypatch, capsys, made, code, verdict):
    monkeypatch.setattr("tokenomics_dagster_tests.bench.__main__.PARTS", {"one": made})
    assert main([]) == code
    assert verdict in capsys.readouterr().out


def test_what_cannot_be_compared_ends_the_bench_with_one(monkeypatch, capsys):
    def unequal(quick: bool):
        yield from part(1.0)(quick)
        raise BenchError("two sides differ")

    monkeypatch.setattr("tokenomics_dagster_tests.bench.__main__.PARTS", {"one": unequal})
    assert main([]) == 1
    assert "error: two sides differ" in capsys.readouterr().out


def test_an_unknown_part_is_wrong_usage(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--only", "nothing"])
    assert ended.value.code == 2
    assert "pacing" in capsys.readouterr().err
