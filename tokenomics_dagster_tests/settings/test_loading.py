"""The settings file: what is accepted, and that every refusal names the key, the value and what is allowed."""

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import BaseModel

from tokenomics_dagster.definitions import ROOMS
from tokenomics_dagster.fundamentals import timetable
from tokenomics_dagster.kit.room import House
from tokenomics_dagster.settings import Settings, loading
from tokenomics_dagster.settings.environment import load_environment
from tokenomics_dagster.settings.loading import load_settings, settings_path
from tokenomics_dagster.settings.section import SettingsError
from tokenomics_dagster_tests.conftest import REPOSITORY

DEFAULTS = REPOSITORY / "config/settings.yaml"
SCHEMA = Settings.model_json_schema()


def defaults() -> Settings:
    return Settings(environment=load_environment())


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
        ("universe: {size: 5", ["not valid YAML", "line"]),
        ("guards:\n  max_exits:\n", ["guards.max_exits = None is not allowed", "valid integer"]),
        ("fundamentals:\n  score:\n", ["fundamentals.score = None is not allowed"]),
        ("universe: {size: 5}\nguards:\n", ["must hold sections", "guards = None is none"]),
        ("max_exits: 5\n", ["must hold sections", "max_exits = 5 is none"]),
        ("universe: {size: 5}\nguards: {}\n", ["guards = {} is none"]),
        ("", ["must hold sections", "was it emptied?", "trading: {paper: true}"]),
        ("# universe: {size: 5}\n", ["was it emptied?"]),
        ("{}\n", ["was it emptied?"]),
        ("universe:\n  size: 150", ["the last line does not end", "cut off"]),
        ("universe:\n  size: 15\n\0\0\0", ["not valid YAML"]),
    ],
)
def test_a_corrupt_file_is_refused_with_the_place(tmp_path, text, words):
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError) as refusal:
        load_settings(path)
    for word in [str(path), *words]:
        assert word in str(refusal.value)


def test_a_file_that_is_named_and_not_there_is_refused_and_says_what_to_set(tmp_path, monkeypatch):
    with pytest.raises(SettingsError, match="TOKENOMICS_SETTINGS"):
        load_settings(tmp_path / "absent.yaml")
    monkeypatch.setenv("TOKENOMICS_SETTINGS", str(tmp_path / "absent.yaml"))
    with pytest.raises(SettingsError, match=r"absent\.yaml: cannot be read"):
        load_settings()


def test_without_any_file_the_defaults_hold_and_they_trade_on_paper(tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "_CHECKOUT", tmp_path)
    assert settings_path(load_environment()) is None
    assert load_settings() == defaults()
    assert load_settings().trading.paper
    monkeypatch.setenv("ALPACA_TRADING_URL", "https://api.alpaca.markets")
    with pytest.raises(SettingsError, match=r"^the defaults: settings: trading\.paper = true, but ALPACA_TRADING_URL"):
        load_settings()


def test_a_file_of_this_folder_goes_before_that_of_the_checkout(tmp_path, monkeypatch):
    assert settings_path(load_environment()) == DEFAULTS
    (tmp_path / "config").mkdir()
    (tmp_path / "config/settings.yaml").write_text("guards: {max_exits: 7}\n")
    assert load_settings().guards.max_exits == 7


def test_a_file_holds_only_what_differs_down_to_one_figure_of_a_line(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("fundamentals:\n  bands: {roe_ttm_pct: {low: 2}}\nguards:\n  max_exits: 7\n")
    told = load_settings(path).model_dump(exclude={"environment"})
    expected = defaults().model_dump(exclude={"environment"})
    expected["fundamentals"]["bands"]["roe_ttm_pct"]["low"] = 2.0
    expected["guards"]["max_exits"] = 7
    assert told == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("fundamentals: {score: {roe_pct: {weight: 50}}}\n", ["fundamentals.score", "add up to 100", "110"]),
        ("fundamentals: {score: {roe_pct: {worst: 40}}}\n", ["score.roe_pct", "worst (40) and best (40) must differ"]),
        ("fundamentals: {bands: {debt_to_equity: {low: 9}}}\n", ["bands.debt_to_equity", "low (9)", "high (5)"]),
        ("fundamentals: {bands: {debt_to_equity: {lo: 9}}}\n", ["debt_to_equity.lo = 9", "did you mean low?"]),
        ("fundamentals: {bands: {debt_to_equity: 9}}\n", ["fundamentals.bands.debt_to_equity = 9 is not allowed"]),
    ],
)
def test_what_contradicts_a_default_names_both(tmp_path, text, words):
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError) as refusal:
        load_settings(path)
    for word in words:
        assert word in str(refusal.value)


PARTIAL = """universe:
  exchanges:
  - NYSE
  - AMEX
trading:
  paper: true
guards:
  max_exits: 7
"""


def cut_off(tmp_path: Path, whole: str) -> Iterator[tuple[str, Settings | None]]:
    """What is left of `whole` after a cut before each of its characters, with what is read from it: None is refused."""
    path = tmp_path / "settings.yaml"
    for length in range(len(whole)):
        path.write_text(whole[:length])
        try:
            yield whole[:length], load_settings(path)
        except SettingsError:
            yield whole[:length], None


def test_no_part_of_a_file_that_trades_real_money_is_taken_for_the_whole(tmp_path):
    whole = PARTIAL.replace("paper: true", "paper: false") + "...\n"
    for left, settings in cut_off(tmp_path, whole):
        trades = settings is not None and not settings.trading.paper
        assert not trades or left == whole.removesuffix("\n"), left


def test_a_file_that_trades_on_paper_is_refused_where_it_was_cut_off_within_a_line(tmp_path):
    for left, settings in cut_off(tmp_path, PARTIAL):
        assert settings is None or left.endswith("\n"), left


def test_the_sign_of_an_end_is_asked_for_where_real_money_is_traded_only(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("trading: {paper: false}\n")
    with pytest.raises(SettingsError, match=r"trading\.paper = false needs a line \.\.\. at the end of the file"):
        load_settings(path)
    assert not load_settings(path, to_trade=False).trading.paper, "who cancels orders must reach the account"
    for end in ("...", "...\n", "...\r\n", "...\n\n"):
        path.write_text("trading: {paper: false}\n" + end)
        assert not load_settings(path).trading.paper
    for end in ("# ...\n", "...\n# more\n", " ...\n", "...\ntrading: {}\n"):
        path.write_text("trading: {paper: false}\n" + end)
        with pytest.raises(SettingsError):
            load_settings(path)


@pytest.mark.parametrize(
    "text",
    [
        "rebalancing: {first_week: 2026-02-30}",
        "rebalancing: {first_week: 2026-02-20T00:00:00+99:99}",
        f"universe: {{size: {'9' * 5000}}}",
        "universe: {size: !!int foo}",
        "universe: {size: !!float foo}",
        "universe: {size: 0b_}",
        "universe: {size: !!timestamp foo}",
        "universe: {size: !!bool maybe}",
        "{1: 2, 1: 3, a: 1, a: 2}",
        "? [1, 2]\n: 1\n? [1, 2]\n: 2",
        f"universe: {'[' * 3000}{']' * 3000}",
    ],
)
def test_a_value_that_cannot_be_read_is_one_sentence(tmp_path, text):
    path = tmp_path / "settings.yaml"
    path.write_text(text + "\n")
    with pytest.raises(SettingsError) as refused:
        load_settings(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize("key", ["rebalancing.top_n_stocks", "rebalancing.max_position_pct"])
@pytest.mark.parametrize(
    "value",
    [
        *("01500", "1:30", "0_15", "0x10", "-0x10", "0b101", "0o17", "+0o17", "1:30.5", "1:30.", "!!int 0o17"),
        *("!!int _0x10", "!!float 1:30", "0x" + "f" * 5000, ":".join(["1"] * 9000) + ".5"),
    ],
)
def test_a_number_that_would_be_read_in_another_base_is_refused(tmp_path, key, value):
    path = tmp_path / "settings.yaml"
    section, name = key.split(".")
    path.write_text(f"{section}: {{{name}: {value}}}\n")
    with pytest.raises(SettingsError, match=r"would be read in another base: write a plain number$") as refused:
        load_settings(path)
    assert len(str(refused.value)) < 600


@pytest.mark.parametrize(
    ("value", "number"), [("1_5.5", 15.5), ("01.5", 1.5), ("+2.5e+0", 2.5), ("0", 0), ("0.5", 0.5)]
)
def test_a_number_that_says_what_it_is_is_taken(tmp_path, value, number):
    path = tmp_path / "settings.yaml"
    path.write_text(f"rebalancing: {{cash_buffer_pct: {value}}}\n")
    assert load_settings(path).rebalancing.cash_buffer_pct == number


MULTIPLIED = "universe: &a0 [x, x, x, x, x, x, x, x]\n" + "".join(
    f"k{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 8)}]\n" for i in range(1, 30)
)
MONSTERS = {
    "number of 5,000 digits": "rebalancing: {top_n_stocks: 0x" + "f" * 5000 + "}\n",
    "open lists": "universe: " + "[" * 60_000 + "\n",
    "lists": "universe: " + "[" * 45_000 + "]" * 45_000 + "\n",
    "lists in block style": "universe:\n" + "- " * 45_000 + "a\n",
    "keys in keys": "? " * 45_000 + "a\n",
    "aliases of aliases": MULTIPLIED,
    "itself": "guards: &a {max_exits: *a}\n",
    "aliases without end": "guards: &a {max_exits: 5}\nalerts: [" + "*a, " * 1000 + "*a]\n",
    "values without end": "universe: {exchanges: [" + "x," * 40_000 + "x]}\n",
    "text": "universe: {size: '" + "a" * 90_000 + "'}\n",
    "key": "universe: {? '" + "a" * 90_000 + "' : 1}\n",
    "section": "universe: '" + "a" * 90_000 + "'\n",
    "comment": "#" * 2_000_000 + "\nguards: {max_exits: 5}\n",
}


@pytest.mark.parametrize("text", MONSTERS.values(), ids=MONSTERS)
def test_a_file_that_is_a_monster_is_refused_soon_and_in_a_sentence_that_a_person_can_read(tmp_path, text):
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    began = time.process_time()
    with pytest.raises(SettingsError) as refused:
        load_settings(path)
    assert time.process_time() - began < 2
    assert str(refused.value).startswith(f"{path}: ")
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 1500


def test_what_stands_twice_may_be_written_once_and_named(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text(
        "fundamentals:\n  bands:\n    roe_ttm_pct: &wide {low: 50, high: 90}\n    revenue_growth_yoy_pct: *wide\n"
    )
    bands = load_settings(path).fundamentals.bands
    assert (bands.revenue_growth_yoy_pct.low, bands.revenue_growth_yoy_pct.high) == (50, 90)


@pytest.mark.parametrize("key", ["rebalancing.top_n_stocks", "rebalancing.top_n_stock"])
def test_a_number_that_python_does_not_write_is_refused_all_the_same(key):
    with pytest.raises(SettingsError, match=rf"{key} = a value that is too large to be shown is not "):
        load_settings(overrides={key: 16**5000})


@pytest.mark.parametrize("key", ["universe.size", "guards.max_spread_bps", "guards.max_failing_days"])
def test_a_truth_is_no_number(key):
    with pytest.raises(SettingsError, match=rf"{key} = True is not allowed: a number is needed"):
        load_settings(overrides={key: True})


@pytest.mark.parametrize(
    ("key", "value"), [("roe_pct.worst", 90.0), ("debt_to_equity.best", 4.0), ("growth_pct.best", -40.0)]
)
def test_one_end_that_is_changed_alone_turns_no_score_around(key, value):
    with pytest.raises(SettingsError, match=r"best \(\S+\) must be (above|under) worst"):
        load_settings(overrides={f"fundamentals.score.{key}": value})


def test_secrets_are_not_shown_by_any_text_form(monkeypatch):
    for name in ("FINNHUB_API_KEY", "ALPACA_API_KEY", "ALPACA_SECRET_KEY", "REDIS_PASSWORD"):
        monkeypatch.setenv(name, f"hidden-{name}")
    monkeypatch.setenv("REDIS_URL", "redis://:hidden-redis@h:6379/0")
    monkeypatch.setenv("TOKENOMICS_DATABASE_URL", "postgresql+psycopg2://u:hidden-db@h/d")
    monkeypatch.setenv("ALERT_WEBHOOK_URL", "https://hooks/hidden-hook")
    monkeypatch.setenv("HEALTHCHECK_URL", "https://switch/hidden-switch")
    settings = load_settings(DEFAULTS)
    for text in (repr(settings), str(settings), settings.model_dump_json(), repr(settings.environment)):
        assert "hidden" not in text
    assert len(settings.environment.secrets()) == 8


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


@pytest.mark.parametrize("key", ["alerts.ui_ulr", "alerts.ui_urls.grafana"])
def test_an_address_under_a_key_that_is_none_is_not_repeated_for_it_may_hold_a_password(key):
    with pytest.raises(SettingsError, match=r"alerts\.ui_\w+ is not a known key; did you mean ui_url\?") as refused:
        load_settings(DEFAULTS, {key: "https://ann:TopSecretPw@grafana.internal"})
    assert "TopSecretPw" not in str(refused.value)
