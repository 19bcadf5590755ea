"""How problems are told, and what else."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from tokenomics_dagster.settings.addresses import is_page
from tokenomics_dagster.settings.section import Section


class AlertSettings(Section):
    format: Literal["slack", "json"] = Field(
        "slack",
        description='of ALERT_WEBHOOK_URL; slack: {"text": ...}; json: key, state, title, detail, action, link, count, '
        "at",
    )
    ui_url: Annotated[str, AfterValidator(is_page)] = Field(
        "http://127.0.0.1:3000",
        pattern=r"^https?://[^\s/]+\S*$",
        description="address of the Dagster UI that the links in alerts lead to",
    )
    repeat_hours: float = Field(
        24.0,
        gt=0,
        le=8_760,
        description="hours after which a problem that lasts is told again, with the number of times it was seen",
    )
    summaries: tuple[Literal["rebalance", "weekly"], ...] = Field(
        ("rebalance", "weekly"),
        description="what is told beside problems; rebalance: what was traded and why, once its report is stored; "
        "weekly: equity, costs and what comes next, in the message that says once a week where the audit ends",
    )
