"""How problems are told."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from tokenomics_dagster.settings.addresses import is_page
from tokenomics_dagster.settings.section import Section


class AlertSettings(Section):
    format: Literal["slack", "json"]
    ui_url: Annotated[str, Field(pattern=r"^https?://[^\s/]+\S*$"), AfterValidator(is_page)]
    repeat_hours: Annotated[float, Field(gt=0, le=8_760, allow_inf_nan=False)]
