"""What looks after the platform: tells what is wrong, and ends dead runs. What starts jobs is for the rooms to say."""

from contextlib import suppress

import dagster as dg

from tokenomics_dagster.automation import problems
from tokenomics_dagster.automation.summaries import Look
from tokenomics_dagster.kit import alive, heartbeat
from tokenomics_dagster.kit.alerts import (
    BROKER,
    RUNS,
    SETTINGS,
    WAREHOUSE,
    Notifier,
    Problem,
    notify_of_head,
    notify_of_weeks,
    without_warehouse,
)
from tokenomics_dagster.kit.channels import Channel, channel_of
from tokenomics_dagster.kit.resources import SettingsResource, WarehouseResource
from tokenomics_dagster.kit.room import House
from tokenomics_dagster.providers.alpaca.resource import AlpacaResource
from tokenomics_dagster.providers.clock import broker_clock
from tokenomics_dagster.providers.errors import ProviderError
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.section import SettingsError

_ON = dg.DefaultSensorStatus.RUNNING


def build_sensors(house: House, settings: Settings) -> list[dg.SensorDefinition]:
    """Both run by themselves: neither trades what nobody has decided."""
    every_s = settings.schedules.sensors_every_s
    return [_stale_or_failed(house, every_s, channel_of(settings)), _dead_runs(every_s)]


def _stale_or_failed(house: House, every_s: int, built_with: Channel) -> dg.SensorDefinition:
    """`built_with` as the definitions were loaded: settings that cannot be read any more are told by that."""

    @dg.sensor(
        minimum_interval_seconds=every_s,
        default_status=_ON,
        description="Tells a person of stale assets, failed runs and checks, symbols that fail for long and halts, of "
        "each rebalance, and once a week how things stand and where the audit ends.",
    )
    def stale_or_failed(
        context: dg.SensorEvaluationContext,
        alpaca: AlpacaResource,
        warehouse: WarehouseResource,
        settings_in_force: dg.ResourceParam[SettingsResource],
        notifier: dg.ResourceParam[Notifier],
    ) -> dg.SkipReason:
        from tokenomics_dagster.storage.records import WarehouseError

        away: dict[str, Problem] = {}
        try:
            settings = settings_in_force.read()
            now = broker_clock(alpaca).now
        except SettingsError as error:
            away[SETTINGS] = Problem(
                "the settings cannot be used",
                str(error),
                "correct what is named, and restart what runs: until then nothing is fetched, started or traded",
                built_with.settings.ui_url,
            )
            store = None
            with suppress(WarehouseError):
                store = warehouse.open()
            notifier.report(away, store, built_with, over=lambda _: False)
            raise
        except ProviderError as error:
            now = None
            away[BROKER] = Problem(
                "the broker cannot be asked",
                str(error),
                "see the broker's status page and ALPACA_TRADING_URL; until then nothing is started",
            )
        channel = channel_of(settings)
        repository = context.repository_def
        assert repository is not None
        try:
            store = warehouse.open()
            store.check_usable()
            found = problems.find(context.instance, repository.asset_graph, house, store, now, settings)
        except WarehouseError as error:
            notifier.report({WAREHOUSE: without_warehouse(error), **away}, None, channel, over=lambda _: False)
            raise
        wrong = {**found.problems, **away}
        told = notifier.report(wrong, store, channel, over=found.over)
        if now is not None and told:
            look = Look(house, store, settings, now, context.instance, repository.schedule_defs, alpaca)
            # Problems that a person was told of stop no ping: it says that somebody looks, and can tell.
            if _told_of_what_was_done(look, channel) and RUNS not in wrong:
                heartbeat.ping(settings.environment.healthcheck_url)
        return dg.SkipReason("; ".join(sorted(one.title for one in wrong.values())) or "nothing is wrong")

    return stale_or_failed


def _told_of_what_was_done(look: Look, channel: Channel) -> bool:
    """False where no address takes what is due. Raises WarehouseError."""
    if not notify_of_weeks(look.store, channel, look.now, look.untold):
        return False
    return notify_of_head(look.store, channel, look.now, look.week)


def _dead_runs(every_s: int) -> dg.SensorDefinition:
    @dg.sensor(
        minimum_interval_seconds=min(every_s, alive.LOOK_S),
        default_status=_ON,
        description="A run whose process is gone is ended and gives back its slots, so that the next one goes on; one "
        "that was launched and never came into the queue is canceled.",
    )
    def dead_runs(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        said = alive.end_dead(context.instance)
        # A run that starts may be on its way to its process: one look is no proof.
        unstarted, unsure = alive.end_unstarted(context.instance, (context.cursor or "").split())
        said += unstarted + alive.end_unqueued(context.instance)
        for one in said:
            context.log.warning(one)
        return dg.SensorResult(skip_reason="; ".join(said) or "no run is dead", cursor=" ".join(sorted(unsure)))

    return dead_runs
