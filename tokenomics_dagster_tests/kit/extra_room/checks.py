"""Whether moods are sound."""

import pandas as pd

from tokenomics_dagster.kit.checks import SCHEMA, Finding, Rule

MOODS = (SCHEMA, Rule("varied", "Not every stock has the same mood.", "tells"))


def check_moods(frame: pd.DataFrame) -> list[Finding]:
    values = frame["mood"].nunique()
    return [Finding("varied", values > 1, f"{values} different moods", {"values": values})]
