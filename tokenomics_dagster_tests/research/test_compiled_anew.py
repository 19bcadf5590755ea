"""What is compiled does compile, from nothing, and comes out as the Python it was compiled from.

Most tests run the loops as Python, and what was compiled once is kept on disk: neither sees what numba refuses.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tokenomics_dagster_tests.conftest import REPOSITORY

SCRIPT = """
import sys
import numba
import numpy as np
import pytest
from tokenomics_dagster.research import account, engine, pools
from tokenomics_dagster.research.bootstrap import bootstrap
from tokenomics_dagster_tests.research.markets import FULL, PLAIN, random_decisions, random_market, under
from tokenomics_dagster_tests.research.test_engine import EVERYTHING

made = {"compiled": np.array(not numba.config.DISABLE_JIT)}
for events in (True, False):
    panel = random_market(6, sessions=120, events=events)
    decisions = random_decisions(panel, 6)
    rules = [PLAIN, FULL, EVERYTHING, under(EVERYTHING, fill="next_close", shares="fractional")]
    for number, each in enumerate(rules):
        run = engine.simulate(panel, decisions, each)
        for name in ("equity", "cash", "held", "traded", "costs", "profit", "final_shares"):
            made[f"run {events} {number} {name}"] = getattr(run, name)
        made[f"run {events} {number} fills"] = np.column_stack([getattr(run.fills, n) for n in run.fills.__slots__])
    batch = engine.simulate_many(panel, [decisions] * len(rules), rules)
    for name in batch.__slots__:
        made[f"batch {events} {name}"] = getattr(batch, name)
    everybody = pools.Pool("everybody", "", np.ones((len(decisions.sessions), len(panel.symbols)), dtype=bool))
    drawn = pools.draw(decisions, everybody, np.random.default_rng(4), 20)
    made[f"drawn {events}"] = np.stack([one.names for one in drawn])
told = bootstrap(np.random.default_rng(5).normal(0.001, 0.01, 400), seed=5, draws=500)
made["bootstrap"] = np.array([told.sharpe.low, told.sharpe.high, told.volatility.low, *told.drawdown.values()])
np.savez(sys.argv[1], **made)
"""


@pytest.mark.soak
def test_what_is_compiled_from_nothing_is_what_python_makes(tmp_path: Path) -> None:
    """To the last bit."""
    made = {}
    for name, switched_off in (("python", "1"), ("compiled", "0")):
        environment = os.environ | {"NUMBA_DISABLE_JIT": switched_off, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
        command = [sys.executable, "-W", "error", "-c", SCRIPT, str(tmp_path / f"{name}.npz")]
        done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2_000:]
        with np.load(tmp_path / f"{name}.npz") as file:
            made[name] = dict(file)
    assert (bool(made["python"].pop("compiled")), bool(made["compiled"].pop("compiled"))) == (False, True)
    assert list((tmp_path / "cache").rglob("*.nbi")), "nothing was compiled anew"
    assert made["python"].keys() == made["compiled"].keys()
    for name, expected in made["python"].items():
        np.testing.assert_array_equal(made["compiled"][name], expected, err_msg=name)
