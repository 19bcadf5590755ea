"""Whether the broker trades a stock, as `explain` tells it: by its own word; where it cannot be asked, as not asked."""

import json
from pathlib import Path

import pytest

from tokenomics_dagster.operations.tradability import Tradability, in_words, tradability
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster_tests.conftest import Platform
from tokenomics_dagster_tests.end_to_end.conftest import Command
from tokenomics_dagster_tests.operations.conftest import ledger, point_to
from tokenomics_dagster_tests.rewriting import Answer, rewriting

REFUSED = "DXY"  # of this market's stocks one that its broker does not trade


def asked(platform: Platform, symbol: str) -> Tradability:
    with platform.broker() as broker:
        return tradability(broker, symbol, load_settings().guards)


def test_it_is_as_the_broker_says(at_week: Platform) -> None:
    assets = at_week.broker().assets()
    held = ledger(at_week)[0].symbol
    assert asked(at_week, held) == Tradability(True, True, True, assets[held].fractionable, True, None)
    whole = next(one.symbol for one in assets.values() if one.tradable and not one.fractionable)
    assert not asked(at_week, whole).fractionable
    assert not asked(at_week, REFUSED).tradable
    assert asked(at_week, "NONESUCH") == Tradability(False, False, False, False, True, None)


def test_a_quote_that_cannot_be_traded_on_is_told_as_that_of_a_halted_stock_is(
    at_week: Platform, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_to(at_week, monkeypatch)
    symbol, file = ledger(at_week)[0].symbol, tmp_path / "out.json"

    def halted(answer: Answer) -> None:
        answer.json[symbol]["latestQuote"]["bp"] = 0

    with rewriting(at_week.sandbox.url) as between:
        monkeypatch.setenv("ALPACA_DATA_URL", between.url)
        between.on("GET /v2/stocks/snapshots", halted)
        text = command("explain", symbol, "--json", file).out
        assert "but not on its quote of now, as that of a halted stock: a quote with one side only" in text
        assert json.loads(file.read_text())["at_broker"]["tradability"]["quote"] == "a quote with one side only"
        between.clear()
        between.on("GET /v2/stocks/snapshots", lambda answer: answer.become(403, {"message": "forbidden."}))
        text = command("explain", symbol, "--json", file).out
    found = json.loads(file.read_text())["at_broker"]
    assert found["tradability"] is None
    assert "forbidden" in found["not_asked"]
    assert f"not asked: {found['not_asked']}" in text
    assert found["held"]["symbol"] == symbol, "what is held is told all the same"


def test_without_a_broker_it_is_not_asked_and_all_else_is_told(
    at_week: Platform, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_to(at_week, monkeypatch)
    file = tmp_path / "out.json"
    done = command("explain", REFUSED, "--json", file, ALPACA_API_KEY="")
    assert done.code == 0, done
    assert "not asked: ALPACA_API_KEY is not set" in done.out
    assert json.loads(file.read_text())["at_broker"]["tradability"] is None


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (Tradability(False, False, False, False, True, None), "the broker has no stock of this name"),
        (Tradability(True, False, False, False, True, None), "not tradable: the broker has it as inactive"),
        (Tradability(True, True, False, True, True, None), "not tradable: the broker does not trade it"),
        (
            Tradability(True, True, True, True, False, None),
            "tradable, also in parts of a share; the market is closed, so that nobody can tell whether it is halted",
        ),
        (
            Tradability(True, True, True, False, True, None),
            "tradable, in whole shares only; not halted, for its quote of now can be traded on",
        ),
    ],
)
def test_each_case_is_a_sentence(found: Tradability, sentence: str) -> None:
    assert in_words(found, None) == sentence
