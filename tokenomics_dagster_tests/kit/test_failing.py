"""A failed asset shows its sentence first, and one trace, and counts as the fault that it is."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from tokenomics_dagster.definitions import build_defs
from tokenomics_dagster.kit.failing import in_a_sentence
from tokenomics_dagster.kit.runs import reason_of, refused
from tokenomics_dagster.model.errors import UserError
from tokenomics_dagster.settings.loading import load_settings

SENTENCE = "Finnhub GET /stock/metric: status 500: try again later"


class Known(UserError):
    pass


def ask() -> None:
    try:
        raise ValueError("a key")
    except ValueError as error:
        raise Known(SENTENCE) from error


@dg.asset
@in_a_sentence
def generated(context: dg.AssetExecutionContext) -> Iterator[dg.Output[int]]:
    ask()
    yield dg.Output(1)


@dg.asset
@in_a_sentence
def returned(context: dg.AssetExecutionContext) -> int:
    ask()
    return 1


@dg.asset
@in_a_sentence
def broken() -> int:
    return dict[str, int]()["score"]


@dg.asset
@in_a_sentence
def judged() -> None:
    raise dg.Failure("size: 3 stocks are too few", allow_retries=False)


def failed(asset: dg.AssetsDefinition, instance: dg.DagsterInstance) -> tuple[dg.DagsterEvent, dg.DagsterRun]:
    done = dg.materialize([asset], instance=instance, raise_on_error=False)
    (event,) = [one for one in done.all_events if one.is_step_failure]
    return event, done.dagster_run


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.mark.parametrize("asset", [generated, returned])
def test_what_is_known_to_go_wrong_is_told_by_its_sentence_with_one_trace_that_leads_to_it(
    asset: dg.AssetsDefinition, instance: dg.DagsterInstance
) -> None:
    event, run = failed(asset, instance)
    error = event.step_failure_data.error
    assert error is not None
    assert error.message.strip().endswith(f"Failure: {SENTENCE}")
    assert (error.cause, error.context) == (None, None), "each is a second trace in the UI"
    assert "in ask" in error.stack[-1]
    assert reason_of(event) == f"{asset.key.to_user_string()}: {SENTENCE}"
    assert not refused(instance, run), "what may have passed is tried again"


def test_a_check_that_refuses_counts_as_before(instance: dg.DagsterInstance) -> None:
    event, run = failed(judged, instance)
    assert event.step_failure_data.error is not None
    assert event.step_failure_data.error.cause is None
    assert refused(instance, run)


def test_a_fault_of_the_program_keeps_its_trace_and_its_cause(instance: dg.DagsterInstance) -> None:
    event, run = failed(broken, instance)
    assert event.step_failure_data.user_failure_data is None
    assert event.step_failure_data.error is not None
    assert event.step_failure_data.error.cause is not None
    assert not refused(instance, run)


def test_every_asset_fails_like_that() -> None:
    for asset in build_defs(load_settings()).resolve_asset_graph().assets_defs:
        decorated: Any = asset.op.compute_fn
        function = decorated.decorated_fn
        assert function.__wrapped__.__module__ == function.__module__
        assert function.__code__.co_filename.endswith("kit/failing.py"), asset.op.name
