"""What a materialization of listings and universe shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from math import log10
from typing import TYPE_CHECKING, Any

from tokenomics_dagster.kit import plots, sketch
from tokenomics_dagster.kit.metadata import figure, image, table
from tokenomics_dagster.universe.departures import NOT_LISTED, Settled
from tokenomics_dagster.universe.selection import by_rank

if TYPE_CHECKING:
    import dagster as dg
    import pandas as pd

    from tokenomics_dagster.universe.refresh import Answers


def listings(frame: pd.DataFrame, disputed: Mapping[str, str]) -> dict[str, Any]:
    counted = (("types", "type"), ("exchanges", "mic"), ("currencies", "currency"))
    return {
        "in_short": f"{len(frame):,} listings; {len(disputed):,} symbols are disputed, and left out",
        "disputed": table(disputed.items(), "symbol", "rows", limit=50),
        **{
            name: table(Counter(frame[column].fillna("missing")).most_common(), name, "listings")
            for name, column in counted
        },
    }


def universe(
    settled: Settled,
    last: pd.DataFrame | None,
    answers: Answers,
    outside: Mapping[str, str],
    *,
    candidates: int,
    new_symbols: int,
) -> dict[str, Any]:
    """How it came about, the largest, who entered, left and waits, and the pictures; `outside`: why who is out."""
    caps = settled.universe["market_cap_musd"].sort_values(ascending=False)
    ends = f"from {figure(caps.iloc[0])} to {figure(caps.iloc[-1])} million USD" if len(caps) else "none"
    return {
        "picture": sketch.line(
            "market cap by rank, log scale", (log10(cap) for cap in caps if cap > 0), f"market cap by rank: {ends}"
        ),
        "in_short": f"{len(caps):,} stocks, {ends}; {answers.asked:,} of {candidates:,} candidates were asked for, "
        f"{len(answers.failures):,} without an answer; {new_symbols:,} symbols are new",
        "candidates": candidates,
        "asked": answers.asked,
        "spared": candidates - answers.asked,
        "failed": len(answers.failures),
        "judged_by_last_profile": table(
            ((symbol, answers.failures[symbol]) for symbol in answers.judged_by_last), "symbol", "error"
        ),
        "new_symbols": new_symbols,
        "dropped": table(_kinds(outside.values()), "reason", "names"),
        "largest_dropped": table(
            _largest_dropped(outside, answers.profiles),
            "symbol",
            "reason",
            "market cap last seen, millions",
            limit=50,
        ),
        **_names(settled, last, outside),
    }


def _names(
    settled: Settled, last: pd.DataFrame | None, outside: Mapping[str, str]
) -> dict[str, dg.MarkdownMetadataValue]:
    selected, columns = settled.universe, ["symbol", "name", "market_cap_musd"]
    ranks = {} if last is None else dict(zip(last["symbol"], last["rank"], strict=True))
    known = {one.symbol: one for one in settled.departures}
    left = [
        (s, known[s].reason, known[s].verdict, ranks[s])
        if s in known
        else (s, outside.get(s, NOT_LISTED), "at once, by its rank", ranks[s])
        for s in sorted({*ranks} - {*selected["symbol"]})
    ]
    waiting = [(o.symbol, o.reason, o.former_rank, o.verdict, f"{o.since:%Y-%m-%d}") for o in settled.waiting]
    entered = selected.loc[~selected["symbol"].isin(list(ranks)), columns]
    by_industry = selected["industry"].fillna("").replace("", "unknown").value_counts(normalize=True)
    industries = {str(name): float(share) for name, share in by_industry.items()}
    titles = ("symbol", "name", "market cap, million USD")
    return {
        "largest": table(selected.head(10)[columns].itertuples(index=False), *titles),
        "entered": table(entered.itertuples(index=False), *titles),
        "left": table(left, "symbol", "reason", "why now", "former rank", limit=50),
        "waiting": table(waiting, "symbol", "reason", "former rank", "look", "since", limit=50),
        "caps_by_rank": image(
            "market caps by rank",
            plots.caps_by_rank,
            selected["market_cap_musd"],
            () if last is None else last["market_cap_musd"],
        ),
        "industry_shares": image("industries", plots.industry_shares, industries, of="the stocks"),
    }


def _largest_dropped(outside: Mapping[str, str], profiles: pd.DataFrame) -> list[tuple[str, str, float]]:
    """Who is out for another reason than size, the largest first; those of unknown size last."""
    caps = dict(zip(profiles["symbol"], profiles["market_cap_musd"].fillna(0.0), strict=True))
    rows = [(symbol, why, caps.get(symbol, 0.0)) for symbol, why in outside.items() if not by_rank(why)]
    return sorted(rows, key=lambda row: (-row[2], row[0]))


def _kinds(reasons: Iterable[str]) -> list[tuple[str, int]]:
    """Reasons without their figures, most frequent first."""
    return Counter(reason.split(":")[0].split(",")[0] for reason in reasons).most_common()
