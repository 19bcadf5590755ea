"""The settings file: what is accepted, and that every refusal names the key, the value and what is allowed."""

import re
from datetime import UTC, datetime

import pytest
import yaml
from pydantic import BaseModel

from tokenomics_dagster.definitions import ROOMS
from tokenomics_dagster.kit import timetable
from tokenomics_dagster.kit.room import House
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.settings.section import SettingsError
from tokenomics_dagster_tests.conftest import REPOSITORY

DEFAULTS = REPOSITORY / "config/settings.yaml"
SCHEMA = Settings.model_json_schema()


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


def test_a_live_host_behind_paper_settings_is_refused(monkeypatch):
    monkeypatch.setenv("ALPACA_TRADING_URL", "https://api.alpaca.markets")
    with pytest.raises(SettingsError, match=r"trading\.paper"):
        load_settings(DEFAULTS)


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


def test_every_setting_has_a_comment_with_its_unit_or_reason():
    text = DEFAULTS.read_text()
    for line in text.splitlines():
        if line.startswith("  ") and not line.strip().startswith("#"):
            assert "#" in line or line.rstrip().endswith(":"), line
    assert yaml.safe_load(text)
