from collections.abc import Callable
from types import FunctionType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tokenomics_dagster.portfolio import kernel
from tokenomics_dagster.research import account, engine
from tokenomics_dagster.research.compiled import compiled
from tokenomics_dagster.research.engine import simulate
from tokenomics_dagster_tests.research.markets import FULL, PLAIN, random_decisions, random_market, under
from tokenomics_dagster_tests.research.test_engine import EVERYTHING


def double(x: float) -> float:
    return 2 * x


def quadruple(x: float) -> float:
    return double(double(x))


def named(x: SimpleNamespace) -> float:
    return x.quadruple  # an attribute, and no call of the function


def copy_of(fast: Callable[..., Any]) -> FunctionType:
    """What numba was given."""
    return vars(fast)["py_func"]


def test_a_function_is_compiled_with_all_that_it_calls_and_the_originals_stay() -> None:
    (fast,) = compiled(quadruple)
    assert fast(1.5) == quadruple(1.5) == 6
    assert fast is not quadruple
    assert quadruple.__globals__["double"] is double
    called = copy_of(fast).__globals__["double"]
    assert called is not double
    assert copy_of(called).__code__ is double.__code__


def test_an_attribute_is_no_callee() -> None:
    (fast,) = compiled(named)
    assert "quadruple" not in copy_of(fast).__globals__


def test_what_is_kept_on_disk_goes_by_every_source(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """numba looks at the file of the outermost function alone: the live rules lie in another."""
    before = copy_of(compiled(account.decide_orders)[0]).__qualname__
    changed = tmp_path / "kernel.py"
    changed.write_text("another rule")
    where = engine.account.__file__
    monkeypatch.setattr(
        "tokenomics_dagster.research.compiled.inspect.getfile",
        lambda function: str(changed) if function.__module__ == kernel.__name__ else where,
    )
    after = copy_of(compiled(account.decide_orders)[0]).__qualname__
    assert before.startswith("decide_orders_")
    assert before != after


def test_without_numba_and_where_it_is_switched_off_they_run_as_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("numba.config.DISABLE_JIT", 1)
    assert compiled(quadruple) == (quadruple,)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert compiled(quadruple) == (quadruple,)


@pytest.mark.parametrize("events", [True, False])
def test_the_compiled_account_is_the_python_account(monkeypatch: pytest.MonkeyPatch, events: bool) -> None:
    """On each of its ways; but for the last bits, for a compiler may fuse a product and a sum."""
    panel = random_market(6, sessions=120, events=events)
    decisions = random_decisions(panel, 6)
    rules = [PLAIN, FULL, EVERYTHING, under(EVERYTHING, fill="next_close", shares="fractional")]
    fast = [simulate(panel, decisions, each) for each in rules]
    monkeypatch.setattr(engine, "_loops", lambda: engine._Loops(account.follow_all, account.walk))
    for each, run in zip(rules, fast, strict=True):
        slow = simulate(panel, decisions, each)
        np.testing.assert_allclose(run.equity, slow.equity, rtol=1e-12)
        np.testing.assert_array_equal(run.fills.names, slow.fills.names)
        np.testing.assert_allclose(run.fills.shares, slow.fills.shares, rtol=1e-12)
        assert run.warnings == slow.warnings
