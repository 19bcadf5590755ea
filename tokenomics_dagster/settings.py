"""The platform's settings: config/settings.yaml and the environment, read into one frozen `Settings`.

Nothing else reads the environment or the YAML file. Only values and their limits belong here, no behaviour.
"""

import os
import re
from collections.abc import Collection
from datetime import date
from decimal import Decimal
from difflib import get_close_matches
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import quote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from croniter import CroniterBadDateError, croniter
from dotenv import dotenv_values
from dotenv.parser import parse_stream
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

# Every number has two ends: beyond them it is a slip, and the dates and pauses that are computed with it overflow.
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Change = Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False)]  # percent or basis points, of what may multiply
Days = Annotated[float, Field(gt=0, le=3_650, allow_inf_nan=False)]
DaysOrNone = Annotated[float, Field(ge=0, le=3_650, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0.001, le=3_600, allow_inf_nan=False)]
SecondsOrNone = Annotated[float, Field(ge=0, le=3_600, allow_inf_nan=False)]
CallsPerMinute = Annotated[float, Field(ge=1, le=1_000_000, allow_inf_nan=False)]
Attempts = Annotated[int, Field(ge=1, le=20)]
Names = Annotated[int, Field(ge=1, le=20_000)]  # all exchanges together list fewer
Size = Annotated[float, Field(gt=0, le=1e12, allow_inf_nan=False)]  # of a metric
Exchange = Literal["NYSE", "NASDAQ", "AMEX"]
SecurityType = Literal[
    "ADR", "Closed-End Fund", "Common Stock", "Dutch Cert", "ETP", "GDR", "Ltd Part", "MLP", "NVDR", "NY Reg Shrs",
    "Preference", "REIT", "Royalty Trst", "Savings Share", "Stapled Security", "Tracking Stk", "Unit",
]  # fmt: skip

ENV_FILE = Path(".env")  # of the working directory, where dagster looks for it, too
PAPER_TRADING_URL = "https://paper-api.alpaca.markets"
LIVE_TRADING_URL = "https://api.alpaca.markets"
_WEBHOOK = "ALERT_WEBHOOK_URL"

_HOST = r"[^\s@/?#:\[\]]+|\[[0-9A-Fa-f:.]+\]"
# Stricter than those who take an address apart: they put what stands before a stray @, : or / of a password into the
# port or the host, and the sentence in which they complain quotes it.
_ADDRESS = re.compile(
    rf"(?P<scheme>[a-z0-9+]+)://(?:(?P<login>[^\s@/?#]*)@)?(?P<host>{_HOST})?(?::[0-9]+)?(?P<rest>[/?#]\S*)?"
)
_ENCODED = "with what is special in user or password percent-encoded (@ as %40, : as %3A, / as %2F, % as %25)"
NO_DATABASE = (
    "is not a database address: write sqlite:///FILE or postgresql+psycopg2://USER:PASSWORD@HOST:PORT/DATABASE "
    f"(other kinds are not known), {_ENCODED}"
)
NO_REDIS = (
    "is not a Redis address: write redis://:PASSWORD@HOST:PORT/0 (or rediss://, unix:// instead of redis://), "
    f"{_ENCODED}"
)


class SettingsError(ValueError):
    """The settings or the environment are wrong; the text names the key, the value and what is allowed."""


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class UniverseSettings(Section):
    size: Names
    exchanges: Annotated[tuple[Exchange, ...], Field(min_length=1)]
    security_types: Annotated[tuple[SecurityType, ...], Field(min_length=1)]
    one_share_class_per_issuer: bool
    share_count_drift_pct: Annotated[float, Field(ge=0, lt=100, allow_inf_nan=False)]
    share_count_max_age_days: Days
    max_cap_disagreement_pct: Change
    profile_max_age_days: DaysOrNone
    leave_after_refreshes: Annotated[int, Field(ge=1, le=100)]


class LinearScore(Section):
    weight: Percent
    worst: Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]
    best: Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]

    @model_validator(mode="after")
    def _has_a_range(self) -> Self:
        if self.worst == self.best:
            raise ValueError("worst and best must differ")
        return self


class ScoreSettings(Section):
    roe_pct: LinearScore
    debt_to_equity: LinearScore
    growth_pct: LinearScore

    @model_validator(mode="after")
    def _weights_add_up(self) -> Self:
        total = self.roe_pct.weight + self.debt_to_equity.weight + self.growth_pct.weight
        if abs(total - 100) > 1e-9:
            raise ValueError(f"the weights must add up to 100, not {total:g}")
        return self


class Band(Section):
    low: Size
    high: Size

    @model_validator(mode="after")
    def _has_room(self) -> Self:
        if self.low >= self.high:
            raise ValueError("low must be under high")
        return self


class MetricBands(Section):
    roe_ttm_pct: Band
    debt_to_equity: Band
    revenue_growth_yoy_pct: Band
    eps_growth_yoy_pct: Band
    book_value_per_share: Band
    market_cap_musd: Band


class PlausibleSizes(Section):
    roe_ttm_pct: Size
    debt_to_equity: Size
    revenue_growth_yoy_pct: Size
    eps_growth_yoy_pct: Size
    book_value_per_share: Size


class FundamentalsSettings(Section):
    refresh_days: DaysOrNone
    max_report_age_days: Days
    score: ScoreSettings
    bands: MetricBands
    plausible: PlausibleSizes


class RebalancingSettings(Section):
    top_n_stocks: Names
    weighting: Literal["score", "equal"]
    max_position_pct: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]
    min_score: Percent
    rebalance_threshold_pct: Percent
    min_trade_usd: Annotated[float, Field(ge=1, le=1e6, allow_inf_nan=False)]  # the broker refuses buys under 1 USD
    cash_buffer_pct: Annotated[float, Field(ge=0, lt=100, allow_inf_nan=False)]
    first_week: date

    @field_validator("first_week")
    @classmethod
    def _is_a_monday(cls, day: date) -> date:
        if day.weekday() != 0:
            raise ValueError("must be a Monday")
        return day

    def least_drift(self, target_value: Decimal) -> Decimal:
        """The smallest drift from a target that is meant to be traded, USD; exits are, whatever they are worth."""
        threshold = Decimal(str(self.rebalance_threshold_pct)) / 100 * target_value
        return max(threshold, Decimal(str(self.min_trade_usd)))


class TradingSettings(Section):
    paper: bool
    market_hours_only: bool
    approval: Literal["auto", "manual"]
    order_type: Literal["market", "limit"]
    limit_collar_bps: Annotated[float, Field(ge=0, le=1_000, allow_inf_nan=False)]
    foreign_orders: Literal["skip", "cancel"]
    poll_interval_s: Seconds
    settle_timeout_s: Seconds
    cancel_timeout_s: Seconds
    cash_timeout_s: SecondsOrNone
    lookup_grace_s: SecondsOrNone


class FinnhubSettings(Section):
    calls_per_minute: CallsPerMinute
    max_calls_per_second: Annotated[float, Field(ge=0.1, le=100_000, allow_inf_nan=False)]
    timeout_s: Seconds
    deadline_s: Seconds
    max_attempts: Attempts
    max_in_flight: Annotated[int, Field(ge=1, le=10_000)]


class AlpacaSettings(Section):
    calls_per_minute: CallsPerMinute
    timeout_s: Seconds
    deadline_s: Seconds
    max_attempts: Attempts
    data_feed: Literal["iex", "sip", "delayed_sip"]
    symbols_per_call: Annotated[int, Field(ge=1, le=200)]


class GuardSettings(Section):
    min_universe_pct: Percent
    max_failed_pct: Percent
    min_fetched_pct: Percent
    min_scored_pct: Percent
    max_score_age_days: Days
    max_plan_age_min: Annotated[
        float, Field(gt=0, le=10_080, allow_inf_nan=False)
    ]  # a week: then there is another plan
    max_quote_age_s: Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
    max_unpriced_pct: Percent
    max_spread_bps: Change
    max_price_move_pct: Change
    max_plan_price_move_pct: Change
    max_bad_quotes_pct: Percent
    min_flawed_names: Names
    min_minutes_to_close: Annotated[float, Field(ge=0, le=390, allow_inf_nan=False)]  # a session is as long
    max_turnover_pct: Change
    max_exits: Annotated[int, Field(ge=0, le=20_000)]
    max_sold_pct: Percent
    max_daily_loss_pct: Percent
    max_drawdown_pct: Percent
    max_cash_difference_usd: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
    max_untraded_pct: Percent
    ignored_untraded_pct: Percent
    max_cash_off_pct: Percent
    max_shrink_pct: Percent
    max_universe_turnover_pct: Percent
    max_median_cap_change_pct: Change
    max_quarantined_pct: Percent
    max_doubtful_pct: Percent
    max_missing_pct: Percent
    max_same_value_pct: Percent
    max_failing_days: DaysOrNone
    max_twins_pct: Percent
    max_unit_change_pct: Percent
    max_lost_pct: Percent
    max_lost_weight_pct: Percent
    least_names: Names
    max_mean_score_shift: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]
    min_rank_correlation: Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]
    min_names: Names
    max_industry_pct: Percent
    max_drift_after_pct: Percent

    def too_many_flawed(self, names: int, of: int) -> bool:
        """Whether so many cannot be traded that it is no matter of these names: few never are, whatever their share."""
        return names >= self.min_flawed_names and 100 * names > self.max_bad_quotes_pct * of


def _is_address(text: str, *schemes: str) -> bool:
    """Whether all who take the address apart find the same user, password, host and port in it, and can."""
    found = _ADDRESS.fullmatch(text)
    if found is None or found["scheme"] not in schemes:
        return False
    # A password with a / in it ends what comes before; but an @ may stand in the path of a webhook (Teams').
    ends_later = "@" in (found["rest"] or "") and (found["login"] is not None or not found["scheme"].startswith("http"))
    try:
        return urlsplit(text).port != 0 and not ends_later
    except ValueError:  # a port over 65535, a sign that becomes one of @ : / when it is normalized
        return False


def _is_page(url: str) -> str:
    """`url` without a / at its end, where it is an address of the web that holds no secret; else ValueError."""
    if not _is_address(url, "http", "https") or not urlsplit(url).hostname:
        raise ValueError("must be an http(s) address: write https://HOST:PORT/PATH")
    parts = urlsplit(url)
    if parts.username or parts.password or parts.query:
        raise ValueError("must hold neither a user, a password nor a query: keys have variables of their own")
    return url.rstrip("/")


def _is_cron(expression: str) -> str:
    if len(expression.split()) != 5 or not croniter.is_valid(expression):
        raise ValueError('must be five cron fields (minute hour day month weekday) such as "0 2 * * 6"')
    try:
        croniter(expression).get_next()
    except CroniterBadDateError:
        raise ValueError("names a day that no month has") from None
    return expression


Cron = Annotated[str, AfterValidator(_is_cron)]


class ScheduleSettings(Section):
    timezone: str
    universe: Cron
    fundamentals: Cron
    rebalance: Cron
    rebalance_minutes_after_open: Annotated[int, Field(ge=0, le=180)]  # a half day is 210 minutes long
    purge: Cron
    sensors_every_s: Annotated[int, Field(ge=5, le=86_400)]

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("must be an IANA time zone such as America/New_York") from None
        return name

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)


class AlertSettings(Section):
    format: Literal["slack", "json"]
    ui_url: Annotated[str, Field(pattern=r"^https?://[^\s/]+\S*$"), AfterValidator(_is_page)]
    repeat_hours: Annotated[float, Field(gt=0, le=8_760, allow_inf_nan=False)]


class RetentionSettings(Section):
    runs_days: Annotated[
        float, Field(ge=14, le=3_650, allow_inf_nan=False)
    ]  # a sweep and a rebalance may still be looked into


class Environment(BaseSettings):
    """Secrets and addresses, from environment variables or, in development, a .env file; empty means unset.

    Read by `load_environment`, which knows of the file.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    finnhub_api_key: SecretStr | None = None
    finnhub_base_url: str = "https://finnhub.io/api/v1"
    alpaca_api_key: SecretStr | None = None
    alpaca_secret_key: SecretStr | None = None
    alpaca_trading_url: str | None = None
    alpaca_data_url: str = "https://data.alpaca.markets"
    redis_url: SecretStr | None = None
    redis_host: str | None = None
    redis_port: Annotated[int, Field(ge=1, le=65535)] = 6379
    redis_password: SecretStr | None = None
    tokenomics_database_url: SecretStr = SecretStr("sqlite:///.tokenomics/warehouse.db")
    tokenomics_settings: Path | None = None
    tokenomics_live_account: str | None = None
    alert_webhook_url: SecretStr | None = None
    tokenomics_code_url: str | None = None  # an image knows the commit that it was built from; no setting of a user's
    tokenomics_logs: str | None = None  # "-": JSON lines to standard output; else the folder for a file per stream

    @model_validator(mode="before")
    @classmethod
    def _empty_is_unset(cls, values: dict[str, Any]) -> dict[str, Any]:
        # Only here, after the sources are merged; that they do not contradict each other was seen before.
        return {key: value for key, value in values.items() if value != ""}

    @field_validator("finnhub_base_url", "alpaca_trading_url", "alpaca_data_url", "tokenomics_code_url")
    @classmethod
    def _is_http(cls, url: str | None) -> str | None:
        return None if url is None else _is_page(url)

    @field_validator("tokenomics_database_url")
    @classmethod
    def _is_database(cls, url: SecretStr) -> SecretStr:
        address = url.get_secret_value()
        embedded = address == "sqlite://" or address.startswith("sqlite:///")
        if not embedded and not _is_address(address, "postgresql+psycopg2"):
            raise ValueError(NO_DATABASE)
        return url

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not _is_address(url.get_secret_value(), "redis", "rediss", "unix"):
            raise ValueError(NO_REDIS)
        return url

    @field_validator("redis_host")
    @classmethod
    def _is_host(cls, host: str | None) -> str | None:
        if host is not None and not re.fullmatch(_HOST, host):
            raise ValueError("must be a host alone, an IPv6 address in []: the port stands in REDIS_PORT")
        return host

    @field_validator("alert_webhook_url")
    @classmethod
    def _is_webhook(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            address = url.get_secret_value()
            if not _is_address(address, "http", "https") or not urlsplit(address).hostname:
                raise ValueError(f"is not a webhook's address: write https://HOST/PATH, {_ENCODED}")
        return url

    def secret(self, name: str) -> str:
        """The value of the secret variable `name`; SettingsError when it is not set."""
        value = getattr(self, name.lower())
        if value is None:
            raise SettingsError(f"{name} is not set: export it, or put it into .env (see .env.example)")
        return str(value.get_secret_value())

    def secrets(self) -> tuple[str, ...]:
        """All secret values that are set, for tests and redaction."""
        values = (getattr(self, name) for name in type(self).model_fields)
        return tuple(value.get_secret_value() for value in values if isinstance(value, SecretStr))

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


class Settings(Section):
    universe: UniverseSettings
    fundamentals: FundamentalsSettings
    rebalancing: RebalancingSettings
    trading: TradingSettings
    finnhub: FinnhubSettings
    alpaca: AlpacaSettings
    guards: GuardSettings
    schedules: ScheduleSettings
    alerts: AlertSettings
    retention: RetentionSettings
    environment: Environment

    @model_validator(mode="after")
    def _trading_host_fits(self) -> Self:
        # A live host behind `paper: true`, or the reverse, is never what somebody meant.
        live = urlsplit(self.trading_url).hostname == urlsplit(LIVE_TRADING_URL).hostname
        if live and self.trading.paper:
            raise ValueError("trading.paper = true, but ALPACA_TRADING_URL is the live host: change one of them")
        return self

    @property
    def trading_url(self) -> str:
        """Address of Alpaca's trading API: ALPACA_TRADING_URL, or the host that trading.paper asks for."""
        return self.environment.alpaca_trading_url or (PAPER_TRADING_URL if self.trading.paper else LIVE_TRADING_URL)


class _UniqueKeyLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """SafeLoader keeps the last of two equal keys without a word; here a repeated key is an error.

    libyaml's takes 1 ms for the settings, which every asset reads, Python's own 8.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        repeated = {key for key in keys if keys.count(key) > 1}
        if repeated:
            raise yaml.MarkedYAMLError(problem=f"{min(repeated)} stands twice", problem_mark=node.start_mark)
        return dict(super().construct_mapping(node, deep))


def settings_path(environment: Environment) -> Path:
    """TOKENOMICS_SETTINGS, else config/settings.yaml of this folder, else that of the checkout the package lies in."""
    if environment.tokenomics_settings is not None:
        return environment.tokenomics_settings
    local = Path("config/settings.yaml")
    return local if local.exists() else Path(__file__).resolve().parent.parent / local


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
        wrong = {str(e["loc"][0]): _reason(e) for e in error.errors()}
    if of and wrong.keys().isdisjoint(name.lower() for name in of):
        defaults = {name: Environment.model_fields[name].default for name in wrong}
        return Environment(_env_file=ENV_FILE, **defaults)
    raise SettingsError("environment: " + "; ".join(f"{name.upper()} {reason}" for name, reason in wrong.items()))


def alert_webhook() -> str | None:
    """Where problems are told. Never an error: what is wrong with the settings must be told, too.

    Where environment and ./.env differ it is the environment's, by which this process has told so far.
    """
    try:
        written = _written((_WEBHOOK,))
    except SettingsError:
        written = {}
    return _given().get(_WEBHOOK) or written.get(_WEBHOOK) or None


def source_of(name: str) -> str:
    """Where the value of the variable `name` comes from, as a person is told; where both have it they are equal."""
    given, written = _given().get(name), _written((name,)).get(name)
    places = ["the environment"] if given else []
    places += [str(ENV_FILE.absolute())] if written else []
    return " and ".join(places) or "the default"


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


def load_settings(
    path: Path | None = None, overrides: dict[str, Any] | None = None, of: Collection[str] = ()
) -> Settings:
    """Reads and checks everything; `overrides` ("universe.size": 1000) replaces values of the file.

    Of the environment only the variables `of`, if given. Raises SettingsError with one line per mistake.
    """
    environment = load_environment(of)
    path = path or settings_path(environment)
    values = _read_yaml(path)
    for dotted, value in (overrides or {}).items():
        section, *rest = dotted.split(".")
        target = values.setdefault(section, {})
        for key in rest[:-1]:
            target = target.setdefault(key, {})
        target[rest[-1]] = value
    if "environment" in values:
        raise SettingsError(f"{path}: environment is not a key of this file: secrets come from environment variables")
    try:
        return Settings.model_validate({**values, "environment": environment})
    except ValidationError as error:
        # pydantic adds "too short" to a list whose wrong items it has dropped
        errors = [e for e in error.errors() if e["type"] != "too_short" or e["input"] in ([], ())]
        raise SettingsError("\n".join(f"{path}: {_describe(e)}" for e in errors)) from None


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read ({error}); set TOKENOMICS_SETTINGS to a readable file") from None
    try:
        values = yaml.load(text, _UniqueKeyLoader)  # noqa: S506  a SafeLoader with one more check
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "unknown place"
        raise SettingsError(f"{path}: not valid YAML at {where}: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict) or not all(isinstance(section, dict) for section in values.values()):
        raise SettingsError(f"{path}: must hold sections ({', '.join(sorted(_sections()))}), each with keys")
    return values


def _sections() -> set[str]:
    return set(Settings.model_fields) - {"environment"}


def _model_at(location: tuple[int | str, ...]) -> type[BaseModel] | None:
    model: type[BaseModel] = Settings
    for key in location:
        field = model.model_fields.get(str(key))
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            return None
        model = field.annotation
    return model


def _reason(error: Any) -> str:
    if error["type"] == "int_parsing_size":  # "unable to parse input string": there was no string
        return "must be a whole number of fewer digits"
    return str(error["msg"]).removeprefix("Value error, ").removeprefix("Input ").replace("should be", "must be")


def _describe(error: Any) -> str:
    location = error["loc"]
    key = ".".join(str(part) for part in location) or "settings"
    if error["type"] == "extra_forbidden":
        parent = _model_at(location[:-1])
        allowed = sorted((set(parent.model_fields) if parent else set()) - {"environment"})
        close = get_close_matches(str(location[-1]), allowed, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        return f"{key} = {error['input']!r} is not a known key{hint} Known here: {', '.join(allowed)}"
    if error["type"] == "missing":
        return f"{key} is missing"
    # An address may hold a password.
    hidden = isinstance(error["input"], dict | BaseModel) or "://" in str(error["input"])
    shown = "" if hidden else f" = {error['input']!r} is not allowed"
    return f"{key}{shown}: {_reason(error)}"
