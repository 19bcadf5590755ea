"""What `make bench` measures of a warehouse after years, which is made from one real week.

The week's plan, orders, fills, reports and records are those of a cycle on the sandbox, moved to each Monday; figures
and scores are rows of that week, under further names too. The audit is chained and sealed as the platform does it.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import cycle, islice, product
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import pandera.pandas as pa
import sqlalchemy as sa

from tokenomics_dagster.execution.schema import Orders, PortfolioReport
from tokenomics_dagster.execution.states import FINAL
from tokenomics_dagster.fundamentals.schema import Financials, Scores
from tokenomics_dagster.model.details import Details
from tokenomics_dagster.portfolio.schema import TargetWeights, TradePlan
from tokenomics_dagster.sandbox.server import running_sandbox
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.storage import covered
from tokenomics_dagster.storage.audit import GENESIS, SNAPSHOT, Head, Link, next_link
from tokenomics_dagster.storage.tables import (
    AUDIT,
    AUDIT_HEAD,
    EQUITY_MARKS,
    FILLS,
    ORDERS,
    SNAPSHOTS,
    SWEEPS,
    UtcDateTime,
)
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster.universe.schema import KnownProfiles, Listings, Universe
from tokenomics_dagster_tests.bench.measurements import WEEK, Ratio, _platform, _variables
from tokenomics_dagster_tests.conftest import Platform, new_database, running_postgres

_UUID = re.compile(r"\b[0-9a-f]{8}(?=-[0-9a-f]{4}-)")  # the beginning of one, which is another's in another week
MONTH = 4  # weeks from one universe to the next
_MONTHLY: dict[str, type[pa.DataFrameModel]] = {"listings": Listings, "universe": Universe}
_WEEKLY: dict[str, type[pa.DataFrameModel]] = {
    "scores": Scores,
    "target_weights": TargetWeights,
    "trade_plan": TradePlan,
    "orders": Orders,
    "portfolio_report": PortfolioReport,
}
_FACTS: dict[str, type[pa.DataFrameModel]] = {"profiles": KnownProfiles, "financials": Financials}


class Move:
    """From the week that happened to another: what names the one, in texts and instants, names the other."""

    def __init__(self, week: date, to: date) -> None:
        self._by = to - week
        self._weeks = self._by // timedelta(weeks=1)
        self._words = [(f"{week:{form}}", f"{to:{form}}") for form in ("%Y-%m-%d", "%Y%m%d")]

    def __call__(self, value: Any) -> Any:
        if isinstance(value, str):
            for of_week, of_other in self._words:
                value = value.replace(of_week, of_other)
            return _UUID.sub(lambda found: f"{(int(found[0], 16) + self._weeks) % 2**32:08x}", value)
        if isinstance(value, date):  # an instant, too
            return value + self._by
        return json.loads(self(json.dumps(value))) if isinstance(value, dict) else value

    def rows(self, rows: Sequence[Mapping[str, Any]], **changed: Any) -> list[dict[str, Any]]:
        return [{column: self(value) for column, value in row.items()} | changed for row in rows]

    def column(self, column: sa.Column[Any], dialect: str) -> sa.ColumnElement[Any]:
        """The same of an instant by the database itself: 3 million rows would take Python minutes."""
        if not isinstance(column.type, UtcDateTime):
            return column
        if dialect == "postgresql":
            return column + sa.literal(self._by)
        of_week, of_other = self._words[0]
        return sa.func.replace(sa.type_coerce(column, sa.Text), of_week, of_other)


def years(quick: bool) -> Iterator[Ratio]:
    """What is read for a person, a page, a sensor or a metric, on both databases: in seconds against what they may
    take, and after five years against half a year."""
    symbols, some, all_weeks = (300, 2, 6) if quick else (6_000, 26, 260)
    with (
        running_sandbox(listings=300 if quick else 1_200) as sandbox,
        _platform(sandbox, 50 if quick else 250) as platform,
        tempfile.TemporaryDirectory(prefix="tokenomics-bench-") as name,
        running_postgres(partial(_folder, Path(name))) as postgres,
    ):
        platform.configure(rebalancing__first_week=date.fromisoformat(WEEK) - timedelta(weeks=all_weeks))
        platform.run_all(WEEK)
        for kind, address in (("SQLite", f"sqlite:///{name}/{{}}.db"), ("PostgreSQL", postgres)):
            if address is None:
                continue
            found = []
            for weeks in (some, all_weeks):
                url = new_database(address, f"weeks_{weeks}") if kind == "PostgreSQL" else address.format(weeks)
                with closing(Warehouse(url)) as grown:
                    grow(platform.store, grown, date.fromisoformat(WEEK), symbols=symbols, weeks=weeks)
                    found.append(_seconds(platform, url, grown))
            after_some, after_all = found
            where = f"{symbols:,} symbols x {all_weeks} weeks, {kind}"
            yield from _judged(where, after_some, after_all, all_weeks / some)


def _folder(parent: Path, name: str) -> Path:
    made = parent / name
    made.mkdir(mode=0o755)
    parent.chmod(0o755)  # the server runs as another user when this is root
    return made


def _seconds(platform: Platform, url: str, store: Warehouse) -> dict[str, dict[str, float]]:
    """Of each read and of each answer, the best of three, once what is read for the first time has been."""
    from tokenomics_dagster.operations import (
        audit,
        changes,
        dry_plan,
        explain,
        holdings,
        known,
        metrics,
        orders,
        status,
        trades,
        upcoming,
    )  # fmt: skip

    settings = load_settings()
    account = platform.broker().account().number
    held = store.newest_values("target_weights", "symbol", "rank")
    symbol, now, week = next(iter(held)), datetime.now(UTC), date.fromisoformat(WEEK)
    latest = partial(store.latest_facts, "financials", Financials)
    reads: dict[str, Callable[[], object]] = {
        "figures": latest,
        "figures at an instant": partial(latest, as_of=now - timedelta(weeks=10)),
        "figures of a symbol": partial(latest, symbol=symbol),
        "ages of figures": partial(store.known_at, "financials", Financials),
        "universe": partial(store.load_snapshot, "universe", Universe),
        "scores": partial(store.load_snapshot, "scores", Scores),
        "scores of a symbol": partial(store.load_stored, "scores", Scores, Details, symbol=symbol),
        "plan": partial(store.newest_plan_of, account),
        "weeks": partial(store.versions, "target_weights"),
        "orders of a week": partial(store.orders_of_week, account, week),
        "orders under way": partial(store.orders_except, account, FINAL),
        "fills of a symbol": partial(store.fills_of, account, now - timedelta(weeks=52), [symbol]),
        "owned": partial(store.owned, account),
        "records of a week": partial(store.audit_records, week),
        "alerts": store.alerts,
        "halt": store.halted,
    }
    collector = metrics.PlatformCollector(settings)
    answers: dict[str, Callable[[], object]] = {
        "metrics": collector.look,
        "status": lambda: list(status.status()),
        "known": partial(known.known, now, symbol=symbol),
        "explain": partial(explain.explain, symbol),
        "holdings": holdings.holdings,
        "changes": changes.changes,
        "plan --dry": dry_plan.dry_plan,
        "trades": trades.trades_of_week,
        "next": upcoming.upcoming,
        "audit show": partial(audit.audit_story, week),
        "orders": orders.orders_in_doubt,
    }
    with _variables({**os.environ, "TOKENOMICS_DATABASE_URL": url}):
        return {
            "read": {name: min(_timed(read) for _ in range(4)) for name, read in reads.items()},
            "answer": {name: min(_timed(answer) for _ in range(3)) for name, answer in answers.items()},
        }


def _timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _judged(
    where: str, some: dict[str, dict[str, float]], every: dict[str, dict[str, float]], more: float
) -> Iterator[Ratio]:
    # A whole answer builds the definitions, asks the broker and reads several times: a person waits for it.
    for what, limit_s in (("read", 0.5), ("answer", 3.0)):
        slowest = max(every[what], key=lambda name: every[what][name])
        each = ", ".join(f"{name} {seconds:.2g}" for name, seconds in sorted(every[what].items()))
        yield Ratio(f"slowest {what} / {limit_s:g} s, {where}", (every[what][slowest] / limit_s,), 1.0, f"s: {each}")
        # All together, for the fast ones are noise.
        growth = sum(every[what].values()) / sum(some[what].values())
        told = f"{sum(every[what].values()):.2g} s / {sum(some[what].values()):.2g} s, with {more:.3g} times the weeks"
        yield Ratio(f"all {what}s as weeks are added, {where}", (growth,), 1.5, told)


def grow(happened: Warehouse, grown: Warehouse, week: date, *, symbols: int, weeks: int) -> None:
    """Fills the empty warehouse `grown` with that many weeks up to `week`, which happened in the other one, with that
    many symbols in each."""
    moves = [Move(week, week - timedelta(weeks=number)) for number in reversed(range(weeks))]
    tables = {name: grown._rows_table(name, schema) for name, schema in (_MONTHLY | _WEEKLY).items()}
    facts = {name: grown._facts_table(name, schema) for name, schema in _FACTS.items()}
    with happened._read() as source:
        first = {table.name: _rows(source, table) for table in (*tables.values(), *facts.values())}
        snapshots = {row["asset"]: row for row in _rows(source, SNAPSHOTS)}
        ledgers = {table: _rows(source, table) for table in (SWEEPS, ORDERS, FILLS, EQUITY_MARKS)}
        records = [Link(*row) for row in source.execute(sa.select(AUDIT).order_by(AUDIT.c.seq))]
    followed = [str(row["symbol"]) for row in first["universe"]]
    for name in ("universe", "scores", *facts):
        first[name] = _further(first[name], followed, symbols)
    with grown._write() as target:
        staged = {name: _staged(target, table, first[name]) for name, table in (tables | facts).items()}
        for number, move in enumerate(moves):
            monthly = number % MONTH == 0
            for name in _FACTS if monthly else ("financials",):
                _copy(target, staged[name], facts[name], move)
            for name in _MONTHLY | _WEEKLY if monthly else _WEEKLY:
                stored = move.rows([snapshots[name]], row_count=len(first[name]))[0]
                del stored["id"]
                query = sa.insert(SNAPSHOTS).values(stored).returning(SNAPSHOTS.c.id)
                _copy(target, staged[name], tables[name], move, snapshot_id=target.execute(query).scalar_one())
            for table, rows in ledgers.items():
                target.execute(sa.insert(table), [_unnumbered(table, row) for row in move.rows(rows)])
        _records(target, records, moves)
    with closing(grown._engine.connect().execution_options(isolation_level="AUTOCOMMIT")) as connection:
        connection.exec_driver_sql("ANALYZE")


def _staged(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> sa.Table:
    """The rows in a table of this connection alone, for the database to copy."""
    columns = [sa.Column(column.name, column.type) for column in table.c]
    staged = sa.Table(f"first_{table.name}", sa.MetaData(), *columns, prefixes=["TEMPORARY"])
    staged.create(connection)
    connection.execute(sa.insert(staged), rows)
    return staged


def _copy(connection: sa.Connection, staged: sa.Table, table: sa.Table, move: Move, **values: Any) -> None:
    columns = {c.name: move.column(c, connection.dialect.name) for c in staged.c} | {
        name: sa.literal(value) for name, value in values.items()
    }
    connection.execute(sa.insert(table).from_select(list(columns), sa.select(*columns.values())))


def _unnumbered(table: sa.Table, row: dict[str, Any]) -> dict[str, Any]:
    """Without what the database numbers itself."""
    return {name: value for name, value in row.items() if table.c[name].autoincrement is not True}


def _records(connection: sa.Connection, records: list[Link], moves: list[Move]) -> None:
    """Each week's records, chained; then what covers every table, as the platform makes it for a database of before."""
    head = Head(0, GENESIS)
    links = list[Link]()

    def append(kind: str, payload: dict[str, Any], at: datetime, week: date | None) -> None:
        nonlocal head
        links.append(next_link(head, kind, payload, at, week))
        head = Head(links[-1].seq, links[-1].hash)

    for move in moves:
        for record in records:
            if record.kind != SNAPSHOT:
                read = record._replace(at=move(record.at), week=move(record.week), payload=move(record.payload)).read()
                append(read.kind, read.payload, read.at, read.week)
    for payload, week in covered.of_before(connection):
        append(SNAPSHOT, payload, read.at, week)
    connection.execute(sa.insert(AUDIT), [link._asdict() for link in links])
    connection.execute(sa.delete(AUDIT_HEAD))
    connection.execute(sa.insert(AUDIT_HEAD).values(id=1, count=head.count, hash=head.hash))


def _rows(connection: sa.Connection, table: sa.Table) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(sa.select(table)).mappings()]


def made_up() -> Iterator[str]:
    """Symbols of four letters, 456,976 of them."""
    return ("".join(letters) for letters in product(ascii_uppercase, repeat=4))


def _further(rows: list[dict[str, Any]], followed: list[str], symbols: int) -> list[dict[str, Any]]:
    """The rows of the followed, and as many again under other names as there are to be."""
    of_followed = [row for row in rows if row["symbol"] in set(followed)]
    taken = {row["symbol"] for row in rows}
    further = islice((name for name in made_up() if name not in taken), symbols - len(of_followed))
    more = [row | {"symbol": name} for name, row in zip(further, cycle(of_followed))]
    whole = [*of_followed, *more]
    for number, row in enumerate(whole if "position" in whole[0] else ()):
        row["position"] = number
    if "rank" in whole[0]:
        whole.sort(key=lambda row: -row["market_cap_musd"])
        for number, row in enumerate(whole):
            row |= {"position": number, "rank": number + 1}
    return whole
