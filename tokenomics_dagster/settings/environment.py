"""Secrets and addresses: environment variables and, in development, ./.env.

Nothing else reads the platform's variables, but for DAGSTER_HOME, which is Dagster's.
"""

import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from dotenv import dotenv_values
from dotenv.parser import parse_stream
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from tokenomics_dagster.model.extra import MissingExtra, require
from tokenomics_dagster.settings.addresses import (
    ENCODED,
    HOST,
    NO_CHANNEL,
    NO_DATABASE,
    NO_REDIS,
    is_address,
    is_channel,
    is_page,
)
from tokenomics_dagster.settings.section import SettingsError, reason

ENV_FILE = Path(".env")  # of the working directory, where dagster looks for it, too


class Environment(BaseSettings):
    """Secrets and addresses, from environment variables or, in development, a .env file; empty means unset.

    Read by `load_environment`, which knows of the file.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    finnhub_api_key: SecretStr | None = Field(None, description="key of the Finnhub account")
    finnhub_base_url: str = Field(
        "https://finnhub.io/api/v1", description="address of Finnhub's API; default https://finnhub.io/api/v1"
    )
    alpaca_api_key: SecretStr | None = Field(
        None, description="key of the Alpaca account: of a paper account, until you go live"
    )
    alpaca_secret_key: SecretStr | None = Field(None, description="its other half")
    alpaca_trading_url: str | None = Field(
        None, description="address of Alpaca's trading API; default: the paper or the live host, as trading.paper says"
    )
    alpaca_data_url: str = Field(
        "https://data.alpaca.markets",
        description="address of Alpaca's market data; default https://data.alpaca.markets",
    )
    redis_url: SecretStr | None = Field(
        None, description="address of the Redis server to publish to; or REDIS_HOST, else nothing is published"
    )
    redis_host: str | None = Field(None, description="host alone of that server")
    redis_port: int = Field(6379, ge=1, le=65535, description="port on REDIS_HOST; default 6379")
    redis_password: SecretStr | None = Field(None, description="password on REDIS_HOST")
    tokenomics_database_url: SecretStr = Field(
        SecretStr("sqlite:///.tokenomics/warehouse.db"),
        description="database; default sqlite:///.tokenomics/warehouse.db, in production postgresql+psycopg2://user:password@host/database",
    )
    tokenomics_settings: Path | None = Field(
        None,
        description="settings file; default config/settings.yaml of this folder, else that of the checkout, else none",
    )
    tokenomics_lake: Path = Field(
        Path(".tokenomics/lake"), description="folder of the market data; default .tokenomics/lake"
    )
    tokenomics_live_account: str | None = Field(
        None, description="number of the account that may trade real money; needed with trading.paper: false"
    )
    alert_webhook_url: SecretStr | None = Field(None, description="webhook where problems and summaries are told")
    alert_urls: SecretStr | None = Field(
        None,
        description="more places where they are told: addresses of apprise (slack://, discord://, tgram://, mailtos:// "
        "...), several with spaces between; needs the extra [notify]",
    )
    healthcheck_url: SecretStr | None = Field(
        None, description="address that is asked for after each look that worked: a dead-man's switch (healthchecks.io)"
    )
    tokenomics_backup_max_age_hours: float | None = Field(
        None,
        gt=0,
        le=8_760,
        description="age of the last backup from which the metrics' rules tell of it; unset: nobody tells the database "
        "of backups, see operations",
    )
    tokenomics_code_url: str | None = Field(
        None,
        description="where the running commit can be read, for links to the code: https://github.com/OWNER/NAME/blob/COMMIT",
    )
    tokenomics_logs: str | None = Field(
        None, description='"-": logs as JSON lines to standard output; or the folder of application.jsonl and two more'
    )

    @model_validator(mode="before")
    @classmethod
    def _empty_is_unset(cls, values: dict[str, Any]) -> dict[str, Any]:
        # Only here, after the sources are merged; that they do not contradict each other was seen before.
        return {key: value for key, value in values.items() if value != ""}

    @field_validator("finnhub_base_url", "alpaca_trading_url", "alpaca_data_url", "tokenomics_code_url")
    @classmethod
    def _is_http(cls, url: str | None) -> str | None:
        return None if url is None else is_page(url)

    @field_validator("tokenomics_database_url")
    @classmethod
    def _is_database(cls, url: SecretStr) -> SecretStr:
        address = url.get_secret_value()
        embedded = address == "sqlite://" or address.startswith("sqlite:///")
        if not embedded and not is_address(address, "postgresql+psycopg2"):
            raise ValueError(NO_DATABASE)
        return url

    @field_validator("tokenomics_lake", mode="before")
    @classmethod
    def _is_folder(cls, folder: Any) -> Any:
        if "://" in str(folder):
            raise ValueError("must be a folder: an object store cannot be used yet")
        return folder

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not is_address(url.get_secret_value(), "redis", "rediss", "unix"):
            raise ValueError(NO_REDIS)
        return url

    @field_validator("redis_host")
    @classmethod
    def _is_host(cls, host: str | None) -> str | None:
        if host is not None and not re.fullmatch(HOST, host):
            raise ValueError("must be a host alone, an IPv6 address in []: the port stands in REDIS_PORT")
        return host

    @field_validator("alert_webhook_url", "healthcheck_url")
    @classmethod
    def _is_secret_page(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            address = url.get_secret_value()
            if not is_address(address, "http", "https") or not urlsplit(address).hostname:
                raise ValueError(f"is not an address of the web: write https://HOST/PATH, {ENCODED}")
        return url

    @field_validator("alert_urls")
    @classmethod
    def _are_channels(cls, urls: SecretStr | None) -> SecretStr | None:
        """Only how they look: what apprise makes of them costs half a second, and is said by `tokenomics check`."""
        for place, address in enumerate(urls.get_secret_value().split() if urls else (), start=1):
            if not is_channel(address):
                raise ValueError(NO_CHANNEL.format(place=place))
        if urls is not None:
            try:
                require("apprise", extra="notify", what="it")
            except MissingExtra as error:
                raise ValueError(f"cannot be used: {error}") from None
        return urls

    def secret(self, name: str) -> str:
        """The value of the secret variable `name`; SettingsError when it is not set."""
        value = getattr(self, name.lower())
        if value is None:
            raise SettingsError(f"{name} is not set: export it, or put it into .env (see .env.example)")
        return str(value.get_secret_value())

    def secrets(self) -> tuple[str, ...]:
        """All secret values that are set, for tests and redaction."""
        values = (getattr(self, name) for name in type(self).model_fields)
        known = [value.get_secret_value() for value in values if isinstance(value, SecretStr)]
        return tuple(dict.fromkeys([*known, *(one.get_secret_value() for one in self.alert_addresses)]))

    @property
    def alert_addresses(self) -> tuple[SecretStr, ...]:
        """Each of ALERT_URLS, in their order."""
        return () if self.alert_urls is None else tuple(map(SecretStr, self.alert_urls.get_secret_value().split()))

    @property
    def redis(self) -> str | None:
        """Address of the Redis server, None when none is configured."""
        if self.redis_url is not None:
            return self.redis_url.get_secret_value()
        if self.redis_host is None:
            return None
        password = self.redis_password.get_secret_value() if self.redis_password else ""
        login = f":{quote(password, safe='')}@" if password else ""
        return f"redis://{login}{self.redis_host}:{self.redis_port}/0"


def load_environment(of: Collection[str] = ()) -> Environment:
    """The variables and those of ./.env. Raises SettingsError where one is wrong, or the two differ in it.

    With `of` only those count, for who needs no other: what is wrong in another has its default.

    `dagster` loads ./.env over its environment, empty lines too (dagster/_cli/utils.py), and hands that to its code
    servers and runs: there the file wins and the other value is gone. pydantic, and whoever exports a variable, mean
    the reverse. A command must not look at another database or account than the runs beside it, so nothing wins.
    """
    given, written = _given(), _written(of)
    differing = sorted(name for name in written if name in given and given[name] != written[name])
    if differing := [name for name in differing if not of or name in of]:
        raise SettingsError(
            f"{', '.join(differing)}: the environment says one thing and {ENV_FILE.absolute()} another, and dagster "
            "follows the file: unset the variable, or make the two equal"
        )
    try:
        return Environment(_env_file=ENV_FILE)
    except ValidationError as error:
        wrong = {str(e["loc"][0]): reason(e) for e in error.errors()}
    if of and wrong.keys().isdisjoint(name.lower() for name in of):
        defaults = {name: Environment.model_fields[name].default for name in wrong}
        return Environment(_env_file=ENV_FILE, **defaults)
    raise SettingsError("environment: " + "; ".join(f"{name.upper()} {reason}" for name, reason in wrong.items()))


@contextmanager
def only(values: Mapping[str, str]) -> Iterator[None]:
    """This process knows these variables in place of its own, and no .env beside it: real keys there would be used."""
    global ENV_FILE
    environment, file = dict(os.environ), ENV_FILE
    for name in environment:
        if name.lower() in Environment.model_fields:  # in letters of any case, as they are read
            del os.environ[name]
    os.environ.update(values)
    ENV_FILE = Path(os.devnull)
    try:
        yield
    finally:
        ENV_FILE = file
        os.environ.clear()
        os.environ.update(environment)


def source_of(name: str) -> str:
    """Where the value of the variable `name` comes from, as a person is told; where both have it they are equal."""
    given, written = _given().get(name), _written((name,)).get(name)
    places = ["the environment"] if given else []
    places += [str(ENV_FILE.absolute())] if written else []
    return " and ".join(places) or "the default"


def said_of(name: str) -> tuple[str, str]:
    """What the environment and ./.env say of the variable `name`, each "" where it says nothing."""
    return _given().get(name, ""), _written((name,)).get(name, "")


def _given() -> dict[str, str]:
    return {name.upper(): value for name, value in os.environ.items() if name.lower() in Environment.model_fields}


def _written(of: Collection[str] = ()) -> dict[str, str]:
    """Raises SettingsError where a line that may mean a variable (one of `of`, if given) is not understood."""
    if not ENV_FILE.is_file():
        return {}
    try:
        text = ENV_FILE.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{ENV_FILE.absolute()} cannot be read ({error}): correct or remove it") from None
    if wrong := _misunderstood(text, of):
        raise SettingsError(f"{ENV_FILE.absolute()}: {'; '.join(wrong)}; correct it, or make it a comment")
    lines = dotenv_values(stream=StringIO(text))
    return {name.upper(): value or "" for name, value in lines.items() if name.lower() in Environment.model_fields}


def _misunderstood(text: str, of: Collection[str]) -> list[str]:
    """The lines that their reader leaves out, so that a default would hold in place of what a person has written.

    Of a line only its number is told and, where it has one, its name: the rest may be a secret.
    """
    ours = {name.upper() for name in Environment.model_fields}
    meant, wrong = set(of) or ours, []
    for binding in parse_stream(StringIO(text)):
        line, name = f"line {binding.original.line}", (binding.key or "").upper()
        if binding.error and (not of or any(one in binding.original.string.upper() for one in meant)):
            wrong.append(f'{line} is not understood, only NAME=value and NAME="value" are')
        elif name and binding.value is None and any(one.startswith(name) for one in meant):
            wrong.append(f"{line} ends before a =")
        elif name and name not in ours:
            # One letter too many, too few or another; whose first word is the platform's can mean nothing else.
            close = [one for one in get_close_matches(name, meant, cutoff=0.88) if abs(len(one) - len(name)) <= 1]
            if close or (name.startswith("TOKENOMICS_") and not of):
                hint = f"; did you mean {close[0]}?" if close else ""
                wrong.append(f"{line}: {name} is no variable of the platform{hint}")
    return wrong
