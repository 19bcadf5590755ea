"""What was known at an instant: as a plain reading of the history says it, whatever became known later."""

from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tokenomics_dagster.fundamentals.schema import Financials, Scores
from tokenomics_dagster.model.details import Details
from tokenomics_dagster.storage.records import Made
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster.universe.schema import Universe

T0 = datetime(2026, 8, 24, 14, 5, tzinfo=UTC)
# Close together, so that instants meet, lie between others and before all of them.
instants = st.integers(0, 12).map(lambda microseconds: T0 + timedelta(microseconds=microseconds))
symbols = st.sampled_from(["A", "BRK.B", "BRKA", "b", "Ü"])
facts = st.lists(st.tuples(symbols, instants, st.none() | st.floats(-50, 50)), max_size=12, unique_by=lambda f: f[:2])
snapshots = st.lists(
    st.tuples(st.sampled_from(["universe", "scores"]), instants, st.lists(symbols, unique=True, max_size=3)), max_size=8
)
MODELS = {"universe": Universe, "scores": Scores}
_cases = count()


@pytest.fixture
def opened(url):
    with closing(Warehouse(url)) as store:
        yield store


@pytest.mark.soak
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(facts, st.lists(instants, min_size=1, max_size=3))
def test_facts_are_those_that_were_known_last_at_the_instant(opened, history, asked):
    kind = f"facts_{next(_cases)}"
    answers = []
    for symbol, known_at, roe in sorted(history, key=lambda fact: fact[1]):
        row = {**dict.fromkeys(Financials.to_schema().columns), "symbol": symbol, "known_at": known_at}
        opened.append_fact(kind, Financials, {**row, "roe_ttm_pct": roe})
        answers.append((known_at, read_facts(opened, kind, known_at)))
    for instant in asked:
        known = sorted((fact for fact in history if fact[1] <= instant), key=lambda fact: fact[1])
        newest = {symbol: (known_at, roe) for symbol, known_at, roe in known}
        assert read_facts(opened, kind, instant) == newest
        assert opened.known_at(kind, Financials, as_of=instant) == {s: at for s, (at, _) in newest.items()}
    newest = {symbol: (at, roe) for symbol, at, roe in sorted(history, key=lambda fact: fact[1])}
    assert read_facts(opened, kind, None) == newest
    assert list(opened.latest_facts(kind, Financials)["symbol"]) == sorted(newest)
    every = opened.all_facts(kind, Financials, ("roe_ttm_pct",))
    assert every == sorted(((at, symbol, roe) for symbol, at, roe in history), key=lambda row: row[:2])
    # What was told of an instant when it was over is told of it for ever.
    last = {known_at: answer for known_at, answer in answers}  # noqa: C416
    assert all(read_facts(opened, kind, known_at) == answer for known_at, answer in last.items())


def read_facts(store, kind, as_of):
    frame = store.latest_facts(kind, Financials, as_of=as_of)
    roes = (None if pd.isna(roe) else roe for roe in frame["roe_ttm_pct"])
    return dict(zip(frame["symbol"], zip(frame["known_at"], roes, strict=True), strict=True))


@pytest.mark.soak
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(snapshots, st.lists(instants, min_size=1, max_size=3))
def test_a_snapshot_is_the_last_that_described_no_later_instant(opened, history, asked):
    partition = str(next(_cases))
    answers = {}
    for number, (asset, as_of, names) in enumerate(sorted(history, key=lambda snapshot: snapshot[1])):
        opened.save_snapshot(asset, MODELS[asset], FRAMES[asset](names, as_of), run_id=str(number), partition=partition)
        answers[asset, as_of] = read_snapshot(opened, asset, partition, as_of)
    ordered = sorted(history, key=lambda snapshot: snapshot[1])
    for instant in (*asked, None):
        for asset in MODELS:
            fitting = [
                (str(number), names)
                for number, (kind, as_of, names) in enumerate(ordered)
                if kind == asset and (instant is None or as_of <= instant)
            ]
            assert read_snapshot(opened, asset, partition, instant) == (fitting[-1] if fitting else None)
    assert all(read_snapshot(opened, asset, partition, as_of) == answer for (asset, as_of), answer in answers.items())


def read_snapshot(store, asset, partition, as_of):
    stored = store.load_stored(asset, MODELS[asset], Details, partition=partition, as_of=as_of)
    return None if stored is None else (stored.run_id, list(stored.frame["symbol"]))


def universe(names, as_of):
    columns = {name: [None] * len(names) for name in Universe.to_schema().columns}
    frame = pd.DataFrame(
        {
            **columns,
            "symbol": names,
            "exchange": "NYSE",
            "market_cap_musd": [float(100 - n) for n in range(len(names))],
            "shares_outstanding_m": 1.0,
            "price": 1.0,
            "rank": range(1, len(names) + 1),
        }
    )
    return Made(frame, as_of, Details())


def scores(names, as_of):
    columns = {name: [None] * len(names) for name in Scores.to_schema().columns}
    frame = pd.DataFrame({**columns, "symbol": names, "score": 50.0, "known_at": as_of})
    return Made(frame, as_of, Details())


FRAMES = {"universe": universe, "scores": scores}
