"""What a person edits in the Launchpad changes neither where orders go nor what they rest on."""

from datetime import date, timedelta
from decimal import Decimal
from urllib.parse import urlsplit

import pytest

from tokenomics_dagster.execution.guards import Refused, check_broker
from tokenomics_dagster.execution.notifying import notify_of_run
from tokenomics_dagster.execution.rebalance import Rebalance
from tokenomics_dagster.execution.venue import at_alpaca
from tokenomics_dagster.kit.channels import channel_of
from tokenomics_dagster.model.plan import Plan, PlannedOrder
from tokenomics_dagster.providers.alpaca.resource import AlpacaResource
from tokenomics_dagster.providers.finnhub.resource import FinnhubResource
from tokenomics_dagster.settings.alpaca import LIVE_TRADING_URL
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster_tests.conftest import Platform, failure_of
from tokenomics_dagster_tests.rewriting import rewriting

WEEK = "2026-08-24"


def test_no_field_that_decides_where_orders_go_passes_an_edit_in_the_launchpad(platform: Platform) -> None:
    with rewriting(platform.sandbox.url) as elsewhere:
        for resource, edit in (
            ("alpaca", {"trading_url": elsewhere.url}),
            ("alpaca", {"paper": False}),
            ("alpaca", {"paper": False, "trading_url": LIVE_TRADING_URL}),
            ("alpaca", {"data_url": elsewhere.url}),
            ("alpaca", {"data_feed": "sip"}),
            ("finnhub", {"base_url": elsewhere.url}),
        ):
            job = "rebalance" if resource == "alpaca" else "fundamentals_refresh"
            week = WEEK if job == "rebalance" else None
            kind = AlpacaResource if resource == "alpaca" else FinnhubResource
            whole = kind.from_settings(load_settings()).model_dump(exclude={"settings_in_force"})
            run = platform.run(job, week=week, run_config={"resources": {resource: {"config": {**whole, **edit}}}})
            assert not run.success
            text = str([event.event_specific_data for event in run.all_events if event.is_failure])
            assert f"the resource {resource} of this run has" in text
            for field, value in edit.items():
                assert f"{field} = {value!r} instead of" in text
        assert elsewhere.seen == []
    assert platform.calls("POST /v2/orders") == 0


def test_a_pace_may_be_edited_for_a_run(platform: Platform) -> None:
    whole = AlpacaResource.from_settings(load_settings()).model_dump(exclude={"settings_in_force"})
    slow = {"resources": {"alpaca": {"config": {**whole, "calls_per_minute": 30_000, "timeout_s": 20}}}}
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
