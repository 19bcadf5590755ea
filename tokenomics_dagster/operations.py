"""What a person asks about the platform, and what a person decides: halt, resume, approve. Trades nothing by itself."""

import getpass
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from rich.table import Table

from tokenomics_dagster import market_calendar
from tokenomics_dagster.execution.guards import Refused, check_account, check_plan, reasons_to_wait
from tokenomics_dagster.portfolio.plan import Plan
from tokenomics_dagster.providers.alpaca import AlpacaResource
from tokenomics_dagster.providers.errors import ProviderError
from tokenomics_dagster.providers.finnhub import FinnhubResource
from tokenomics_dagster.settings import Settings, SettingsError, load_environment, load_settings, settings_path

if TYPE_CHECKING:
    from tokenomics_dagster.storage.audit import AuditRecord, Head
    from tokenomics_dagster.storage.warehouse import Warehouse

Finding = tuple[str, bool | None, str]
"""A part, whether it works (None: switched off), and what was found or what to do."""

_WELL_KNOWN = "AAPL"
_WEEKLY = ("target_weights", "trade_plan", "orders", "portfolio_report")


def check_all() -> Iterator[Finding]:
    """Tries every part with a harmless call; nothing is traded or stored."""
    try:
        settings = load_settings()
    except SettingsError as error:
        yield "settings", False, str(error)
        return
    yield "settings", True, str(settings_path(settings.environment))
    for name, look in (
        ("Finnhub", _check_finnhub),
        ("Alpaca trading", _check_trading),
        ("Alpaca data", _check_data),
        ("Redis", _check_redis),
        ("database", _check_database),
    ):
        yield name, *_tried(look, settings)


def _tried(look: Callable[[Settings], tuple[bool | None, str]], settings: Settings) -> tuple[bool | None, str]:
    from tokenomics_dagster.storage.publishing import PublishError
    from tokenomics_dagster.storage.warehouse import WarehouseError

    try:
        return look(settings)
    except (ProviderError, SettingsError, Refused, PublishError, WarehouseError) as error:
        return False, str(error)


def _check_finnhub(settings: Settings) -> tuple[bool, str]:
    with FinnhubResource.from_settings(settings) as finnhub:
        profile = finnhub.profile(_WELL_KNOWN)
    host = urlsplit(settings.environment.finnhub_base_url).hostname
    known = "answers" if profile is None else f"knows {_WELL_KNOWN}"
    return True, f"{host} {known}; paced at {settings.finnhub.calls_per_minute:g} calls/min"


def _check_trading(settings: Settings) -> tuple[bool, str]:
    with AlpacaResource.from_settings(settings) as alpaca:
        account, clock = alpaca.account(), alpaca.clock()
    check_account(account, settings)
    kind = "paper" if settings.trading.paper else "LIVE"
    market = "open" if clock.is_open else f"closed until {clock.next_open:%Y-%m-%d %H:%M} UTC"
    agrees = clock.is_open == (market_calendar.session_at(clock.now) is not None)
    found = (
        f"{kind} account {account.number}, {account.equity:,.2f} USD; {clock.now:%Y-%m-%d %H:%M} UTC, market {market}"
    )
    return agrees, found if agrees else f"{found}, but the calendar says the opposite: nothing would be traded"


def _check_data(settings: Settings) -> tuple[bool, str]:
    with AlpacaResource.from_settings(settings) as alpaca:
        snapshots = alpaca.snapshots([_WELL_KNOWN])
    if _WELL_KNOWN not in snapshots:
        return True, f"feed {settings.alpaca.data_feed} answers, without {_WELL_KNOWN}"
    snapshot = snapshots[_WELL_KNOWN]
    traded = f"{snapshot.price_at:%Y-%m-%d %H:%M} UTC" if snapshot.price_at else "an unknown time"
    return True, f"feed {settings.alpaca.data_feed}: {_WELL_KNOWN} traded at {snapshot.price} USD, {traded}"


def _check_redis(settings: Settings) -> tuple[bool | None, str]:
    from tokenomics_dagster.storage.publishing import Publisher

    if settings.environment.redis is None:
        return None, "not configured (REDIS_URL or REDIS_HOST): nothing is published"
    with closing(Publisher(settings.environment.redis)) as publisher:
        publisher.ping()
    return True, "answers"


def _check_database(settings: Settings) -> tuple[bool, str]:
    with closing(_open(settings)) as store:
        store.check_writable()
    return True, "can be read and written"


def _open(settings: Settings) -> "Warehouse":
    from tokenomics_dagster.storage.warehouse import Warehouse

    return Warehouse(settings.environment.tokenomics_database_url.get_secret_value())


def status_tables() -> Iterator[Table]:
    """Tables for a terminal: runs, assets, positions against targets."""
    settings = load_settings()
    with AlpacaResource.from_settings(settings) as alpaca, closing(_open(settings)) as store:
        now = alpaca.now()
        halt = store.halted()
        if halt is not None:
            table = _table("trading is halted", "since", "by", "why")
            table.add_row(_new_york(halt.at), halt.by, halt.reason)
            yield table
        yield _runs_table()
        yield _assets_table(store, now)
        yield _positions_table(store, alpaca)


def _runs_table(limit: int = 8) -> Table:
    import dagster as dg

    table = _table("last runs", "job", "state", "started (UTC)", "took", "run")
    home = os.environ.get("DAGSTER_HOME")
    if not home or not Path(home).is_dir():
        reason = f"DAGSTER_HOME ({home}) is no folder" if home else "DAGSTER_HOME is not set"
        table.add_row(f"{reason}: no instance to look into")
        return table
    with dg.DagsterInstance.get() as instance:
        for record in instance.get_run_records(limit=limit):
            run, start, end = record.dagster_run, record.start_time, record.end_time
            began = f"{datetime.fromtimestamp(start, UTC):%Y-%m-%d %H:%M}" if start else ""
            took = f"{end - start:.0f} s" if start and end else ""
            table.add_row(run.job_name, run.status.value, began, took, run.run_id[:8])
    return table


def _assets_table(store: "Warehouse", now: datetime) -> Table:
    from tokenomics_dagster.fundamentals.schema import Financials
    from tokenomics_dagster.universe.schema import Universe

    table = _table("assets", "asset", "age", "coverage")
    universe = store.load_snapshot("universe", Universe)
    symbols = set() if universe is None else set(universe["symbol"])
    for asset in ("listings", "universe", "financials", "scores", *_WEEKLY):
        if asset == "financials":
            facts = store.latest_facts("financials", Financials)
            facts = facts[facts["symbol"].isin(symbols)]
            sweep = store.latest_sweep()
            if sweep is None or facts.empty:
                table.add_row(asset, "never", "")
                continue
            fresh = int((facts["known_at"] >= sweep.fresh_since).sum())
            failed = f", failed: {', '.join(sorted(sweep.failures)[:10])}" if sweep.failures else ""
            state = "" if sweep.finished_at else ", the last sweep has not finished"
            covered = f"{fresh} of {len(symbols)} symbols fresh{failed}{state}"
            table.add_row(asset, _age(now - facts["known_at"].min().to_pydatetime()), covered)
            continue
        newest = store.history(asset, limit=1)
        if not newest:
            table.add_row(asset, "never", "")
            continue
        week = f", week of {newest[0].partition}" if newest[0].partition else ""
        table.add_row(asset, _age(now - newest[0].as_of), f"{newest[0].row_count} rows{week}")
    return table


def _positions_table(store: "Warehouse", alpaca: AlpacaResource, limit: int = 15) -> Table:
    from tokenomics_dagster.execution.report import report
    from tokenomics_dagster.portfolio.schema import TargetWeights

    account = alpaca.account()
    title = f"account {account.number}: equity {account.equity:,.2f} USD, cash {account.cash:,.2f} USD; largest drifts"
    table = _table(title, "symbol", "value, USD", "weight", "target", "drift")
    newest = store.history("target_weights", limit=1)
    weights = store.load_snapshot("target_weights", TargetWeights, partition=newest[0].partition) if newest else None
    targets = {} if weights is None else dict(zip(weights["symbol"], weights["weight"], strict=True))
    rows = report(targets, alpaca.positions(), account.equity)
    rows = rows.reindex(rows["drift"].abs().sort_values(ascending=False).index)
    for row in rows.head(limit).to_dict("records"):
        shares = (f"{row['weight']:.2%}", f"{row['target_weight']:.2%}", f"{row['drift']:+.2%}")
        table.add_row(row["symbol"], f"{row['value']:,.2f}", *shares)
    return table


def _table(title: str, *columns: str) -> Table:
    return Table(*columns, title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)


def _age(span: timedelta) -> str:
    hours = span.total_seconds() / 3600
    return f"{hours / 24:.1f} days" if hours >= 48 else f"{hours:.1f} h"


class OperationRefused(RuntimeError):
    """A command that was not carried out, or not wholly; one sentence for the user."""


_CLOCK_TIMEOUT_S = 3.0  # a halt must not wait for a broker that does not answer


def halt_trading(reason: str, *, cancel_orders: bool) -> Iterator[str]:
    """Halts, then says what that means; with `cancel_orders` cancels every open order at the broker.

    Needs the database alone: the record is made even when the settings are broken or the broker is away.
    Raises OperationRefused when it could not be recorded, or when an order could not be cancelled.
    """
    from tokenomics_dagster.storage.warehouse import WarehouseError

    user = _user()
    at, doubt = _time_of_decision()
    try:
        with closing(_records()) as store:
            first, address = store.audit_head().count == 0, store.address
            store.halt(reason, by=user, at=at)
    except WarehouseError as error:
        raise OperationRefused(f"trading is NOT halted, for it could not be recorded: {error}") from None
    yield f"trading is halted by {user} at {_new_york(at)}: {reason}"
    if doubt is not None:
        yield f"the time is this machine's, for the broker's clock cannot be read: {doubt}"
    yield f"recorded in {address}"
    if first:
        yield "nothing had been recorded there before: make sure that it is the database of the running platform"
    yield (
        "a running rebalance stops before its next order and waits for those it has sent; none starts until "
        '`tokenomics resume "reason"`'
    )
    if cancel_orders:
        yield _cancel_open_orders(user, at)
    else:
        yield "orders that are open at the broker stay open; --cancel-orders cancels them too"


def _cancel_open_orders(user: str, at: datetime) -> str:
    try:
        with AlpacaResource.from_settings(load_settings()) as alpaca:
            answers = alpaca.cancel_all()
    except (ProviderError, SettingsError) as error:
        raise OperationRefused(
            f"trading is halted, but no answer came to the cancel of the open orders: {error} "
            "Look at the broker's dashboard, or run the command again"
        ) from None
    failed = sorted(order for order, status in answers.items() if status != 200)
    found = {"open": len(answers), "refused": len(failed), "by": user}
    with closing(_records()) as store:
        store.audit("cancel_orders", found, at=at, week=market_calendar.week_of(at))
    if failed:
        raise OperationRefused(
            f"trading is halted, but {len(failed)} of {len(answers)} open orders were not cancelled "
            f"({', '.join(failed[:10])}): look at the broker's dashboard, or run the command again"
        )
    return f"the broker was asked to cancel {len(answers)} open orders; what has filled already stays filled"


def resume_trading(reason: str) -> Iterator[str]:
    """Lifts the halt and says what it was. Raises OperationRefused when nothing is halted."""
    with closing(_records()) as store:
        halt = store.halted()
        if halt is None:
            raise OperationRefused(f"nothing is halted in {store.address}: there is nothing to resume")
        user = _user()
        at, doubt = _time_of_decision()
        store.resume(reason, by=user, at=at)
        yield f"trading is resumed by {user} at {_new_york(at)}: {reason}"
        yield f"it was halted by {halt.by} at {_new_york(halt.at)}: {halt.reason}"
        if doubt is not None:
            yield f"the time is this machine's, for the broker's clock cannot be read: {doubt}"
        yield f"recorded in {store.address}; the next run of the rebalance may trade"


def plan_to_approve(plan_id: str) -> tuple[Plan, list[str]]:
    """The plan and why it waits (empty: it does not). Raises OperationRefused or Refused if it cannot be approved."""
    settings = load_settings()
    with AlpacaResource.from_settings(settings) as alpaca, closing(_open(settings)) as store:
        plan, _ = _approvable(plan_id, store, alpaca, settings)
    return plan, reasons_to_wait(plan, settings)


def approve_plan(plan_id: str) -> Iterator[str]:
    """Checks the plan again, for a person may have thought for long, and records the approval of exactly its hash."""
    settings = load_settings()
    with AlpacaResource.from_settings(settings) as alpaca, closing(_open(settings)) as store:
        plan, now = _approvable(plan_id, store, alpaca, settings)
        user = _user()
        store.approve(plan.plan_id, plan.plan_hash, by=user, at=now)
        until = now + timedelta(minutes=settings.guards.max_plan_age_min)
        yield f"plan {plan.plan_id} is approved by {user} at {_new_york(now)}"
        yield (
            f"it may be traded until {_new_york(until)} (guards.max_plan_age_min): where the daemon runs, the sensor "
            "approved_plans carries it out within a minute; else: dagster asset materialize -m "
            f"tokenomics_dagster.definitions --select orders,portfolio_report --partition {plan.week}"
        )
        yield "the approval holds for this plan only; the rebalance job would make a new one"


def plan_tables(plan: Plan, why: list[str], limit: int = 10) -> Iterator[Table]:
    """What a person looks at before approving. Turnover is half of all buys and sells over equity."""
    sides = {side: [o for o in plan.orders if o.side == side] for side in ("sell", "buy")}
    facts = _table(f"plan {plan.plan_id}", "", "")
    facts.show_header = False
    facts.add_row("why it waits", "; ".join(why) or "it does not wait: it may be traded as it is")
    facts.add_row("account", plan.account)
    facts.add_row("made", _new_york(plan.created_at))
    facts.add_row("equity", f"{plan.equity:,.2f} USD, of it cash {plan.cash:,.2f} USD")
    for side, orders in sides.items():
        worth = sum((o.value for o in orders), Decimal(0))
        exits = f", {plan.exits} of them exits" if side == "sell" else ""
        facts.add_row(f"{side}s", f"{len(orders)}{exits}, {worth:,.2f} USD")
    facts.add_row("turnover", f"{plan.turnover:.1%} of equity")
    yield facts
    largest = _table("largest orders", "symbol", "", "shares", "USD", "price, USD")
    for order in sorted(plan.orders, key=lambda o: (-o.value, o.symbol))[:limit]:
        kind = "sell all" if order.exit else order.side
        shares = "" if order.qty is None else _shares(order.qty)
        largest.add_row(order.symbol, kind, shares, f"{order.value:,.2f}", f"{order.price:,.2f}")
    yield largest


def _approvable(plan_id: str, store: "Warehouse", alpaca: AlpacaResource, settings: Settings) -> tuple[Plan, datetime]:
    from tokenomics_dagster.portfolio.schema import TradePlan

    plan = _read_plan(plan_id, store)
    now = alpaca.clock().now
    check_plan(plan, alpaca.account(), now, settings, approved_at=now)
    newest = store.load_snapshot("trade_plan", TradePlan, partition=plan.week.isoformat())
    if newest is None or newest.attrs["plan"]["plan_hash"] != plan.plan_hash:
        raise OperationRefused(f"plan {plan_id} has been replaced by a newer one of its week: look at that one")
    return plan, now


def _read_plan(plan_id: str, store: "Warehouse") -> Plan:
    document = store.find_plan(plan_id)
    if document is None:
        raise OperationRefused(
            f"there is no plan {plan_id} in {store.address}: its id stands in the message of the run that waits, and "
            "with the trade_plan of the week in the UI"
        )
    try:
        return Plan.from_document(document)
    except (KeyError, ValueError, TypeError, ArithmeticError):
        raise OperationRefused(
            f"plan {plan_id} cannot be read, it was changed after it was made: materialize trade_plan again"
        ) from None


def verify_audit() -> "tuple[Head, str]":
    """What the whole audit ends with, and where it is. Raises OperationRefused, naming the first bad record."""
    with closing(_records()) as store:
        head = store.audit_head()
        flaw = store.verify_audit()
        if flaw is None:
            return head, store.address
        which = flaw.what if flaw.seq is None else f"record {flaw.seq} {flaw.what}"
        raise OperationRefused(
            f"the audit in {store.address} was tampered with: {which}. Halt trading, and compare with a backup"
        )


def audit_story(day: date) -> Iterator[str]:
    """One line per record of the week that `day` lies in, in order; times in New York."""
    week = day - timedelta(days=day.weekday())
    with closing(_records()) as store:
        records = store.audit_records(week)
        if not records:
            yield f"nothing is recorded of the week of {week} in {store.address}"
    for record in records:
        at = record.at.astimezone(market_calendar.NEW_YORK)
        yield f"{record.seq:>6}  {at:%a %Y-%m-%d %H:%M:%S}  {record.kind:<14}  {' '.join(_told(record).split())}"


def _told(record: "AuditRecord") -> str:
    tell = _TELLERS.get(record.kind)
    if tell is not None:
        try:
            return tell(record.payload)
        except (KeyError, ValueError, TypeError, ArithmeticError):
            pass  # written by another version, or by hand: as it is
    return ", ".join(f"{name} {value}" for name, value in record.payload.items())


def _tell_order(row: dict[str, Any]) -> str:
    asked = f"{_shares(row['qty'])} shares" if row["notional"] is None else _usd(row["notional"])
    text = f"{row['side']} {row['symbol']}, {asked}: {row['status']}"
    if Decimal(row["filled_qty"]):
        text += f", {_shares(row['filled_qty'])} shares filled at {_usd(row['filled_avg_price'])}"
    return f"{text} ({row['note']})" if row["note"] else text


def _tell_fill(row: dict[str, Any]) -> str:
    value = _usd(Decimal(row["qty"]) * Decimal(row["price"]))
    return f"{row['side']} {row['symbol']}, {_shares(row['qty'])} shares at {_usd(row['price'])} = {value}"


def _tell_plan(document: dict[str, Any]) -> str:
    plan = Plan.from_document(document)
    orders = ", ".join(f"{sum(o.side == side for o in plan.orders)} {side}s" for side in ("sell", "buy"))
    return f"{plan.plan_id}: {orders}, turnover {plan.turnover:.1%}, equity {_usd(plan.equity)}, cash {_usd(plan.cash)}"


def _tell_reconciliation(result: dict[str, Any]) -> str:
    found = "; ".join(result["flaws"]) or "the books agree"
    cash = f"cash {_usd(result['cash_found'])} of {_usd(result['cash_expected'])} expected"
    return f"{result['fills']} fills, {result['positions']} positions, {cash}: {found}"


_TELLERS: dict[str, Callable[[dict[str, Any]], str]] = {
    "order": _tell_order,
    "fill": _tell_fill,
    "plan": _tell_plan,
    "reconciliation": _tell_reconciliation,
    "halt": lambda payload: f"{payload['reason']} (by {payload['by']})",
    "resume": lambda payload: f"{payload['reason']} (by {payload['by']})",
    "approval": lambda payload: f"plan {payload['plan_id']} (by {payload['by']})",
    "phase": lambda payload: f"{payload['phase']}: equity {_usd(payload['equity'])}, cash {_usd(payload['cash'])}",
    "stopped": lambda payload: str(payload["reason"]),
}


def _usd(amount: Any) -> str:
    return f"{Decimal(amount):,.2f} USD"


def _shares(amount: Any) -> str:
    return f"{Decimal(amount).normalize():f}"


def _records() -> "Warehouse":
    """The warehouse by the environment alone: a mistake in the settings file must not keep anybody from halting."""
    from tokenomics_dagster.storage.warehouse import Warehouse

    return Warehouse(load_environment().tokenomics_database_url.get_secret_value())


def _time_of_decision() -> tuple[datetime, str | None]:
    """The broker's time; or this machine's, and why."""
    try:
        settings = load_settings(overrides={"alpaca.timeout_s": _CLOCK_TIMEOUT_S, "alpaca.max_attempts": 1})
        with AlpacaResource.from_settings(settings) as alpaca:
            return alpaca.clock().now, None
    except (ProviderError, SettingsError) as error:
        return datetime.now(UTC), str(error)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"  # containers run under ids that have no name


def _new_york(instant: datetime) -> str:
    return f"{instant.astimezone(market_calendar.NEW_YORK):%Y-%m-%d %H:%M:%S} New York"
