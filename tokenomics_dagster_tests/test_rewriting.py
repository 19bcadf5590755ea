"""The tests' own proxy: what it does not change comes through as it is."""

from pathlib import Path

import pytest

from tokenomics_dagster.execution.guards import Refused
from tokenomics_dagster_tests.execution.world import running_world


def test_a_rewritten_answer_reaches_the_run_and_nobody_else(tmp_path: Path):
    with running_world(tmp_path) as world:
        with world.rewritten() as proxy:
            proxy.on("GET /v2/account", lambda answer: answer.json.update(status="CLOSED"))
            run = world.attempt()
            assert isinstance(run.error, Refused)
            assert "has status CLOSED" in str(run.error)
            assert "GET /v2/account" in proxy.seen
        assert world.attempt().error is None
        assert world.wrongs() == []


def test_an_answer_can_be_lost_after_it_was_carried_out(tmp_path: Path):
    with running_world(tmp_path) as world, world.rewritten() as proxy:
        proxy.on("POST /v2/orders", lambda answer: setattr(answer, "hang_up", True), calls=[1])
        run = world.attempt()
        assert run.error is None
        assert run.outcome is not None
        assert [order.client_order_id for order in run.sent] == [row.client_order_id for row in run.outcome.orders]
        assert world.wrongs() == []


@pytest.mark.parametrize("calls", [[1], None])
def test_a_request_can_be_kept_from_the_server(tmp_path: Path, calls: list[int] | None):
    with running_world(tmp_path) as world, world.rewritten() as proxy:
        proxy.before("POST /v2/orders", lambda answer: answer.become(503, {"message": "no"}), calls=calls)
        run = world.attempt()
        assert (run.error is None) is (calls is not None)
        assert bool(run.sent) is (calls is not None)
