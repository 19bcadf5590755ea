"""A refresh of the universe: which profiles are asked for until all that could matter are known, and what follows.

Asking and keeping are given, so that this knows neither Finnhub nor the warehouse. Which names could matter is in
selection.py, who leaves in departures.py.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from tokenomics_dagster.model.errors import UserError
from tokenomics_dagster.providers.errors import ProviderError
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.universe import UniverseSettings
from tokenomics_dagster.universe import asked as asking
from tokenomics_dagster.universe import departures, selection
from tokenomics_dagster.universe.checks import too_many_failed
from tokenomics_dagster.universe.schema import KnownProfiles, Profiles, Waiting

if TYPE_CHECKING:
    from tokenomics_dagster.model.trading import Snapshot
    from tokenomics_dagster.providers.finnhub.parsing import Profile

Sweep = Callable[[Sequence[str]], Generator["tuple[str, Profile | ProviderError | None]", None, None]]
"""Asks for the profiles of these symbols; None where the provider knows none. Closing what it returns ends the calls.
"""


class CannotRefresh(UserError):
    """No universe can be made of what is there; one sentence for the user, and the errors by symbol."""

    def __init__(self, message: str, failures: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.failures = failures or {}


class Before(NamedTuple):
    """The symbols of the last universe, and of them those that wait in it: whatever is asked, they are."""

    followed: Collection[str] = ()
    waiting: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Answers:
    """The `Profiles` frame once all that could matter were asked for, how many those were, and the errors by symbol.

    `passed_over`: why names are not in it that a small universe does not ask for.
    """

    profiles: pd.DataFrame
    asked: int
    failures: Mapping[str, str]
    passed_over: Mapping[str, str] = field(default_factory=dict)

    @property
    def judged_by_last(self) -> list[str]:
        """Whose call failed, and who is judged by the last profile."""
        return sorted(set(self.failures) & set(self.profiles["symbol"]))

    @property
    def unknown(self) -> dict[str, str]:
        """Whose call failed, without a last profile: the reason why they are out."""
        judged = self.judged_by_last
        return {s: f"{departures.NOT_FETCHED}: {why}" for s, why in self.failures.items() if s not in judged}


def candidates(listings: pd.DataFrame, rules: UniverseSettings) -> tuple[pd.DataFrame, pd.Series]:
    """Those of selection.candidates that are wanted; raises CannotRefresh where there is none."""
    found, unfit = selection.candidates(listings, rules)
    names, dropped = asking.named(found, unfit, rules)
    if names.empty and rules.symbols:
        first = ", ".join(rules.symbols[:5])
        raise CannotRefresh(
            f"none of universe.symbols ({first}{', ...' * (len(rules.symbols) > 5)}) is a "
            f"{' or '.join(rules.security_types)} on {' or '.join(rules.exchanges)}: correct it"
        )
    if names.empty:
        raise CannotRefresh(
            f"none of the {len(listings)} listings is a {' or '.join(rules.security_types)} on "
            f"{' or '.join(rules.exchanges)}: check universe.exchanges and universe.security_types"
        )
    return names, dropped


def priced(names: pd.DataFrame, snapshots: Mapping[str, Snapshot]) -> pd.DataFrame:
    """The candidates with price (USD) and traded_value_musd (of the last whole session), missing where unknown."""
    rows = []
    for symbol, market in snapshots.items():
        # Today's bar is a part of a session: its volume says little, but its close is the price.
        price = market.close or market.previous_close
        if price is not None:
            volume, close = market.previous_volume, market.previous_close
            traded = None if volume is None or close is None else float(volume * close) / 1e6
            rows.append((symbol, float(price), traded))
    prices = pd.DataFrame(rows, columns=["symbol", "price", "traded_value_musd"])
    return names[["symbol", "exchange", "description"]].merge(prices, on="symbol", how="left")


def ask(
    names: pd.DataFrame,
    known: Callable[[], pd.DataFrame],
    sweep: Sweep,
    keeping: Callable[[], AbstractContextManager[Callable[[dict[str, Any]], None]]],
    now: datetime,
    settings: Settings,
    before: Before,
) -> Answers:
    """Asks until nothing that could matter is unknown; each profile is kept as it arrives, by what `keeping` gives.

    Of a small universe only the most traded are asked for, and all that have ever been seen.

    What failed is compared with what is needed, whenever that came: a refresh that is run again asks for the rest
    alone, and of few that failed before each would be too many. Raises CannotRefresh then.
    """
    rules, asked, failures = settings.universe, 0, dict[str, str]()
    columns = [column for column in KnownProfiles.to_schema().columns if column != "known_at"]
    while True:
        facts = known()
        profiles = last_seen(names, facts, now, rules, failures, before.waiting)
        seen = {*facts["symbol"], *before.followed, *before.waiting, *failures}
        wanted, out = profiles, dict[str, str]()
        if asking.by_traded_value(rules):
            wanted = profiles[profiles["symbol"].isin(seen)]
        needed = len({*profiles.loc[profiles["fresh"], "symbol"], *failures})
        if too_many_failed(len(failures), needed, settings.guards):
            raise CannotRefresh(
                f"{len(failures)} of {needed} profiles could not be fetched, guards.max_failed_pct is "
                f"{settings.guards.max_failed_pct:g}: the last universe stays; run universe_refresh again, "
                "the profiles that came are kept",
                failures,
            )
        todo = [] if wanted.empty else selection.names_to_ask(wanted, rules)
        if not todo and wanted is not profiles:
            todo, out = asking.most_traded(profiles, seen, rules), asking.passed_over(profiles, seen, rules)
        if not todo:
            return Answers(wanted, asked, failures, out)
        asked += len(todo)
        with closing(sweep(todo)) as answers, keeping() as keep:
            for symbol, answer in answers:
                if isinstance(answer, ProviderError):
                    failures[symbol] = str(answer)
                else:
                    profile = asdict(answer) if answer is not None else {"symbol": symbol}
                    keep({column: profile.get(column) for column in columns})


def last_seen(
    names: pd.DataFrame,
    known: pd.DataFrame,
    now: datetime,
    rules: UniverseSettings,
    failures: Collection[str],
    waiting: Collection[str],
) -> pd.DataFrame:
    """The `Profiles` frame: what was last seen of each candidate, beside its price now.

    A call that failed says nothing of a stock: one of the `failures` is judged by its last profile, and left out only
    where there is none. Else a time-out would sell a position, and keep it out for a month. What was last seen of those
    that are `waiting` is what is in doubt: they are asked again, whatever it was.
    """
    frame = names.merge(known, on="symbol", how="left")
    age = now - frame["known_at"]
    frame["fresh"] = (age <= timedelta(days=rules.profile_max_age_days)) & frame["known_at"].notna()
    # The assumed drift is a drift since the last look, so that look must not lie too far back.
    too_old = age > timedelta(days=rules.share_count_max_age_days)
    in_doubt = frame["symbol"].isin(waiting) & ~frame["fresh"]
    frame["shares_outstanding_m"] = frame["shares_outstanding_m"].mask(too_old | in_doubt)
    failed = frame["symbol"].isin(failures)
    frame["fresh"] |= failed
    frame = frame[~failed | frame["shares_outstanding_m"].notna()]
    return frame[list(Profiles.to_schema().columns)]


def found(
    answers: Answers,
    outside: Iterable[tuple[Any, Any]],
    last: pd.DataFrame | None,
    now: datetime,
    rules: UniverseSettings,
    waiting: Mapping[str, Waiting],
) -> tuple[departures.Refresh, pd.Series]:
    """The refresh without its surroundings, and why profiles were not selected, by symbol.

    `outside`: symbols of listings that are out by themselves, and why; of two reasons the later holds. `waiting`: who
    waits in the last universe.
    """
    selected, reasons = selection.select(answers.profiles, rules)
    given = (*outside, *answers.passed_over.items(), *reasons.items(), *answers.unknown.items())
    out = {str(symbol): str(why) for symbol, why in given}
    refresh = departures.Refresh(selected, answers.profiles, out, last, now, rules, waiting=waiting)
    return refresh, reasons


def require_in_doubt(leave: Collection[str], settled: departures.Settled) -> None:
    """Raises CannotRefresh where a person lets symbols leave that are not in doubt."""
    if unknown := sorted(set(leave) - {one.symbol for one in settled.departures}):
        raise CannotRefresh(
            f"leave names symbols that are not in doubt: {', '.join(unknown[:20])}; `waiting` of the last "
            "materialization of universe lists those that are"
        )


def figis(listings: pd.DataFrame | None) -> dict[str, str]:
    """Symbol -> FIGI, "" where there is none."""
    return {} if listings is None else dict(zip(listings["symbol"], listings["figi"].fillna(""), strict=True))
