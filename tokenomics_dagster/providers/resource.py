"""What the resources of all providers have in common: how one lives in a run, and that it is the one that is meant.

Where orders go and what they rest on is decided by settings and environment alone, for there the four facts of live
trading are compared: the Launchpad does not show those fields. What only changes a pace may be edited there for a run.
"""

import threading
from abc import abstractmethod
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, Self, TypeVar

import dagster as dg
from pydantic import Field, PrivateAttr

from tokenomics_dagster.kit.resources import SettingsResource
from tokenomics_dagster.providers.errors import ProviderError
from tokenomics_dagster.providers.pacing import Pacer
from tokenomics_dagster.providers.usage import keep_usage
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.environment import Environment, load_environment
from tokenomics_dagster.settings.section import SettingsError

if TYPE_CHECKING:
    from tokenomics_dagster.providers.transport import PacedAdapter

T = TypeVar("T")

_PACES = frozenset({"calls_per_minute", "max_calls_per_second", "timeout_s", "max_attempts", "max_in_flight"})


class ProviderResource(dg.ConfigurableResource):
    """The client of one provider, connected at its first call and closed at the end of a run."""

    provider: ClassVar[str]

    timeout_s: float = Field(default=15.0, description="Seconds of silence within one answer.")
    deadline_s: float = Field(default=60.0, description="Seconds for one whole answer.")
    max_attempts: int = Field(default=5, description="Of a read, for what is transient.")
    # Not for the Launchpad: what a run's fields are compared with, and where the keys come from.
    settings_in_force: dg.ResourceDependency[SettingsResource | None] = None  # type: ignore[assignment]  # as Dagster reads it

    _lock: threading.Lock = PrivateAttr(default_factory=threading.Lock)
    _adapters: "dict[str, PacedAdapter]" = PrivateAttr(default_factory=dict)

    @classmethod
    @abstractmethod
    def from_settings(cls, settings: Settings, in_force: SettingsResource | None = None) -> Self:
        """The resource that settings and environment mean; a platform's runs are compared with what is `in_force`."""

    @abstractmethod
    def close(self) -> None:
        """Close the connections; the counters stay."""

    @property
    def calls(self) -> dict[str, int]:
        """HTTP calls so far by endpoint, retries counted."""
        return {endpoint: n for adapter in list(self._adapters.values()) for endpoint, n in adapter.calls.items()}

    @property
    def waited_s(self) -> float:
        """Seconds during which calls were held back to keep the pace."""
        return sum(adapter.pacer.waited_s for adapter in list(self._adapters.values()))

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        # A sensor must go on looking, and trades nothing.
        if context.run is not None and self.settings_in_force is not None:
            require_meant(self.provider.lower(), self, type(self).from_settings(self.settings_in_force.read()))

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        self.close()
        keep_usage(context, self.provider, self.calls, self.waited_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _environment(self, *names: str) -> Environment:
        """What the platform was built with; outside of one the process's, of which `names` are asked."""
        if self.settings_in_force is not None:
            return self.settings_in_force.built_with.environment
        return load_environment(of=names)

    def _adapter(
        self, api: str, url: str, pacer: Pacer, *, connections: int, secrets: Mapping[str, str]
    ) -> "PacedAdapter":
        """That of one API, made once: with its counters and its pace it outlives the connections."""
        from tokenomics_dagster.providers.transport import PacedAdapter, Patience

        if api not in self._adapters:
            self._adapters[api] = PacedAdapter(
                self.provider,
                url,
                pacer,
                Patience(self.timeout_s, self.deadline_s, self.max_attempts),
                connections=connections,
                secrets=secrets,
            )
        return self._adapters[api]


def guarded(call: Callable[[], T]) -> T:
    """The result of `call`; its errors without traceback, as the frames below hold keys in local variables, which
    some tools print."""
    try:
        return call()
    except (ProviderError, SettingsError) as error:
        failure = error.with_traceback(None)
    raise failure


def paces_alone(resource: ProviderResource) -> dg.ResourceDefinition:
    """The resource as the Launchpad shows it: of its fields a run's config can hold the paces alone, and another one is
    refused before the run begins."""
    fields = type(resource).model_fields
    kept = {name: getattr(resource, name) for name in fields.keys() - _PACES - {"settings_in_force"}}
    paces = {
        name: dg.Field(
            int if fields[name].annotation is int else float,
            default_value=getattr(resource, name),
            is_required=False,
            description=fields[name].description,
        )
        for name in sorted(fields.keys() & _PACES)
    }
    return resource.get_resource_definition().configured(lambda edited: {**kept, **edited}, config_schema=paces)


def difference(found: dg.ConfigurableResource, meant: dg.ConfigurableResource) -> str | None:
    """Where two resources of one class differ in what is asked or of whom; None when they do not."""
    fields = sorted(set(type(meant).model_fields) - _PACES - {"settings_in_force"})
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
