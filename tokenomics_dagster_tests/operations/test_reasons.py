"""Why a stock is held or not, in sentences: each way to be in or out has its own."""

import dataclasses
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from tokenomics_dagster.execution.told import Planned, Reported, Trade
from tokenomics_dagster.fundamentals.explained import Lever
from tokenomics_dagster.model.trading import Fill
from tokenomics_dagster.operations.holdings import Held, LeftAlone
from tokenomics_dagster.operations.reasons import AtBroker, Standing, Target, reasons, what_would_change
from tokenomics_dagster.portfolio.ranking import NotChosen, Place
from tokenomics_dagster.storage.records import Halt
from tokenomics_dagster.universe.told import Following

AT = datetime(2026, 8, 24, 14, tzinfo=UTC)
WEEK = date(2026, 8, 24)
INSIDE = Place(80.0, 3, 90, 10, True, 10, 50.0, 70.0, 10.0)
OUTSIDE = Place(65.0, 12, 90, 10, False, 10, 50.0, 71.0, -6.0)
WANTED = Target(WEEK, AT, 0.1, INSIDE, None)
UNWANTED = Target(WEEK, AT, 0.0, OUTSIDE, NotChosen("rank too low", "it is number 12 of 90 scores"))
SOME = Decimal("12.5")
HELD = Held("AAA", "A Inc", "Metals", SOME, SOME, SOME, SOME, SOME, SOME, 1.0, 0.09, 0.1, 0.01)
HOLDS, MUST = "it is held: 12.5 shares, 9.00% of the equity", "it must be followed first"
NOTHING = Standing(AtBroker(None), None, None, None, (), None)
PLANNED = Planned("fundamentals-2026-08-24-abc", WEEK, AT, "AAA", "buy", False, 0.1, None, True, None)
FOLLOWED = Following(AT, 30, 30, True, None, None, 2, 5e3, AT, 1e3, "A Inc", "NYSE", "Metals", None)


def said(**what: Any) -> tuple[str, ...]:
    of_broker = {name: what.pop(name) for name in AtBroker.__slots__ if name in what}
    return reasons(dataclasses.replace(NOTHING, at_broker=AtBroker(None, **of_broker), **what))


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        (
            {"held": HELD, "target": WANTED},
            f"{HOLDS}, a target of 10.00% in the week of 2026-08-24, number 3 of 90 scores",
        ),
        (
            {"held": HELD, "target": UNWANTED},
            f"{HOLDS}, and is to be sold: it is no target in the week of 2026-08-24: it is number 12 of 90 scores",
        ),
        (
            {"target": WANTED},
            "it is not held, although it is a target of 10.00% in the week of 2026-08-24, number 3 of 90 scores",
        ),
        (
            {"target": UNWANTED},
            "it is not held: it is no target in the week of 2026-08-24: it is number 12 of 90 scores",
        ),
        (
            {"left_alone": LeftAlone("AAA", None, "us_equity", None, None, "it is in two rows"), "target": WANTED},
            "an unknown number of shares are held and left alone: it is in two rows",
        ),
        (
            {"left_alone": LeftAlone("AAA", None, "us_equity", Decimal(3), None, "nobody bought it")},
            "3 shares are held and left alone: nobody bought it",
        ),
    ],
)
def test_what_is_held_and_what_is_wanted_decide_the_first_sentence(what, sentence):
    assert said(**what) == (sentence,)


def test_without_a_decision_none_is_made_up():
    [sentence] = said(held=HELD)
    assert "whether it is to stay is not known: no week has been decided yet" in sentence


def test_while_the_broker_is_away_nothing_is_said_of_now_and_the_last_report_is_told():
    away, last, decided = said(unknown="no answer", target=WANTED, reported=Reported(WEEK, AT, 12.5, 80.0, 0.09))
    assert away == "whether it is held now is not known, for the broker could not be asked: no answer"
    assert (
        last
        == "when the week of 2026-08-24 was reported (2026-08-24 10:00:00 New York) the strategy held 12.5 shares of it"
    )
    assert decided.startswith("it is a target of 10.00%")
    assert said(unknown="no answer")[1] == "no report of the account is there either"


@pytest.mark.parametrize(
    ("changes", "sentences"),
    [
        ({}, ["plan fundamentals-2026-08-24-abc buys of it"]),
        ({"carried_out": False}, ["plan fundamentals-2026-08-24-abc buys of it; it has not been carried out yet"]),
        ({"side": "none", "reason": "no quote"}, ["plan fundamentals-2026-08-24-abc trades nothing of it: no quote"]),
        ({"side": "sell", "exit": True}, ["plan fundamentals-2026-08-24-abc sells all of it"]),
        ({"notional": Decimal("1234.5")}, ["plan fundamentals-2026-08-24-abc buys 1,234.50 USD of it"]),
        ({"side": "sell", "qty": SOME}, ["plan fundamentals-2026-08-24-abc sells 12.5 shares of it"]),
        (
            {"side": "sell", "exit": True, "qty": SOME},
            ["plan fundamentals-2026-08-24-abc sells all of it, 12.5 shares"],
        ),
        (
            {"skipped": "its quote is too wide"},
            ["plan fundamentals-2026-08-24-abc buys of it", "its order was not sent: its quote is too wide"],
        ),
    ],
)
def test_what_the_plan_means_and_what_became_of_it_is_told(changes, sentences):
    planned = dataclasses.replace(PLANNED, **changes)
    assert list(said(target=WANTED, planned=planned))[1:] == sentences


def test_that_it_is_to_be_sold_is_said_only_where_nothing_speaks_against_it():
    doubtful = dataclasses.replace(HELD, doubt="its shares went from 25 to 12.5 without a trade")
    first, doubt = said(held=doubtful, target=UNWANTED)
    assert "whether it is to be sold is not known" in first
    assert doubt == "this is in doubt: its shares went from 25 to 12.5 without a trade"
    [sentence] = said(held=HELD, target=UNWANTED, unasked="no answer")
    assert (
        "the targets do not know it under this name; whether it was renamed could not be asked (no answer)" in sentence
    )
    assert "is to be sold" not in sentence


def test_what_is_gone_by_the_books_is_never_said_not_to_be_held():
    first, decided = said(target=WANTED, gone="12.5 shares were held, and are gone without a trade")
    assert first.endswith("no row of the broker's positions: 12.5 shares were held, and are gone without a trade")
    assert decided.startswith("it is a target of 10.00%")


def test_what_others_traded_is_told_by_side_and_what_could_not_be_asked_is_not_known():
    fills = tuple(Fill(f"{n}", "hand", "AAA", "sell", SOME, Decimal(2), AT) for n in range(2))
    assert said(target=WANTED, by_others=fills)[1] == (
        "25 shares of it were sold for 50.00 USD by no order of the strategy, the last at 2026-08-24 10:00:00 New "
        "York: by hand, or by another program with this account"
    )
    assert said(target=WANTED, fills_unknown="no answer")[1] == (
        "whether somebody else traded it lately is not known: no answer"
    )


def test_targets_without_a_plan_are_told():
    later = dataclasses.replace(WANTED, week=date(2026, 8, 31))
    assert said(target=later, planned=PLANNED)[-1] == "no plan was made yet of the targets of the week of 2026-08-31"


@pytest.mark.parametrize(("status", "told"), [("filled", False), ("refused", True), ("canceled", True)])
def test_an_order_that_did_not_fill_is_told_with_its_note(status, told):
    trade = Trade(WEEK, "AAA", "buy", None, SOME, status, Decimal(0), None, Decimal(0), AT, "403", "id")
    sentence = f"its last buy is {status}, with 0 shares filled (403)"
    assert (sentence in said(target=WANTED, planned=PLANNED, trades=(trade,))) is told
    earlier = dataclasses.replace(trade, week=date(2026, 8, 17))
    assert sentence not in said(target=WANTED, planned=PLANNED, trades=(earlier,))


def test_a_halt_is_told_last():
    assert said(held=HELD, target=WANTED, halt=Halt("a look", "ann", AT))[-1] == (
        "trading is halted by ann since 2026-08-24 10:00:00 New York: a look; nothing of it is bought or sold until "
        "`tokenomics resume`"
    )


def lever(figure: str, per_unit: float | None, needed: float | None) -> Lever:
    return Lever(figure, 1.0, "1 percentage point more", per_unit, needed)


def test_what_would_bring_one_in_names_score_figure_and_values():
    moved = (
        lever("roe_ttm_pct", 0.7, 25.0),
        lever("debt_to_equity", 1.0, 0.25),
        lever("eps_growth_yoy_pct", 0.0, None),
    )
    distance, most, either = what_would_change(FOLLOWED, 65.0, None, OUTSIDE, moved)
    assert distance == (
        "it is out by 6.00 points: number 12 of 90, 10 of rebalancing.top_n_stocks = 10 are chosen; it needs 71.00 "
        "points, all others as they are"
    )
    assert most.startswith("debt/equity moves the score most: ")
    assert either == "each of these alone brings it in: ROE of at least 25.00 or debt/equity of at most 0.25"


def test_what_would_take_one_out_is_the_other_side():
    moved = (lever("roe_ttm_pct", 0.7, 5.0), lever("debt_to_equity", 1.0, 2.0))
    *_, either = what_would_change(FOLLOWED, 80.0, None, INSIDE, moved)
    assert either == "each of these alone takes it out: ROE of at most 5.00 or debt/equity of at least 2.00"
    nothing = (lever("roe_ttm_pct", 0.7, None),)
    assert what_would_change(FOLLOWED, 80.0, None, INSIDE, nothing)[-1] == "no single figure alone takes it out"


def test_one_without_a_score_needs_the_figure_that_lacks():
    moved = (lever("roe_ttm_pct", None, 12.0), lever("debt_to_equity", None, None))
    assert what_would_change(FOLLOWED, None, "ROE is missing", None, moved) == (
        "it needs a score first: ROE is missing",
        "with ROE of at least 12.00 it would be chosen",
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"reason": "below the 30 largest by market cap", "market_cap_musd": 400.0},
            f"{MUST}: its market cap of 400 million USD must pass 1,000, that of the smallest of the 30 that are",
        ),
        ({"reason": "no profile", "market_cap_musd": None}, "it must be followed first: no profile"),
        ({"market_cap_musd": None}, "it must be followed first: the newest listings do not have it"),
    ],
)
def test_one_that_is_not_followed_says_what_it_lacks(changes, sentence):
    followed = dataclasses.replace(FOLLOWED, followed=False, **changes)
    assert what_would_change(followed, None, None, None, ()) == (sentence,)
