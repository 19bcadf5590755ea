"""The page of a rebalanced week, for a person and for machines: what is stored of it, told anew each time."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenomics_dagster.operations import comparison
from tokenomics_dagster.operations.common import open_store
from tokenomics_dagster.providers.alpaca.resource import AlpacaResource
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.storage import private

if TYPE_CHECKING:
    from tokenomics_dagster.reports.performance import Compared, Performance
    from tokenomics_dagster.storage.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class Reported:
    """Of a week, by its Monday: `summary` in two sentences, `page` as one HTML file, `document` for machines."""

    week: date
    summary: str
    page: str
    document: dict[str, Any]


def report(day: date | None = None, *, compare: bool = False) -> Reported:
    """Of the week that `day` lies in, without one of the last rebalanced. To `compare` it with the benchmark and the
    universe the broker is asked for their bars. Raises NoReport, WarehouseError, and then ProviderError.
    """
    from tokenomics_dagster.reports.building import report_of
    from tokenomics_dagster.reports.page import page, summary
    from tokenomics_dagster.reports.week_records import records_of

    settings = load_settings(to_trade=False)
    with closing(open_store(settings)) as store:
        told = report_of(records_of(store, day))
        if compare and told.earned.performance is not None:
            told = replace(told, beside=_beside(store, told.earned.performance, settings))
    return Reported(told.week, summary(told), page(told, settings.alerts.ui_url), {**_plain(told)})


def _beside(store: "Warehouse", of: "Performance", settings: Settings) -> "list[Compared]":
    values = [of.steps[0].start, *(step.end for step in of.steps)]
    with AlpacaResource.from_settings(settings) as alpaca:
        return list(comparison.compared(store, alpaca, values, alpaca.clock().now, settings))


def kept_at(week: date) -> Path:
    """Where the page of a week is written if no file is named: a folder of its user alone, made where it is missing."""
    folder = Path(".tokenomics/reports")
    private.make_folder(folder)
    return folder / f"{week}.html"


def _plain(value: Any) -> Any:
    """For machines: amounts as exact decimals in text, instants in ISO 8601, what is not known as null."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(one) for one in value]
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, Decimal):
        return f"{value:f}"
    return value.isoformat() if isinstance(value, date | datetime) else value
