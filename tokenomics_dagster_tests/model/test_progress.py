"""How far work is told to be, and how much longer it takes, only once that can be known."""

import pytest

from tokenomics_dagster.model.progress import Count, Interim, Pace, timed


def test_time_left_is_told_once_ten_pieces_were_seen_over_ten_seconds() -> None:
    pace = Pace("profiles", 4_500, now=100.0)
    assert pace.line(9, 109.0) == "profiles: 9 of 4,500"
    assert pace.line(400, 109.9) == "profiles: 400 of 4,500", "too short a time"
    assert Pace("profiles", 4_500, now=0.0).line(9, 60.0) == "profiles: 9 of 4,500", "too few pieces"
    assert pace.line(410, 110.0) == "profiles: 410 of 4,500, about 2 min left"
    assert isinstance(pace.line(411, 111.0), Interim)


def test_the_rate_is_that_of_the_last_minute() -> None:
    pace = Pace("financials", 1_500, now=0.0)
    pace.line(600, 10.0)
    for second in range(20, 120, 10):
        line = pace.line(600 + second - 10, float(second))
    assert line == "financials: 700 of 1,500, about 13 min left", "one a second, and not six"


@pytest.mark.parametrize(
    ("left", "told"), [(3.0, "10 s"), (54.0, "50 s"), (56.0, "1 min"), (89 * 60.0, "89 min"), (2.5 * 3600, "2.5 h")]
)
def test_an_estimate_is_told_no_more_exactly_than_it_is(left: float, told: str) -> None:
    total = 1_000_000
    pace = Pace("rows", total, now=0.0)
    done = round(total * 20 / (20 + left))
    assert pace.line(done, 20.0) == f"rows: {done:,} of {total:,}, about {told} left"


def test_what_is_done_has_no_time_left() -> None:
    pace = Pace("trials", 20, now=0.0)
    assert pace.line(20, 60.0) == "trials: 20 of 20"


def test_a_count_of_who_knows_no_clock_gets_its_time_left_from_who_has_one() -> None:
    said: list[str] = []
    seconds = iter([0.0, 5.0, 25.0, 45.0])
    say = timed(said.append, lambda: next(seconds))
    say("reading the data ...")
    say(Count.of("trials", 20, 100))
    say(Count.of("trials", 40, 100))
    assert said[0] == "reading the data ..."
    assert said[1:] == ["trials: 20 of 100, about 1 min left", "trials: 40 of 100, about 1 min left"]
    assert not isinstance(said[0], Interim)
    assert isinstance(said[1], Interim)
