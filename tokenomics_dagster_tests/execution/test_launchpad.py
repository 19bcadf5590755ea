"""What a person edits in the Launchpad changes neither where orders go nor what they rest on."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import dagster as dg
import pytest

from tokenomics_dagster.definitions import build_defs
from tokenomics_dagster.execution.guards import Refused, check_broker
from tokenomics_dagster.execution.notifying import notify_of_run
from tokenomics_dagster.execution.rebalance import Rebalance
from tokenomics_dagster.execution.venue import at_alpaca
from tokenomics_dagster.kit.channels import channel_of
from tokenomics_dagster.model.plan import Plan, PlannedOrder
from tokenomics_dagster.providers.alpaca.resource import AlpacaResource
from tokenomics_dagster.settings.alpaca import LIVE_TRADING_URL
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster_tests.conftest import Platform, failure_of
from tokenomics_dagster_tests.rewriting import rewriting

WEEK = "2026-08-24"


EDITS: tuple[tuple[str, dict[str, object]], ...] = (
    ("alpaca", {"paper": False, "trading_url": LIVE_TRADING_URL}),
    ("alpaca", {"data_url": "http://127.0.0.1:9"}),
    ("alpaca", {"data_feed": "sip"}),
    ("alpaca", {"settings_in_force": None}),
    ("finnhub", {"base_url": "http://127.0.0.1:9"}),
)


def test_no_field_that_decides_where_orders_go_can_be_edited_in_the_launchpad(platform: Platform) -> None:
    for resource, edit in EDITS:
        job, week = ("rebalance", WEEK) if resource == "alpaca" else ("fundamentals_refresh", None)
        # What is no field is refused before there is a run.
        with pytest.raises(
            dg.DagsterInvalidConfigError, match=f"unexpected config entr.* at path root:resources:{resource}"
        ):
            platform.run(job, week=week, run_config={"resources": {resource: {"config": edit}}})
    assert platform.instance.get_runs() == []


def test_the_launchpad_shows_of_the_resources_what_may_be_edited_and_that_alone() -> None:
    made = build_defs(load_settings())
    for job in (one for one in made.resolve_all_job_defs() if not one.name.startswith("__")):
        root: Any = job.run_config_schema.config_type
        resources = root.fields.get("resources")
        shown = {} if resources is None else resources.default_value if resources.default_provided else {}
        fields = {field for one in shown.values() for field in one.get("config", {})}
        assert fields <= {"calls_per_minute", "max_calls_per_second", "timeout_s", "max_attempts", "max_in_flight"}


def test_the_launchpad_of_the_financials_shows_the_list_in_which_symbols_are_named_for_one_run() -> None:
    root: Any = build_defs(load_settings()).resolve_job_def("fundamentals_refresh").run_config_schema.config_type
    assert root.fields["ops"].default_value["financials"]["config"]["symbols"] == []


def test_a_pace_may_be_edited_for_a_run(platform: Platform) -> None:
    slow = {"resources": {"alpaca": {"config": {"calls_per_minute": 30_000, "timeout_s": 20}}}}
    text = failure_of(platform.run("rebalance", week=WEEK, run_config=slow))
    assert "of this run has" not in text
    assert "there were no scores" in text


def test_execution_refuses_a_broker_that_is_not_the_one_of_the_settings(platform: Platform) -> None:
    settings = load_settings()
    meant = AlpacaResource.from_settings(settings)
    check_broker(at_alpaca(meant).differing(settings))
    for edit in ({"trading_url": LIVE_TRADING_URL}, {"paper": False}, {"data_url": "http://127.0.0.1:9"}):
        edited = meant.model_copy(update=edit)
        with pytest.raises(Refused, match=f"{next(iter(edit))} = .* instead of"):
            check_broker(at_alpaca(edited).differing(settings))
    assert urlsplit(settings.trading_url).hostname != urlsplit(LIVE_TRADING_URL).hostname


def test_a_rebalance_trades_nothing_at_a_broker_that_is_not_the_one_of_its_settings(platform: Platform) -> None:
    settings, store = load_settings(), platform.store
    meant = AlpacaResource.from_settings(settings)
    with meant:
        now, number = meant.clock().now, meant.account().number
    plan = Plan(
        week=date.fromisoformat(WEEK),
        created_at=now,
        account=number,
        equity=Decimal(100_000),
        cash=Decimal(100_000),
        scores_as_of=now - timedelta(days=2),
        positions={},
        inputs_hash="x",
        orders=(PlannedOrder("NVDA", "buy", None, Decimal(1_000), Decimal(200)),),
    ).sealed()
    notify = notify_of_run(platform.notifier, store, channel_of(settings))
    with rewriting(platform.sandbox.url) as elsewhere:
        for edit in ({"trading_url": elsewhere.url}, {"paper": False}, {"data_url": elsewhere.url}):
            with AlpacaResource(**{**meant.model_dump(), **edit}) as edited:
                with pytest.raises(Refused, match=f"^the broker in hand has {next(iter(edit))} = "):
                    Rebalance(plan, at_alpaca(edited), store, settings, notify).run()
                assert "the broker in hand has" in store.alerts()["job:rebalance"].detail
    assert platform.calls("POST /v2/orders") == 0
