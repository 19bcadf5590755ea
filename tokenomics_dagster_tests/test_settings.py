"""Settings: what is accepted, and that every refusal names the key, the value and what is allowed."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from tokenomics_dagster.definitions import ROOMS
from tokenomics_dagster.kit import timetable
from tokenomics_dagster.kit.room import House
from tokenomics_dagster.settings import Settings, SettingsError, load_environment, load_settings, source_of

REPOSITORY = Path(__file__).resolve().parents[1]
DEFAULTS = REPOSITORY / "config/settings.yaml"
SCHEMA = Settings.model_json_schema()


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch, tmp_path):
    for name in load_environment().model_fields_set:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


def test_the_seed_s_defaults_hold():
    settings = load_settings(DEFAULTS)
    rebalancing = settings.rebalancing
    assert (rebalancing.top_n_stocks, rebalancing.weighting, rebalancing.max_position_pct) == (100, "score", 5.0)
    assert (rebalancing.min_score, rebalancing.rebalance_threshold_pct, rebalancing.min_trade_usd) == (50.0, 20.0, 100)
    assert rebalancing.cash_buffer_pct == 0.25
    assert (settings.trading.paper, settings.trading.market_hours_only) == (True, True)
    assert (settings.universe.size, settings.universe.exchanges) == (1500, ("NYSE", "NASDAQ"))
    assert settings.guards.min_fetched_pct == 95
    assert settings.guards.min_scored_pct == 75
    assert settings.guards.max_failed_pct == 2


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ({"universe.sise": 3}, ["universe.sise", "3", "did you mean size?"]),
        ({"rebalancing.max_position_pct": 150}, ["rebalancing.max_position_pct", "150", "less than or equal to 100"]),
        ({"rebalancing.max_position_pct": 0}, ["rebalancing.max_position_pct", "0", "greater than 0"]),
        ({"universe.exchanges": ["LSE"]}, ["universe.exchanges", "LSE", "'NYSE', 'NASDAQ' or 'AMEX'"]),
        ({"universe.exchanges": []}, ["universe.exchanges", "at least 1"]),
        ({"trading.paper": "maybe"}, ["trading.paper", "maybe", "boolean"]),
        ({"rebalancing.weighting": "random"}, ["rebalancing.weighting", "random", "'score' or 'equal'"]),
        ({"fundamentals.score.roe_pct.weight": 50}, ["fundamentals.score", "add up to 100", "110"]),
        ({"schedules.timezone": "New York"}, ["schedules.timezone", "New York", "IANA"]),
        ({"schedules.universe": "every day"}, ["schedules.universe", "every day"]),
        ({"rebalancing.first_week": "2026-01-06"}, ["rebalancing.first_week", "2026-01-06", "Monday"]),
        ({"guards.min_fetched_pct": float("nan")}, ["guards.min_fetched_pct", "nan"]),
        ({"colour.red": 1}, ["colour", "not a known key", "universe"]),
    ],
)
def test_a_wrong_key_or_value_names_key_value_and_what_is_allowed(override, words):
    with pytest.raises(SettingsError) as refusal:
        load_settings(DEFAULTS, override)
    for word in words:
        assert word in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("universe: [", ["not valid YAML", "line"]),
        ("universe:\n  size: 1\n  size: 2\n", ["size stands twice", "line"]),
        ("- a\n- b\n", ["must hold sections"]),
        ("environment: {finnhub_api_key: x}\n", ["environment", "environment variables"]),
        ("universe: {size: 5}\n", ["universe.exchanges is missing"]),
    ],
)
def test_a_corrupt_file_is_refused_with_the_place(tmp_path, text, words):
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError) as refusal:
        load_settings(path)
    for word in [str(path), *words]:
        assert word in str(refusal.value)


def test_a_missing_file_says_what_to_set(tmp_path):
    with pytest.raises(SettingsError, match="TOKENOMICS_SETTINGS"):
        load_settings(tmp_path / "absent.yaml")


@pytest.mark.parametrize(
    ("given", "written"), [("redis://here", "redis://there"), ("", "redis://there"), ("redis://here", "")]
)
def test_where_environment_and_env_file_differ_nothing_is_read_and_no_value_is_told(
    monkeypatch, tmp_path, given, written
):
    (tmp_path / ".env").write_text(f"REDIS_URL={written}\nfinnhub_api_key=abc\nOTHER=1\n")
    monkeypatch.setenv("REDIS_URL", given)
    monkeypatch.setenv("FINNHUB_API_KEY", "abcd")
    monkeypatch.setenv("OTHER", "2")
    with pytest.raises(SettingsError) as refused:
        load_environment()
    text = str(refused.value)
    assert text.startswith("FINNHUB_API_KEY, REDIS_URL: the environment says one thing and ")
    assert f"{tmp_path}/.env another" in text
    assert not any(value in text for value in ("redis://", "abc"))
    with pytest.raises(SettingsError, match=r"^REDIS_URL:"):
        load_environment(of=("REDIS_URL",))
    assert load_environment(of=("TOKENOMICS_DATABASE_URL",)).alert_webhook_url is None


def test_who_needs_one_variable_is_not_stopped_by_another_that_is_wrong(monkeypatch, tmp_path):
    (tmp_path / ".env").write_text("REDIS_PORT=high\nFINNHUB_BASE_URL=nowhere\nREDIS_HOST=here\n")
    monkeypatch.setenv("FINNHUB_API_KEY", "abc")
    with pytest.raises(SettingsError, match=r"FINNHUB_BASE_URL must .*; REDIS_PORT must "):
        load_environment()
    with pytest.raises(SettingsError, match="REDIS_PORT"):
        load_environment(of=("REDIS_PORT",))
    found = load_environment(of=("REDIS_HOST",))
    assert (found.redis_host, found.secret("FINNHUB_API_KEY")) == ("here", "abc")
    assert load_settings(DEFAULTS, of=("REDIS_HOST",)).environment == found


def test_a_file_of_variables_that_cannot_be_read_is_one_sentence(tmp_path):
    (tmp_path / ".env").write_bytes(b"REDIS_URL=\xff\n")
    with pytest.raises(SettingsError, match=rf"^{tmp_path}/\.env cannot be read \("):
        load_environment()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('TOKENOMICS_SETTINGS="/x/sesame.yaml', "line 2 is not understood"),
        ("TOKENOMICS_SETTINGS: /x/sesame.yaml", "line 2 is not understood"),
        ("set TOKENOMICS_SETTINGS=/x/sesame.yaml", "line 2 is not understood"),
        ("ALPACA_API_KEY='PK' sesame", "line 2 is not understood"),
        ("TOKENOMICS_DATA", "line 2 ends before a ="),
        (
            "TOKENOMICS_SETINGS=sesame",
            "TOKENOMICS_SETINGS is no variable of the platform; did you mean TOKENOMICS_SETTI",
        ),
        (
            "ALPACA_SERCET_KEY=sesame",
            "ALPACA_SERCET_KEY is no variable of the platform; did you mean ALPACA_SECRET_KEY",
        ),
        ("TOKENOMICS_OTHER=sesame", "TOKENOMICS_OTHER is no variable of the platform; correct it"),
    ],
)
def test_a_line_of_the_file_that_its_reader_would_leave_out_is_refused_by_its_number(tmp_path, line, reason):
    (tmp_path / ".env").write_text(f"FINNHUB_API_KEY=abc\n{line}\n")
    with pytest.raises(SettingsError) as refused:
        load_environment()
    assert str(refused.value).startswith(f"{tmp_path}/.env: ")
    assert reason in str(refused.value)
    assert "sesame" not in str(refused.value)


def test_what_is_written_for_other_programs_is_left_alone(tmp_path):
    (tmp_path / ".env").write_text(
        "# TOKENOMICS_SETINGS=/x\nPOSTGRES_PASSWORD=x\nREDIS_DB=1\nALPACA_API_KEY_OLD=y\nEDITOR\nexport HOME\n"
        "export FINNHUB_API_KEY='abc' # ours\n"
    )
    assert load_environment().secret("FINNHUB_API_KEY") == "abc"


def test_a_line_that_cannot_mean_the_variable_asked_for_is_no_obstacle(tmp_path):
    (tmp_path / ".env").write_text('ALPACA_API_KEY="PK\nFINNHUB_API_KY=x\nTOKENOMICS_OTHER=1\nREDIS_HOST=here\n')
    assert load_environment(of=("REDIS_HOST",)).redis_host == "here"
    with pytest.raises(SettingsError, match="line 1 is not understood"):
        load_environment(of=("ALPACA_API_KEY",))


def test_each_value_is_told_with_its_source(monkeypatch, tmp_path):
    (tmp_path / ".env").write_text("REDIS_URL=redis://real\nREDIS_HOST=\nFINNHUB_API_KEY=abc\n")
    monkeypatch.setenv("FINNHUB_API_KEY", "abc")
    monkeypatch.setenv("ALPACA_API_KEY", "PK1")
    monkeypatch.setenv("REDIS_HOST", "")
    assert load_environment().redis == "redis://real"
    assert source_of("REDIS_URL") == f"{tmp_path}/.env"
    assert source_of("FINNHUB_API_KEY") == f"the environment and {tmp_path}/.env"
    assert source_of("ALPACA_API_KEY") == "the environment"
    assert source_of("REDIS_HOST") == source_of("TOKENOMICS_DATABASE_URL") == "the default"


def test_secrets_are_not_shown_by_any_text_form(monkeypatch):
    for name in ("FINNHUB_API_KEY", "ALPACA_API_KEY", "ALPACA_SECRET_KEY", "REDIS_PASSWORD"):
        monkeypatch.setenv(name, f"hidden-{name}")
    monkeypatch.setenv("REDIS_URL", "redis://:hidden-redis@h:6379/0")
    monkeypatch.setenv("TOKENOMICS_DATABASE_URL", "postgresql+psycopg2://u:hidden-db@h/d")
    monkeypatch.setenv("ALERT_WEBHOOK_URL", "https://hooks/hidden-hook")
    settings = load_settings(DEFAULTS)
    for text in (repr(settings), str(settings), settings.model_dump_json(), repr(settings.environment)):
        assert "hidden" not in text
    assert len(settings.environment.secrets()) == 7


def test_an_address_with_a_key_in_it_is_refused_without_showing_the_key(monkeypatch):
    monkeypatch.setenv("FINNHUB_BASE_URL", "https://finnhub.io/api/v1?token=hidden")
    with pytest.raises(SettingsError) as refusal:
        load_environment()
    assert "FINNHUB_BASE_URL" in str(refusal.value)
    assert "hidden" not in str(refusal.value)


def test_a_live_host_behind_paper_settings_is_refused(monkeypatch):
    monkeypatch.setenv("ALPACA_TRADING_URL", "https://api.alpaca.markets")
    with pytest.raises(SettingsError, match=r"trading\.paper"):
        load_settings(DEFAULTS)


# Passwords that were written as they are: what comes after their @, : or / is taken for host and port.
NOT_ENCODED = [
    "tok:Xy9@pg:TopSecretPw/3@db.internal/w", "tok:hun@TopSecretPw@host/w", "tok:TopSecretPw/x@host/w",
    "tok:TopSecretPw#x@host/w", "tok:a?TopSecretPw@host/w", "tok:a/TopSecretPw:9@host/w", "host:TopSecretPw/w",
    "tok:TopSecretPw@[::1/w", "tok:TopSecretPw@[::1]x/w", "tok:TopSecretPw@::1/w", "tok:TopSecretPw@host:99999/w",
    "tok:TopSecretPw\uff0f@host/w", "tok:Top SecretPw@host/w",
]  # fmt: skip
SCHEMES = {
    "TOKENOMICS_DATABASE_URL": "postgresql+psycopg2",
    "REDIS_URL": "redis",
    **dict.fromkeys(("ALERT_WEBHOOK_URL", "TOKENOMICS_CODE_URL", "FINNHUB_BASE_URL"), "https"),
    **dict.fromkeys(("ALPACA_TRADING_URL", "ALPACA_DATA_URL"), "https"),
}


def refused_address(monkeypatch: pytest.MonkeyPatch, name: str, address: str) -> str:
    """The sentence; neither it nor anything that Python prints below it may hold a part of the address."""
    monkeypatch.setenv(name, address)
    with pytest.raises(SettingsError) as refused:
        load_environment(of=(name,))
    told = str(refused.value)
    assert told.startswith(f"environment: {name} ")
    assert not any(part in told for part in ("Secret", "Xy9", "hun@", "[::1", "99999"))
    assert refused.value.__suppress_context__ or refused.value.__context__ is None, "a traceback shows what came before"
    return told


@pytest.mark.parametrize("name", SCHEMES)
def test_an_address_that_cannot_be_taken_apart_is_refused_without_showing_any_of_it(monkeypatch, name):
    told = {refused_address(monkeypatch, name, f"{SCHEMES[name]}://{rest}") for rest in NOT_ENCODED}
    told |= {refused_address(monkeypatch, name, f"{begin}TopSecretPw") for begin in ("", "ftp://u:", "https:/", "://")}
    assert all("write " in one or "must hold neither" in one for one in told)


@pytest.mark.parametrize("kind", ["postgres", "postgresql", "postgresql+asyncpg", "mysql", "sqlite", "oracle"])
def test_a_kind_of_database_that_is_not_known_is_refused_with_those_that_are(monkeypatch, kind):
    told = refused_address(monkeypatch, "TOKENOMICS_DATABASE_URL", f"{kind}://u:TopSecretPw@h/d")
    assert "write sqlite:///FILE or postgresql+psycopg2://USER:PASSWORD@HOST:PORT/DATABASE" in told


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("TOKENOMICS_DATABASE_URL", "postgresql+psycopg2://u:p%40ss%3A%2Fx:y@db.internal:5432/w?sslmode=require"),
        ("TOKENOMICS_DATABASE_URL", "postgresql+psycopg2://u@[::1]:5432/w"),
        ("TOKENOMICS_DATABASE_URL", "postgresql+psycopg2://postgres@/w?host=/var/run/postgresql"),
        ("TOKENOMICS_DATABASE_URL", "sqlite:////home/an n@b:c/w.db"),
        ("TOKENOMICS_DATABASE_URL", "sqlite://"),
        ("REDIS_URL", "rediss://:p%2Fw@cache:6380/0"),
        ("REDIS_URL", "unix:///run/redis.sock?db=1"),
        ("ALERT_WEBHOOK_URL", "https://x.webhook.office.com/webhookb2/a@b/IncomingWebhook/c?sig=d%2Be"),
        ("ALERT_WEBHOOK_URL", "http://user:word@127.0.0.1:8080/hook"),
        ("FINNHUB_BASE_URL", "http://[::1]:8080/api/v1"),
    ],
)
def test_an_address_of_a_known_kind_is_taken_as_it_is(monkeypatch, name, address):
    monkeypatch.setenv(name, address)
    found = getattr(load_environment(), name.lower())
    assert (found if isinstance(found, str) else found.get_secret_value()) == address


@pytest.mark.parametrize("host", ["cache:6379", "u:TopSecretPw@cache", "::1", "redis://cache", "ca che"])
def test_a_host_of_redis_is_a_host_alone(monkeypatch, host):
    assert "REDIS_PORT" in refused_address(monkeypatch, "REDIS_HOST", host)


def test_an_address_in_the_settings_file_is_not_shown():
    for address in ("https://u:TopSecretPw@host", "https://[::1", "https://host:TopSecretPw"):
        with pytest.raises(SettingsError, match=r"alerts\.ui_url: must ") as refused:
            load_settings(DEFAULTS, {"alerts.ui_url": address})
        assert address not in str(refused.value)


def numbers(model: type[BaseModel], prefix: str = "") -> list[str]:
    """The keys of all settings that are numbers."""
    found: list[str] = []
    for name, field in model.model_fields.items():
        if field.annotation in (int, float):
            found.append(f"{prefix}{name}")
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel) and name != "environment":
            found += numbers(field.annotation, f"{prefix}{name}.")
    return found


def ends(key: str) -> list[float | None]:
    """The least and the largest value of a key by its schema, which is the chart's, too."""
    part = SCHEMA
    for name in key.split("."):
        part = part["properties"][name]
        part = SCHEMA["$defs"][part["$ref"].rpartition("/")[2]] if "$ref" in part else part
    return [part.get(f"{end}imum", part.get(f"exclusive{end.capitalize()}imum")) for end in ("min", "max")]


@pytest.mark.parametrize(
    "edge", [1e300, -1e300, float("inf"), float("-inf"), float("nan"), pytest.param(10**400, id="e400")]
)
def test_every_number_that_is_far_off_is_refused_with_a_sentence(edge):
    keys = numbers(Settings)
    with pytest.raises(SettingsError) as refused:
        load_settings(DEFAULTS, dict.fromkeys(keys, edge))
    lines = str(refused.value).splitlines()
    assert [line.split(" ")[1] for line in lines] == keys
    assert all(re.search(r" is not allowed: must be .{8,}$", line) for line in lines)


def test_every_number_has_two_ends_and_dates_can_be_computed_with_all_of_them():
    found = {key: ends(key) for key in numbers(Settings)}
    assert not [key for key, (least, largest) in found.items() if least is None or largest is None]
    dated = ("universe.size", "fundamentals.refresh", "finnhub.", "guards.max_score_age", "schedules.", "retention.")
    slowest = {key: pair[not key.startswith("finnhub.")] for key, pair in found.items() if key.startswith(dated)}
    fastest = {key: found[key][value == found[key][0]] for key, value in slowest.items()}
    for overrides in (slowest, {**fastest, "guards.max_score_age_days": 1e-300}):
        settings = load_settings(DEFAULTS, overrides)
        House(ROOMS).max_ages(settings)
        timetable.outlook(settings, datetime(2026, 8, 24, 14, tzinfo=UTC))


def test_redis_parts_make_an_address_with_the_password_escaped(monkeypatch):
    monkeypatch.setenv("REDIS_HOST", "cache")
    monkeypatch.setenv("REDIS_PASSWORD", "p@ss/word")
    assert load_environment().redis == "redis://:p%40ss%2Fword@cache:6379/0"


def test_every_variable_of_the_environment_stands_in_the_example(monkeypatch, tmp_path):
    (tmp_path / ".env").write_text((REPOSITORY / ".env.example").read_text())
    lines = (REPOSITORY / ".env.example").read_text().splitlines()
    listed = {line.split("=")[0] for line in lines if line and not line.startswith("#")}
    assert listed == {name.upper() for name in type(load_environment()).model_fields}
    assert load_environment().model_dump() == type(load_environment())(_env_file=None).model_dump()


def test_every_setting_has_a_comment_with_its_unit_or_reason():
    text = DEFAULTS.read_text()
    for line in text.splitlines():
        if line.startswith("  ") and not line.strip().startswith("#"):
            assert "#" in line or line.rstrip().endswith(":"), line
    assert yaml.safe_load(text)
