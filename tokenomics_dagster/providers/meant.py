"""Whether a provider's resource is the one that settings and environment mean: the Launchpad can edit its fields.

Where orders go and what they rest on is decided by settings and environment alone, for there the four facts of live
trading are compared. What only changes a pace may be edited for a run.
"""

from __future__ import annotations

import dagster as dg

from tokenomics_dagster.settings import SettingsError

_PACES = frozenset({"calls_per_minute", "max_calls_per_second", "timeout_s", "max_attempts", "max_in_flight"})


def difference(found: dg.ConfigurableResource, meant: dg.ConfigurableResource) -> str | None:
    """Where two resources of one class differ in what is asked or of whom; None when they do not."""
    fields = sorted(set(type(meant).model_fields) - _PACES)
    differing = [
        f"{field} = {getattr(found, field)!r} instead of {getattr(meant, field)!r}"
        for field in fields
        if getattr(found, field) != getattr(meant, field)
    ]
    return "; ".join(differing) or None


def require_meant(name: str, found: dg.ConfigurableResource, meant: dg.ConfigurableResource) -> None:
    """Raises SettingsError when the resource `name` of a run is not what settings and environment make of it."""
    differing = difference(found, meant)
    if differing is not None:
        raise SettingsError(
            f"the resource {name} of this run has {differing}: settings and environment decide that, no run config; "
            f"leave resources.{name} out of it, or restart the code server if the settings were changed since"
        )
