"""The defaults of the package, and that config/settings.yaml says the same of each: value, unit and meaning."""

import re

import yaml

from tokenomics_dagster.model.canonical import canonical_json, digest
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.environment import load_environment
from tokenomics_dagster.settings.loading import default_values, load_settings
from tokenomics_dagster.settings.section import keys_of
from tokenomics_dagster_tests.conftest import REPOSITORY

PAGE = REPOSITORY / "config/settings.yaml"
UNITS = (
    "attempts", "basis points", "calls", "correlation", "days", "hours", "its weight, percent", "million USD",
    "minutes", "names", "percent", "points", "ratio", "refreshes", "seconds", "stocks", "symbols", "the figure",
    "the l(ea|arge)st median", "USD",
)  # fmt: skip


def test_the_seed_s_defaults_hold():
    settings = Settings(environment=load_environment())
    rebalancing = settings.rebalancing
    assert (rebalancing.top_n_stocks, rebalancing.weighting, rebalancing.max_position_pct) == (100, "score", 5.0)
    assert (rebalancing.min_score, rebalancing.rebalance_threshold_pct, rebalancing.min_trade_usd) == (50.0, 20.0, 100)
    assert rebalancing.cash_buffer_pct == 0.25
    assert (settings.trading.paper, settings.trading.market_hours_only) == (True, True)
    assert (settings.universe.size, settings.universe.exchanges) == (1500, ("NYSE", "NASDAQ"))
    assert settings.guards.min_fetched_pct == 95
    assert settings.guards.min_scored_pct == 75
    assert settings.guards.max_failed_pct == 2


def test_the_page_names_every_key_in_the_order_of_the_defaults_with_its_value():
    # As text: 1500 and 1500.0 are one number, but not one value.
    assert canonical_json(load_settings(PAGE).model_dump(mode="json", exclude={"environment"})) == canonical_json(
        Settings(environment=load_environment()).model_dump(mode="json", exclude={"environment"})
    )
    written: list[str] = []
    path: list[str] = []
    for line in PAGE.read_text().splitlines():
        if found := re.match(r"( *)(\w+):", line):
            path = [*path[: len(found[1]) // 2], found[2]]
            written.append(".".join(path))
    inline = re.compile(r"(fundamentals\.(score|bands)\.\w+)\.\w+")  # a line for two or three figures
    assert written == [key for key, _ in keys_of(Settings) if not inline.fullmatch(key)]
    assert yaml.safe_load(PAGE.read_text())["fundamentals"] == default_values()["fundamentals"]


def test_the_comment_of_each_line_of_the_page_is_what_the_setting_says_of_itself():
    path: list[str] = []
    told: dict[str, str | None] = {}
    for line in PAGE.read_text().splitlines():
        if found := re.match(r"( *)(\w+):.*?(?:  ?# (.*))?$", line):
            path = [*path[: len(found[1]) // 2], found[2]]
            told[".".join(path)] = found[3]
    meanings = {key: field.description for key, field in keys_of(Settings)}
    assert told == {key: meanings[key] for key in told}
    assert all(meanings.values())


def test_what_is_said_of_a_number_begins_with_its_unit():
    for key, field in keys_of(Settings):
        if field.annotation in (int, float):
            assert re.match(rf"({'|'.join(UNITS)})\b", str(field.description)), (key, field.description)


def test_a_default_is_the_same_value_as_the_same_number_in_a_file(tmp_path):
    """Plans hash the rules that they were made by: a plan must not change because a rule was written down."""
    rules = Settings(environment=load_environment()).rebalancing
    (tmp_path / "settings.yaml").write_text("rebalancing: {min_trade_usd: 100, min_score: 50, max_position_pct: 5}\n")
    written = load_settings(tmp_path / "settings.yaml").rebalancing
    of_the_first_version = "f4a65f9d686a9d48d894f13333bc0b76a0dcdb38054dd25ceac14ff70740a113"
    assert digest(rules.model_dump(mode="json")) == digest(written.model_dump(mode="json")) == of_the_first_version
