"""Clock skew: what is stored by the broker's clock, against what that clock says now. Pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta

# The daemon's clock may be ahead of the broker's: without this a tick on the very minute would be lost, and with it a
# day, or a month.
CLOCK_SKEW = timedelta(minutes=1)


def ahead_of_clock(made: Mapping[str, datetime | None], now: datetime) -> str | None:
    """What is stored that the broker's clock has yet to reach: a clock that went back makes it count as done."""
    later = [f"{name} at {at:%Y-%m-%d %H:%M}" for name, at in made.items() if at and at > now + CLOCK_SKEW]
    if not later:
        return None
    return f"the broker's clock says {now:%Y-%m-%d %H:%M} UTC, but there is already {', '.join(later)} UTC"
