"""The world behind the APIs: its options, its parts put together, and its saved state.

How it is reached (server.py), administered (admin.py) and guarded (gate.py) stays out.
"""

import dataclasses
import json
import os
import re
import tempfile
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal

import pydantic

from tokenomics_dagster.sandbox.broker import Broker
from tokenomics_dagster.sandbox.clock import SandboxClock
from tokenomics_dagster.sandbox.faults import Faults
from tokenomics_dagster.sandbox.finnhub_api import PREFIX
from tokenomics_dagster.sandbox.generated import generate
from tokenomics_dagster.sandbox.market import Announcement, Delisted, Instrument, Market
from tokenomics_dagster.sandbox.replay import replay
from tokenomics_dagster.sandbox.sessions import Sessions

HOST: Final = "127.0.0.1"
OPENED_SINCE = timedelta(minutes=35)  # the clock starts this long after the first open after the market's session


class SandboxError(Exception):
    """The sandbox cannot start, go on or be administered; the message says what was wrong and what to do."""


class SandboxOptions(pydantic.BaseModel):
    """What the sandbox is started with. `replay` is a recorded market's folder; without it the market is generated.

    The options of the market (`replay`, `seed`, `listings`, `volatility_pct`, `spread_bps`) and `cash` may be left out:
    a saved `state` then decides, and without one the defaults (2026, 8000, 0 %, 2 bps, 100,000 USD). `now` defaults to
    the saved instant, or 35 minutes after the first open after the market's session. Limits are "60/min" or "30/s".
    `host` 0.0.0.0 lets other machines in, by the keys; the administration, which needs none, answers this one alone. A
    process that is killed loses what came after it saved, which it does at its end and each `save_every_s` seconds.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    port: int = pydantic.Field(default=8790, ge=0, le=65535)
    replay: Path | None = None
    seed: int | None = pydantic.Field(default=None, ge=0)
    listings: int | None = None
    volatility_pct: float | None = pydantic.Field(default=None, ge=0, le=50)
    spread_bps: float | None = pydantic.Field(default=None, ge=0, le=1000)
    cash: Decimal | None = pydantic.Field(default=None, ge=0, decimal_places=2)
    now: pydantic.AwareDatetime | None = None
    fill_delay_s: float = pydantic.Field(default=0.05, ge=0)
    faults: Path | None = None
    finnhub_limit: tuple[str, ...] = ()
    trading_limit: tuple[str, ...] = ()
    finnhub_key: pydantic.SecretStr = pydantic.SecretStr("sandbox")
    alpaca_key: pydantic.SecretStr = pydantic.SecretStr("PKSANDBOX")
    alpaca_secret: pydantic.SecretStr = pydantic.SecretStr("sandbox-secret")
    state: Path | None = None
    host: Literal["127.0.0.1", "0.0.0.0"] = HOST  # noqa: S104  who asks for it
    save_every_s: int | None = pydantic.Field(default=None, ge=1)

    @pydantic.field_validator("finnhub_limit", "trading_limit")
    @classmethod
    def _limits(cls, limits: tuple[str, ...]) -> tuple[str, ...]:
        for limit in limits:
            if not re.fullmatch(r"[1-9]\d*/(s|min)", limit):
                raise ValueError(f"{limit!r} is not a rate; a number per s or min is allowed, e.g. 60/min or 30/s")
        return limits

    @pydantic.field_serializer("finnhub_key", "alpaca_key", "alpaca_secret", when_used="json")
    def _reveal(self, secret: pydantic.SecretStr) -> str:
        return secret.get_secret_value()  # to the child process, over a pipe

    @classmethod
    def of(cls, **values: Any) -> "SandboxOptions":
        """The same as the constructor, with one sentence as error."""
        try:
            return cls(**values)
        except pydantic.ValidationError as error:
            raise SandboxError(_explain(error)) from None

    def environment(self, port: int) -> dict[str, str]:
        """The variables that make the platform talk to a sandbox on this port."""
        root = f"http://{HOST}:{port}"
        return {
            "FINNHUB_BASE_URL": f"{root}{PREFIX}",
            "FINNHUB_API_KEY": self.finnhub_key.get_secret_value(),
            "ALPACA_TRADING_URL": root,
            "ALPACA_DATA_URL": root,
            "ALPACA_API_KEY": self.alpaca_key.get_secret_value(),
            "ALPACA_SECRET_KEY": self.alpaca_secret.get_secret_value(),
        }


SECRETS = ("finnhub_key", "alpaca_key", "alpaca_secret")
INSTRUMENT = pydantic.TypeAdapter(Instrument)
INSTRUMENT_FIELDS = {field.name: field.type for field in dataclasses.fields(Instrument)}
DEFAULTS: dict[str, Any] = {
    "replay": None,
    "seed": 2026,
    "listings": 8000,
    "volatility_pct": 0.0,
    "spread_bps": 2.0,
    "cash": "100000.00",
}


class _Saved(pydantic.BaseModel):
    """What a state file holds."""

    model_config = pydantic.ConfigDict(extra="forbid")

    version: Literal[1, 2]
    """2 knows corporate actions; 1 is read as a world without any."""
    source: dict[str, Any]
    now: pydantic.AwareDatetime
    changed: list[dict[str, Any]]
    removed: list[str]
    prices: dict[str, list[tuple[pydantic.AwareDatetime, Decimal]]]
    broker: dict[str, Any]
    delisted: dict[str, tuple[dict[str, Any], Decimal | None]] = {}
    renamed: dict[str, str] = {}
    announcements: list[Announcement] = []

    @pydantic.field_validator("source")
    @classmethod
    def _whole(cls, source: dict[str, Any]) -> dict[str, Any]:
        if source.keys() != DEFAULTS.keys():
            raise ValueError(f"{', '.join(DEFAULTS)} are expected")
        return source


class Sandbox:
    """The world in one place: market, clock, faults and broker, built from options and from what was saved."""

    def __init__(self, options: SandboxOptions) -> None:
        self.options = options
        saved = _load(options.state) if options.state and options.state.exists() else None
        given = options.model_dump(mode="json", include=set(DEFAULTS), exclude_none=True)
        if options.replay is not None:
            given["replay"] = str(options.replay.resolve())
        if options.cash is not None:
            given["cash"] = f"{options.cash:.2f}"
        self.source = {**DEFAULTS, **given} if saved is None else _agreed(saved.source, given, options.state)
        self.faults = Faults(_read_faults(options.faults))
        self.market = _market(self.source)
        self._pristine = self.market.instruments
        now = options.now or (saved.now if saved else _start(self.market))
        try:
            self.clock = SandboxClock(in_calendar(now))
        except ValueError as error:
            raise SandboxError(f"now: {error}") from None
        self.broker = Broker(
            self.market,
            self.clock,
            Sessions(),
            self.faults,
            cash=Decimal(str(self.source["cash"])),
            fill_delay_s=options.fill_delay_s,
        )
        if saved is not None:
            self._restore(saved)

    def save(self) -> Path:
        """Write the state, wholly or not at all; SandboxError if there is nowhere to, or it fails."""
        path = self.options.state
        if path is None:
            raise SandboxError("nothing was saved: the sandbox was started without a state file (--state FILE)")
        changed = [one for one in self.market.instruments.values() if self._pristine.get(one.symbol) is not one]
        state = _Saved(
            version=2,
            source=self.source,
            now=self.clock.now(),
            changed=[instrument_to_json(one) for one in changed],
            removed=sorted(self._pristine.keys() - self.market.instruments.keys()),
            prices={
                symbol: [(step.since, step.price) for step in steps] for symbol, steps in self.market.steps().items()
            },
            broker=self.broker.to_state(),
            delisted={
                symbol: (instrument_to_json(one.instrument), one.price) for symbol, one in self.market.delisted.items()
            },
            renamed=self.market.renamed,
            announcements=self.market.announcements,
        )
        try:
            with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
                try:
                    file.write(state.model_dump_json())
                    file.flush()
                    os.fsync(file.fileno())
                    Path(file.name).replace(path)
                except BaseException:
                    Path(file.name).unlink(missing_ok=True)
                    raise
        except OSError as error:
            raise SandboxError(f"state file {path}: cannot be written: {error.strerror}") from None
        return path

    def _restore(self, saved: _Saved) -> None:
        try:
            for one in saved.changed:
                self.market.put(instrument_from_json(one, None))
            for symbol in saved.removed:
                self.market.remove(symbol)
            for symbol, steps in saved.prices.items():
                for since, price in steps:
                    self.market.set_price(symbol, price, since)
            self.market.delisted = {
                symbol: Delisted(instrument_from_json(one, None), price)
                for symbol, (one, price) in saved.delisted.items()
            }
            self.market.renamed = saved.renamed
            self.market.announcements = saved.announcements
            self.broker.load_state(saved.broker)
        except (KeyError, ValueError) as error:
            raise SandboxError(f"state file {self.options.state}: {error!r}; delete it to start anew") from None


def in_calendar(at: datetime) -> datetime:
    """The same instant; ValueError if there is no session before it and after it."""
    sessions = Sessions()
    sessions.last_opened(at)
    sessions.next_open(at)
    return at


def _load(path: Path) -> _Saved:
    try:
        return _Saved.model_validate_json(path.read_text())
    except pydantic.ValidationError as error:
        reasons = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'file'}: {one['msg']}" for one in error.errors()[:3])
        raise SandboxError(f"state file {path}: {reasons}; delete it to start anew") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SandboxError(f"state file {path}: cannot be read: {error}; delete it to start anew") from None


def _agreed(source: dict[str, Any], given: dict[str, Any], path: Path | None) -> dict[str, Any]:
    for key, value in given.items():
        if source.get(key) != value:
            raise SandboxError(
                f"{key}: {value!r} does not agree with the state file {path}, which holds {source.get(key)!r}; "
                "leave the option out to go on from there, or delete the file to start anew"
            )
    return source


def _market(source: dict[str, Any]) -> Market:
    looks = {"volatility_pct": source["volatility_pct"], "spread_bps": source["spread_bps"]}
    try:
        if source["replay"]:
            return replay(Path(source["replay"]), seed=source["seed"], **looks)
        return generate(source["seed"], source["listings"], **looks)
    except ValueError as error:
        raise SandboxError(str(error)) from None


def _start(market: Market) -> datetime:
    _, following, *_ = Sessions().sessions(market.anchor, market.anchor + timedelta(days=14))
    return following.open + OPENED_SINCE


def _read_faults(path: Path | None) -> Any:
    if path is None:
        return ()
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SandboxError(f"faults file {path}: cannot be read as JSON: {error}") from None


def _explain(error: pydantic.ValidationError) -> str:
    reasons = []
    for one in error.errors():
        where = ".".join(str(part) for part in one["loc"])
        if one["type"] == "extra_forbidden":
            reasons.append(f"{where} is unknown; allowed are {', '.join(SandboxOptions.model_fields)}")
        else:
            shown = "" if where in SECRETS else f"{one['input']!r} is not allowed: "
            reasons.append(f"{where}: {shown}{one['msg']}")
    return "sandbox options: " + "; ".join(reasons)


def instrument_to_json(one: Instrument) -> dict[str, Any]:
    """Every field of a listing, the Decimals as texts."""
    texts = {"price": str(one.price), "split_factor": str(one.split_factor)}
    return {**{field: getattr(one, field) for field in INSTRUMENT_FIELDS}, **texts}


def instrument_from_json(body: dict[str, Any], known: Instrument | None) -> Instrument:
    """A listing from its fields; those left out are taken from `known`. ValueError names what is wrong or absent."""
    if unknown := body.keys() - INSTRUMENT_FIELDS.keys():
        raise ValueError(f"{', '.join(sorted(unknown))} is unknown; allowed are {', '.join(INSTRUMENT_FIELDS)}")
    try:
        made = INSTRUMENT.validate_python({**(instrument_to_json(known) if known else {}), **body})
    except pydantic.ValidationError as error:
        raise ValueError("; ".join(f"{one['loc'][0]}: {one['msg']}" for one in error.errors())) from None
    if not made.symbol or not made.price.is_finite() or made.price <= 0 or made.volume < 0:
        raise ValueError("a symbol, a price above 0 USD and a volume of at least 0 are needed")
    return made
