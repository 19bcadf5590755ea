"""The first step with an account of one's own (`init`): keys are tried, then .env, DAGSTER_HOME and database are made.

Nothing is written before every key has worked, .env last and wholly. How a person is asked is the command's.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from tokenomics_dagster.kit.resources import SettingsResource
from tokenomics_dagster.model import calendar
from tokenomics_dagster.operations.common import OperationRefused, make_instance, named_home, open_store
from tokenomics_dagster.portfolio.room import first_week
from tokenomics_dagster.providers.alpaca.resource import AlpacaResource
from tokenomics_dagster.providers.errors import AuthenticationError, ProviderError
from tokenomics_dagster.providers.finnhub.resource import FinnhubResource
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.environment import ENV_FILE, Environment, said_of
from tokenomics_dagster.settings.loading import default_values, load_settings, settings_path
from tokenomics_dagster.storage import private

KEYS = {
    "FINNHUB_API_KEY": "key of Finnhub, from https://finnhub.io/dashboard",
    "ALPACA_API_KEY": "key of an Alpaca paper account, from its page at https://app.alpaca.markets",
    "ALPACA_SECRET_KEY": "its secret, shown once when the key is made",
}
_ADDRESSES = ("FINNHUB_BASE_URL", "ALPACA_TRADING_URL", "ALPACA_DATA_URL")
_HOME, _SETTINGS = Path(".tokenomics/dagster"), Path(".tokenomics/settings.yaml")
_OTHERS = tuple(name.upper() for name in Environment.model_fields if name.upper() not in KEYS)
# What a key is made of; whatever else is pasted would be another thing in .env, or break a header.
_KEY = re.compile(r"[A-Za-z0-9_./+=-]{1,200}")
_WELL_KNOWN = "AAPL"


class KeyRefused(OperationRefused):
    """A key does not work: which, and what to do. Nothing was written."""


@dataclass(frozen=True, slots=True)
class Tried:
    """The account that the keys belong to, `equity` in USD; whether Alpaca's data answers for a known stock; and the
    Monday of the running week, by the broker's clock."""

    number: str
    is_paper: bool
    equity: Decimal
    trading_host: str
    finnhub_host: str
    market: str
    week: date


@dataclass(frozen=True, slots=True)
class Known:
    """What environment and .env say of a key, "" where nothing; never shown."""

    environment: str = field(repr=False)
    file: str = field(repr=False)

    @property
    def contradicts(self) -> bool:
        return bool(self.environment and self.file and self.environment != self.file)


def known_keys() -> dict[str, Known]:
    """By variable. Raises SettingsError where .env cannot be read."""
    return {name: Known(*said_of(name)) for name in KEYS}


def try_keys(keys: Mapping[str, str]) -> Tried:
    """One harmless call to each API with these keys. Raises KeyRefused, and SettingsError for what else is wrong."""
    for name, value in keys.items():
        if not _KEY.fullmatch(value):
            raise KeyRefused(f"{name} is no key: it has {_flaw(value)}; copy it again. Nothing was written")
    settings = _settings_with(keys)
    in_force = SettingsResource(settings)
    host = urlsplit(settings.environment.finnhub_base_url).hostname or ""
    try:
        with FinnhubResource.from_settings(settings, in_force) as finnhub:
            finnhub.profile(_WELL_KNOWN)
        with AlpacaResource.from_settings(settings, in_force) as alpaca:
            account, clock = alpaca.account(), alpaca.clock()
            alpaca.snapshots([_WELL_KNOWN])
    except AuthenticationError as error:
        raise KeyRefused(_refusal(error, keys, settings)) from None
    except ProviderError as error:
        raise KeyRefused(f"the keys could not be tried, and nothing was written: {error}") from None
    market = "open" if clock.is_open else f"closed until {clock.next_open:%Y-%m-%d %H:%M} UTC"
    trading = urlsplit(settings.trading_url).hostname or ""
    week = calendar.week_of(clock.now)
    return Tried(account.number, settings.trading.paper, account.equity, trading, host, market, week)


def set_up(keys: Mapping[str, str], starter: int, week: date) -> Iterator[str]:
    """Makes the Dagster instance, the database, a settings file of its own and, last, .env with the keys; tells what
    was done. Whatever is there of .env stays, but for lines of these variables.

    The settings begin the weeks of the portfolio at `week`, its Monday, or at the first of which the database holds a
    decision: an earlier one was none of this account, and the UI would call it missing. With `starter` they begin with
    as many stocks.
    """
    from tokenomics_dagster.storage.warehouse import migrate

    home, settings = instance_home(), _settings_with(keys)
    if (home / "dagster.yaml").exists():
        yield f"{home} is a Dagster instance already, and stays as it is"
    else:
        make_instance(home)
        yield f"{home} is the Dagster instance"
    yield from migrate(settings.environment.tokenomics_database_url.get_secret_value())
    values = dict(keys) | _addresses()
    first = weeks_begin(settings, week)
    is_asked = bool(starter) and settings.universe.starter_size != starter
    if (file := _own_file(settings)) is not None:
        private.write_text(file, _document(starter if is_asked else 0, first))
        values["TOKENOMICS_SETTINGS"] = str(file)
        begun = f"a starter universe of {starter} stocks, grown to all by the next night; " if is_asked else ""
        yield f"{file} are your settings: {begun}the weeks of the portfolio begin with {first}"
    elif is_asked:
        yield (
            f"{settings_path(settings.environment)} has settings of your own, and was left as it is: for a starter "
            f"universe of {starter} stocks write starter_size: {starter} under universe there"
        )
    private.write_text(ENV_FILE, _env_with(values))
    yield f"{ENV_FILE.absolute()} has {', '.join(values)}; only you can read it"


def instance_home() -> Path:
    """DAGSTER_HOME, or where it will be."""
    return Path(named_home() or _HOME).absolute()


def _settings_with(keys: Mapping[str, str]) -> Settings:
    """The settings in force, with these keys in place of whatever environment and .env hold."""
    settings = load_settings(of=_OTHERS)
    secrets = {name.lower(): SecretStr(value) for name, value in keys.items()}
    return settings.model_copy(update={"environment": settings.environment.model_copy(update=secrets)})


def _flaw(value: str) -> str:
    return "no text" if not value else "more than 200 signs" if len(value) > 200 else "spaces or signs that no key has"


def _refusal(error: AuthenticationError, keys: Mapping[str, str], settings: Settings) -> str:
    named = " and ".join(error.variables)
    if "ALPACA_API_KEY" not in error.variables:
        host = urlsplit(settings.environment.finnhub_base_url).hostname
        return f"{named} is refused by {host}: copy it from https://finnhub.io/dashboard. Nothing was written"
    host = urlsplit(settings.trading_url).hostname
    text = f"{named} are refused by {host}: "
    if settings.trading.paper and not keys["ALPACA_API_KEY"].startswith("PK"):
        return (
            f"{text}ALPACA_API_KEY does not begin with PK, so it is a key of a live account, with real money; make one "
            "in the paper account, for this command never switches to live trading (trading.paper stays true). Nothing "
            "was written"
        )
    return f"{text}the secret belongs to another key, or the key was withdrawn; make a new pair. Nothing was written"


def _addresses() -> dict[str, str]:
    """Those that the environment names: keys belong to an address, and must not go to another one later."""
    return {name: given for name in _ADDRESSES if (given := said_of(name)[0])}


def weeks_begin(settings: Settings, running: date) -> date:
    """With which week the partitions of the portfolio are to begin: `portfolio.room.first_week`."""
    with closing(open_store(settings)) as store:
        return first_week(store, running)


def _own_file(settings: Settings) -> Path | None:
    """None where a person has settings of his own, which another file would hide."""
    own = settings.environment.tokenomics_settings is not None or _SETTINGS.exists()
    differs = settings.model_dump(exclude={"environment"}) != default_values()
    return None if own or differs else _SETTINGS.absolute()


def _document(starter: int, first_week: date) -> str:
    universe = f"universe: {{starter_size: {starter}}}\n" if starter else ""
    return (
        "# Written by `tokenomics init`: what differs from the defaults, all of which config/settings.yaml lists.\n"
        f"{universe}rebalancing: {{first_week: {first_week}}}\n"
        "...\n"
    )


def _env_with(values: Mapping[str, str]) -> str:
    """The text of .env with these lines in place of those of the same variables; new ones at its end."""
    lines = ENV_FILE.read_text(encoding="utf-8").splitlines() if ENV_FILE.is_file() else []
    left = dict(values)
    kept = []
    for line in lines:
        found = re.match(r"\s*(?:export\s+)?([A-Za-z_]\w*)\s*=", line)
        name = found[1].upper() if found else ""
        if name in values:
            if name in left:
                kept.append(f"{name}={left.pop(name)}")
            continue
        kept.append(line)
    return "\n".join([*kept, *(f"{name}={value}" for name, value in left.items())]) + "\n"
