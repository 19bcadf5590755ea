"""Who is asked for where not all are: the stocks that a person has named, and the most traded for a small universe.

Which of those that were asked make the universe stays in selection.py. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

import pandas as pd

from tokenomics_dagster.settings.universe import UniverseSettings
from tokenomics_dagster.universe import selection
from tokenomics_dagster.universe.selection import NOT_NAMED, PASSED_OVER

if TYPE_CHECKING:
    from tokenomics_dagster.model.trading import Asset

# Names between two looks at how large the largest are: fewer calls beyond the end than a quarter of a minute makes.
_STEP = 10


def rules_of(rules: UniverseSettings, *, is_first: bool = False) -> UniverseSettings:
    """What a refresh goes by: `size` is that of the starter universe where it `is_first`, and the number of the stocks
    that a person has named. What is named is followed, both classes of a company, too."""
    if rules.symbols:
        return rules.model_copy(update={"size": len(rules.symbols), "one_share_class_per_issuer": False})
    return rules.model_copy(update={"size": rules.starter_size}) if is_first and rules.begins_small else rules


def by_traded_value(rules: UniverseSettings) -> bool:
    """Whether a universe of these rules (of `rules_of`) is chosen from the most traded names alone."""
    return not rules.symbols and rules.size <= max(rules.most_traded_up_to, rules.starter_size)


def named(names: pd.DataFrame, dropped: pd.Series[str], rules: UniverseSettings) -> tuple[pd.DataFrame, pd.Series[str]]:
    """Of `selection.candidates` what a person has named, and why the others are out; all where nobody has."""
    if not rules.symbols:
        return names, dropped
    kept = names["symbol"].isin(rules.symbols)
    others = pd.Series(NOT_NAMED, index=pd.Index(names.loc[~kept, "symbol"], name="symbol"), dtype="str")
    dropped = dropped.where(dropped.index.isin(rules.symbols), NOT_NAMED)
    return names[kept].reset_index(drop=True), pd.concat([dropped, others]).sort_index()


def most_traded(profiles: pd.DataFrame, seen: Collection[str], rules: UniverseSettings) -> list[str]:
    """Whom to ask next, of those never `seen`, most traded first; nobody once a larger one is unlikely to come.

    `profiles` is a `Profiles` frame in which `selection.names_to_ask` finds nothing to ask among the seen.

    Rule. While fewer than `size` of those seen qualify, as many of the most traded others as are lacking. After that,
    by ten (or `size` / 10, if that is more), whoever was traded for at least
        market cap of the size-th largest x median turnover of the size largest / turnover_factor,
    where turnover is traded value of the last session / market cap. A name traded less would have to turn over less
    than the turnover_factor-th part of what the largest do, to be among them. Turnover is measured, for the free feed
    IEX sees two or three percent of all trades: only the names' traded values against each other count.

    Limit. Traded value is a proxy: large names that are seldom traded (much held by founders or a parent) are missed.
    Of the recorded market's true 100 largest a factor of 1 finds 87 by 171 calls, 1.5 90 by 254, 3 92 by 443; 1.5 finds
    45 of its 50 largest by 144 calls and 488 of its 500 by 709 (the test holds these figures). Sessions of a year and
    of two years before, and traded value of twenty sessions in place of one, differ by no more than three names.
    """
    known = profiles[profiles["symbol"].isin(seen)]
    others = profiles[~profiles["symbol"].isin(seen) & profiles["price"].notna() & (profiles["traded_value_musd"] > 0)]
    others = others.sort_values(["traded_value_musd", "symbol"], ascending=[False, True])
    largest = known if known.empty else selection.select(known, rules)[0]
    if len(largest) < rules.size:
        return list(others["symbol"].head(rules.size - len(largest)))
    turnover = (largest["traded_value_musd"] / largest["market_cap_musd"]).median()
    least = largest["market_cap_musd"].iloc[-1] * turnover / rules.turnover_factor
    coming = others.head(max(_STEP, rules.size // 10))
    return list(coming.loc[coming["traded_value_musd"] >= least, "symbol"])


def passed_over(profiles: pd.DataFrame, seen: Collection[str], rules: UniverseSettings) -> dict[str, str]:
    """Why those who were not asked are out, by symbol."""
    rows = profiles.loc[~profiles["symbol"].isin(seen), ["symbol", "traded_value_musd"]]
    return {
        str(symbol): f"{PASSED_OVER}: the broker tells no traded value"
        if pd.isna(traded)
        else f"{PASSED_OVER}: traded for {traded:,.1f} million USD, too little to be among the {rules.size} largest"
        for symbol, traded in rows.itertuples(index=False)
    }


def doubts(
    rules: UniverseSettings, followed: Iterable[str], reasons: Mapping[str, str], assets: Mapping[str, Asset]
) -> dict[str, str]:
    """Which of the stocks that a person has named are not followed, or not traded by the broker, and why."""
    found, there = {}, set(followed)
    for symbol in rules.symbols:
        if symbol not in there:
            found[symbol] = reasons.get(symbol, "not listed")
        elif symbol not in assets or not assets[symbol].tradable:
            found[symbol] = "followed, but the broker does not trade it"
    return found
