"""`tokenomics settings`: what holds, where each value comes from, and that no secret is shown."""

import json
from pathlib import Path

import pytest

from tokenomics_dagster.operations.settings_in_force import InForce, settings_in_force
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.environment import Environment
from tokenomics_dagster.settings.section import keys_of, section_of
from tokenomics_dagster_tests.conftest import REPOSITORY
from tokenomics_dagster_tests.end_to_end.conftest import Command

SECRETS = {
    "FINNHUB_API_KEY": "hidden-1",
    "ALPACA_SECRET_KEY": "hidden-2",
    "REDIS_URL": "redis://:hidden-3@cache:6379/0",
    "TOKENOMICS_DATABASE_URL": "postgresql+psycopg2://u:hidden-4@h/d",
    "ALERT_WEBHOOK_URL": "https://hooks/hidden-5",
    "HEALTHCHECK_URL": "https://switch/hidden-6",
}
PARTIAL = "guards: {max_exits: 7, max_sold_pct: 40}\nfundamentals: {bands: {roe_ttm_pct: {low: 2}}}\n"


@pytest.fixture
def partial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A settings file that holds two keys which differ and one which does not."""
    for name in Environment.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mine.yaml"
    path.write_text(PARTIAL)
    monkeypatch.setenv("TOKENOMICS_SETTINGS", str(path))
    return path


def found() -> dict[str, InForce]:
    return {one.key: one for one in settings_in_force()}


def test_every_setting_and_every_variable_is_told_with_its_meaning(partial: Path) -> None:
    values = [key for key, field in keys_of(Settings) if section_of(field) is None]
    assert list(found()) == [*values, *(name.upper() for name in Environment.model_fields)]
    assert all(one.meaning for one in settings_in_force())


def test_each_value_is_told_with_the_place_that_it_comes_from(
    partial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("REDIS_HOST=cache\n")
    monkeypatch.setenv("REDIS_PORT", "6380")
    told = {key: (one.value, one.source, one.place, one.differs) for key, one in found().items()}
    assert told["guards.max_exits"] == (7, "file", str(partial), True)
    assert told["guards.max_sold_pct"] == (40.0, "file", str(partial), False)
    assert told["guards.max_daily_loss_pct"] == (8.0, "default", "the default", False)
    assert told["fundamentals.bands.roe_ttm_pct.low"] == (2.0, "file", str(partial), True)
    assert told["fundamentals.bands.roe_ttm_pct.high"] == (60.0, "default", "the default", False)
    assert told["REDIS_HOST"] == ("cache", "environment", f"{tmp_path}/.env", True)
    assert told["REDIS_PORT"] == (6380, "environment", "the environment", True)
    assert told["FINNHUB_BASE_URL"] == ("https://finnhub.io/api/v1", "default", "the default", False)


def test_the_unit_of_a_figure_of_a_line_with_several_is_told_with_it(partial: Path) -> None:
    assert found()["fundamentals.bands.market_cap_musd.low"].meaning.startswith("million USD; ")


def test_the_command_shows_what_differs_with_its_default_and_no_secret(command: Command, partial: Path) -> None:
    shown = command("settings", "--diff", "--json", "out.json", TOKENOMICS_SETTINGS=str(partial), **SECRETS)
    assert (shown.code, shown.err) == (0, "")
    assert f"{partial} (TOKENOMICS_SETTINGS is from the environment); 2 of 134 settings differ" in shown.out
    lines = [line.split() for line in shown.out.splitlines()]
    assert ["guards.max_exits", "7", "40", str(partial)] in [words[:4] for words in lines]
    document = json.loads(Path("out.json").read_text())
    assert set(document) == {
        *("fundamentals.bands.roe_ttm_pct.low", "guards.max_exits", "TOKENOMICS_SETTINGS", *SECRETS)
    }
    assert document["guards.max_exits"] == {
        "value": 7,
        "default": 40,
        "source": "file",
        "place": str(partial),
        "meaning": "names sold whole; more waits for approval",
    }
    assert "hidden" not in shown.out + json.dumps(document)
    assert all(document[name]["value"] == "set, and not shown" for name in SECRETS)


def test_a_whole_page_of_defaults_differs_in_nothing(command: Command) -> None:
    page = str(REPOSITORY / "config/settings.yaml")
    shown = command("settings", "--diff", TOKENOMICS_SETTINGS=page)
    assert shown.code == 0
    assert "; 0 of 134 settings differ from their defaults" in shown.out
    assert "guards" not in shown.out
