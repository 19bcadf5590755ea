"""What starts because something else has ended or gone wrong. A tick that does nothing says why."""

from contextlib import suppress

import dagster as dg

from tokenomics_dagster.automation import jobs, problems
from tokenomics_dagster.automation.clock import broker_clock
from tokenomics_dagster.automation.sweeps import coverage
from tokenomics_dagster.kit import alive
from tokenomics_dagster.kit.alerts import WAREHOUSE, Problem, report, tell_head, without_warehouse
from tokenomics_dagster.kit.resources import WarehouseResource
from tokenomics_dagster.providers.alpaca import AlpacaResource
from tokenomics_dagster.providers.errors import ProviderError
from tokenomics_dagster.settings import AlertSettings, Settings, SettingsError, load_settings
from tokenomics_dagster.universe.assets import symbol_partitions
from tokenomics_dagster.universe.partitions import partition_changes

_ON = dg.DefaultSensorStatus.RUNNING


def build_sensors(settings: Settings) -> list[dg.SensorDefinition]:
    """All run by themselves: none of them trades what nobody has decided."""
    every_s = settings.schedules.sensors_every_s
    return [
        _scores_when_complete(every_s),
        _symbols_follow_universe(every_s),
        _stale_or_failed(every_s, settings.alerts),
        _approved_plans(every_s),
        _dead_runs(every_s),
    ]


def _scores_when_complete(every_s: int) -> dg.SensorDefinition:
    @dg.sensor(
        job=jobs.score,
        minimum_interval_seconds=every_s,
        default_status=_ON,
        description="A finished sweep of financials that has not been scored starts `score` once enough is there.",
    )
    def scores_when_complete(
        context: dg.SensorEvaluationContext, alpaca: AlpacaResource, warehouse: WarehouseResource
    ) -> dg.RunRequest | dg.SkipReason:
        store = warehouse.open()
        sweep = store.latest_sweep()
        if sweep is None:
            return dg.SkipReason("financials were never swept")
        if sweep.finished_at is None:
            return dg.SkipReason(f"the sweep that began {sweep.started_at:%Y-%m-%d %H:%M} UTC has not finished")
        if any(scores.as_of >= sweep.finished_at for scores in store.history("scores", limit=1)):
            return dg.SkipReason(f"the sweep that ended {sweep.finished_at:%Y-%m-%d %H:%M} UTC has been scored")
        # A repair that is under way would change the newest figures, and with them the key, at each look.
        busy = jobs.in_flight(context.instance)
        for job in ("fundamentals_refresh", "score"):
            if job in busy:
                return dg.SkipReason(f"run {busy[job]} of {job} is queued or running: it ends first")
        found = coverage(store, sweep, load_settings())
        if not found.enough or found.newest is None:
            return dg.SkipReason(found.what)
        # After a score that was refused, only a repair makes a new key.
        key = _untried(context.instance, f"sweep-{sweep.id}-{found.newest.isoformat()}")
        if isinstance(key, dg.SkipReason):
            return key
        try:
            broker_clock(alpaca)
        except ProviderError as error:
            return dg.SkipReason(f"a score needs the broker's clock: {error}")
        return dg.RunRequest(run_key=key)

    return scores_when_complete


def _untried(instance: dg.DagsterInstance, key: str) -> str | dg.SkipReason:
    """The key for the next run of `score` on the figures that `key` names, or why there is none.

    A fault that may have passed is tried again; the same figures would be refused again.
    """
    recent = instance.get_runs(dg.RunsFilter(job_name="score"), limit=20)
    runs = [run for run in recent if run.tags.get("dagster/run_key", "").startswith(key)]
    if not runs:
        return key
    last = runs[0]
    if last.tags.get("dagster/will_retry") == "true":
        return dg.SkipReason(f"Dagster starts run {last.run_id} of score again")
    faulty = last.status == dg.DagsterRunStatus.FAILURE and not problems.refused(instance, last)
    if faulty and len(runs) < problems.SCORE_TRIES:
        return f"{key}-{last.run_id}"
    return dg.SkipReason(
        f"run {last.run_id} of score, number {len(runs)} with these figures, has ended ({last.status.value}): repair "
        "what it names, or run score"
    )


def _symbols_follow_universe(every_s: int) -> dg.SensorDefinition:
    @dg.sensor(
        minimum_interval_seconds=every_s,
        default_status=_ON,
        description="Symbols that enter the universe become partitions of `financials`; those that left it go, with "
        "their history kept, when nothing runs.",
    )
    def symbols_follow_universe(context: dg.SensorEvaluationContext, warehouse: WarehouseResource) -> dg.SensorResult:
        from tokenomics_dagster.universe.schema import Universe

        universe = warehouse.open().load_snapshot("universe", Universe)
        if universe is None:
            return dg.SensorResult(skip_reason="there is no universe yet")
        existing = context.instance.get_dynamic_partitions("symbols")
        runs = sorted(jobs.in_flight(context.instance).values()) + _backfills(context.instance)
        changes = partition_changes(universe["symbol"], existing, in_flight=bool(runs))
        requests: list[dg.AddDynamicPartitionsRequest | dg.DeleteDynamicPartitionsRequest] = [
            *([symbol_partitions.build_add_request(changes.add)] if changes.add else []),
            *([symbol_partitions.build_delete_request(changes.retire)] if changes.retire else []),
        ]
        if requests:
            context.log.info("%d symbols added: %s", len(changes.add), ", ".join(changes.add[:20]))
            context.log.info("%d symbols retired: %s", len(changes.retire), ", ".join(changes.retire[:20]))
            return dg.SensorResult(dynamic_partitions_requests=requests)
        if changes.waiting:
            return dg.SensorResult(
                skip_reason=f"{len(changes.waiting)} symbols have left the universe and go when run {runs[0]} has ended"
            )
        return dg.SensorResult(skip_reason=f"the partitions are the {len(universe)} symbols of the universe")

    return symbols_follow_universe


def _backfills(instance: dg.DagsterInstance) -> list[str]:
    """The backfills that are under way: between two of its runs none may be queued."""
    # Not public, but the version is pinned, and without it every backfill that there ever was would be read.
    from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus

    unfinished = [BulkActionStatus.REQUESTED, BulkActionStatus.CANCELING, BulkActionStatus.FAILING]
    return [one.backfill_id for one in instance.get_backfills(filters=BulkActionsFilter(statuses=unfinished))]


def _stale_or_failed(every_s: int, alerts: AlertSettings) -> dg.SensorDefinition:
    """`alerts` as the definitions were loaded with them: settings that cannot be read any more are told by those."""

    @dg.sensor(
        minimum_interval_seconds=every_s,
        default_status=_ON,
        description="Tells a person of stale assets, failed runs and checks, symbols that fail for long and halts, and "
        "once a week where the audit ends.",
    )
    def stale_or_failed(
        context: dg.SensorEvaluationContext, alpaca: AlpacaResource, warehouse: WarehouseResource
    ) -> dg.SkipReason:
        from tokenomics_dagster.storage.records import WarehouseError

        away: dict[str, Problem] = {}
        try:
            settings = load_settings()
            now = broker_clock(alpaca).now
        except SettingsError as error:
            away[problems.SETTINGS] = Problem(
                "the settings cannot be used",
                str(error),
                "correct what is named, and restart what runs: until then nothing is fetched, started or traded",
                alerts.ui_url,
            )
            store = None
            with suppress(WarehouseError, SettingsError):
                store = warehouse.open()
            report(away, store, alerts, over=lambda _: False)
            raise
        except ProviderError as error:
            now = None
            away[problems.BROKER] = Problem(
                "the broker cannot be asked",
                str(error),
                "see the broker's status page and ALPACA_TRADING_URL; until then nothing is started",
            )
        assert context.repository_def is not None
        graph, names = context.repository_def.asset_graph, context.repository_def.job_names
        try:
            store = warehouse.open()
            store.check_usable()
            jobs_of_users = [name for name in names if not name.startswith("__")]
            found = problems.find(context.instance, graph, jobs_of_users, store, now, settings)
        except WarehouseError as error:
            report({WAREHOUSE: without_warehouse(error), **away}, None, settings.alerts, over=lambda _: False)
            raise
        wrong = {**found.problems, **away}
        report(wrong, store, settings.alerts, over=found.over)
        if now is not None:
            tell_head(store, settings.alerts, now)
        return dg.SkipReason("; ".join(sorted(one.title for one in wrong.values())) or "nothing is wrong")

    return stale_or_failed


def _approved_plans(every_s: int) -> dg.SensorDefinition:
    @dg.sensor(
        job=jobs.rebalance,
        minimum_interval_seconds=min(every_s, 30),
        default_status=_ON,
        description="A plan that a person has approved is carried out as it is, once.",
    )
    def approved_plans(
        context: dg.SensorEvaluationContext, warehouse: WarehouseResource
    ) -> dg.RunRequest | dg.SkipReason:
        store = warehouse.open()
        approval = store.approval()
        if approval is None:
            return dg.SkipReason("no plan was ever approved")
        week = approval.plan_id[:10]
        plans = store.history("trade_plan", partition=week, limit=1)
        if not plans or plans[0].details["plan"]["plan_hash"] != approval.plan_hash:
            return dg.SkipReason(f"{approval.plan_id}, approved last, has been replaced by a newer plan")
        if any(orders.details["plan_id"] == approval.plan_id for orders in store.history("orders", partition=week)):
            return dg.SkipReason(f"{approval.plan_id}, approved last, has been carried out")
        return dg.RunRequest(
            run_key=_unless_killed(context.instance, f"{approval.plan_id}-{approval.at.isoformat()}"),
            partition_key=week,
            # The plan itself must not be made anew: an approval holds for its hash only.
            asset_selection=[dg.AssetKey("orders"), dg.AssetKey("portfolio_report")],
        )

    return approved_plans


def _unless_killed(instance: dg.DagsterInstance, key: str) -> str:
    """The key under which a plan is carried out once; another one after a run whose process was killed.

    What is carried out again sends nothing twice, and a run that refused or failed for itself would do so again.
    """
    for run in instance.get_runs(dg.RunsFilter(job_name="rebalance"), limit=20):
        last = run.tags.get("dagster/run_key", "")
        if last.startswith(key):
            return f"{key}-{run.run_id}" if alive.DEAD in run.tags else last
    return key


def _dead_runs(every_s: int) -> dg.SensorDefinition:
    @dg.sensor(
        minimum_interval_seconds=min(every_s, alive.LOOK_S),
        default_status=_ON,
        description="A run whose process is gone is ended and gives back its slots, so that the next one goes on.",
    )
    def dead_runs(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        said = alive.end_dead(context.instance)
        # A run that starts may be on its way to its process: one look is no proof.
        unstarted, unsure = alive.end_unstarted(context.instance, (context.cursor or "").split())
        said += unstarted
        for one in said:
            context.log.warning(one)
        return dg.SensorResult(skip_reason="; ".join(said) or "no run is dead", cursor=" ".join(sorted(unsure)))

    return dead_runs
