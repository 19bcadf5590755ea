"""The page of a rebalanced week, for a person and for machines: what is stored of it, told anew each time."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from tokenomics_dagster.operations.common import open_store
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.storage import private


@dataclass(frozen=True, slots=True)
class Reported:
    """Of a week, by its Monday: `summary` in two sentences, `page` as one HTML file, `document` for machines."""

    week: date
    summary: str
    page: str
    document: dict[str, Any]


def report(day: date | None = None) -> Reported:
    """Of the week that `day` lies in, without one of the last rebalanced. Raises NoReport, WarehouseError."""
    from tokenomics_dagster.reports.building import report_of
    from tokenomics_dagster.reports.page import page, summary
    from tokenomics_dagster.reports.week_records import records_of

    settings = load_settings(to_trade=False)
    with closing(open_store(settings)) as store:
        told = report_of(records_of(store, day))
    return Reported(told.week, summary(told), page(told, settings.alerts.ui_url), {**_plain(told)})


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
