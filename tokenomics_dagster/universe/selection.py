"""Which listings are candidates, which of them must be asked for their profile again, and which make the universe.

Pure functions of tables and rules; asking, pricing and storing stay out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import numpy as np
import pandas as pd

from tokenomics_dagster.settings.universe import UniverseSettings
from tokenomics_dagster.universe.schema import Listings, Profiles, Universe

MICS = {
    "NYSE": ("XNYS",),
    "NASDAQ": ("XNAS", "XNGS", "XNMS", "XNCM"),
    "AMEX": ("XASE",),
}
# A bound that a market cap reaches exactly must not fail on the last bits of shares x price.
ROUNDING = 1 + 1e-9
# How the reasons of those begin that are out by size alone, or because a person names others; all others are for a
# fault.
NOT_NAMED = "not named in universe.symbols"
PASSED_OVER = "not asked for"
_RANK_REASONS = ("below the ", "not asked for again: ", f"{PASSED_OVER}: ", NOT_NAMED)
_CLASS = re.compile(r" (?:class|cl|series|ser) [a-z0-9]$")
_LEGAL_FORMS = frozenset(
    ("co", "company", "corp", "corporation", "inc", "incorporated", "limited", "llc", "lp", "ltd", "plc", "the")
)
# CENT and CENTA, FOX and FOXA: the tickers of an issuer's classes differ by no more at the end.
_CLASS_LETTERS = 2


def candidates(listings: pd.DataFrame, rules: UniverseSettings) -> tuple[pd.DataFrame, pd.Series]:
    """The listings that may enter the universe, and why the others may not.

    Takes rows of the `Listings` columns and returns them without the dropped ones, ordered by symbol and with a column
    `exchange` (NYSE, NASDAQ or AMEX), beside a Series symbol -> reason. Identical rows count once, and a symbol that is
    disputed is out.
    """
    listings, disputed = undisputed(listings, rules)
    listings = Listings.validate(listings).sort_values("symbol", ignore_index=True)
    listings = listings.assign(exchange=listings["mic"].map(_exchange_of(rules)))
    reasons = _unfit(listings, rules)
    dropped = reasons.notna()
    why = pd.Series(reasons[dropped].to_numpy(), index=listings.loc[dropped, "symbol"], name="reason", dtype="str")
    return listings[~dropped].reset_index(drop=True), pd.concat([why, disputed]).sort_index()


def undisputed(rows: pd.DataFrame, rules: UniverseSettings) -> tuple[pd.DataFrame, pd.Series]:
    """One row per symbol, and why the symbols without one have none.

    Of a symbol with rows that differ nobody knows which to believe. Where one of them could enter the universe, all are
    out; of an over-the-counter name, which could not, the first is as good as the second.
    """
    rows = rows.drop_duplicates(ignore_index=True)
    repeated = rows[rows["symbol"].duplicated(keep=False)]
    disputed = sorted(set(repeated.loc[_unfit(repeated, rules).isna(), "symbol"]))
    sentences = [
        "listed more than once with rows that differ: "
        + " and ".join(sorted({" ".join(row) for row in _texts(repeated[repeated["symbol"] == symbol])}))
        for symbol in disputed
    ]
    why = pd.Series(sentences, index=pd.Index(disputed, name="symbol", dtype="str"), name="reason", dtype="str")
    return rows[~rows["symbol"].isin(disputed)].drop_duplicates("symbol", ignore_index=True), why


def left_out(frame: pd.DataFrame, dropped: Mapping[str, str], disputed: pd.Series) -> dict[str, str]:
    """Why symbols have no row in the `frame` of listings: their rows were `dropped` one by one, or are `disputed`."""
    listed = set(frame["symbol"])
    rows = {symbol: reason for symbol, reason in dropped.items() if symbol not in listed}
    return rows | {str(symbol): str(reason) for symbol, reason in disputed.items()}


def issuers(symbols: Sequence[str], names: Sequence[str | None]) -> list[str]:
    """A key of each row that the classes of one company share; a row without a name has its own.

    Names that are equal but for case and space are one company's. Names that `comparable` makes equal are one company's
    only where the tickers belong together: First BanCorp. (FBP) is in Puerto Rico, First Bancorp (FBNC) in Carolina.
    """
    plain = ["" if pd.isna(name) else " ".join(str(name).casefold().split()) for name in names]
    groups: dict[str, list[int]] = {}
    for row, name in enumerate(plain):
        groups.setdefault(comparable(name) or f"\t{symbols[row]}", []).append(row)
    keys = [""] * len(plain)
    for key, rows in groups.items():
        companies: list[list[int]] = []
        for row in rows:
            related = [
                company
                for company in companies
                if any(plain[row] == plain[one] or _akin(symbols[row], symbols[one]) for one in company)
            ]
            companies = [one for one in companies if one not in related]
            companies.append([row, *(one for company in related for one in company)])
        for company in companies:
            first = min(symbols[row] for row in company)
            for row in company:
                keys[row] = key if len(companies) == 1 else f"{key}\t{first}"
    return keys


@lru_cache(maxsize=32_768)
def comparable(name: str) -> str:
    """A company's name for comparison only: without case, marks, invisible characters, class and legal form."""
    text = unicodedata.normalize("NFKC", name).casefold()
    text = "".join(one for one in text if unicodedata.category(one) != "Cf").replace("&", " and ")
    words = re.sub(r"[^\w\s]|_", " ", re.sub(r"['\u2019.]", "", text)).split()
    words = _CLASS.sub("", " ".join(words)).split()
    while len(words) > 1 and words[-1] in _LEGAL_FORMS:
        words.pop()
    return " ".join(words[1:] if len(words) > 1 and words[0] == "the" else words)


def by_rank(reason: str) -> bool:
    """Whether a reason of `select` is the size alone."""
    return reason.startswith(_RANK_REASONS)


def names_to_ask(profiles: pd.DataFrame, rules: UniverseSettings) -> list[str]:
    """Symbols whose profile must be asked for before `select` can know the universe; most important first.

    Ask for these, put the answers into `profiles` (a `Profiles` frame; `fresh`, also where the answer was empty) and
    call again, until nothing comes back. A symbol whose answer cannot be got must leave the frame, or it comes back for
    ever.

    Rule. A fresh profile gives an exact market cap. Any other name has at most
        max(shares last seen x price now, market cap last seen if in USD)
        x (1 + share_count_drift_pct) x (1 + max_cap_disagreement_pct),
    because a cap further above shares x price would be quarantined; there is no bound where no shares are known. An
    issuer counts with its most traded class that is not ruled out. The cutoff is the `size`-th largest of the exact
    caps and bounds; whoever reaches it and is not fresh is asked for. Once all who reach it are fresh, no answer of
    the others could change the universe or its order. No rule can do with less: bounds only fall as answers come, so
    each name that is asked for could have belonged to the final universe. A name without a price is never asked for:
    its market cap cannot be checked, so it cannot enter.

    Assumption. Since its profile was last seen, a share count has changed by at most share_count_drift_pct, and the
    name still carries the company name of its issuer's other classes. The last market cap is in the rule for splits:
    after 10 for 1, old shares x new price is a tenth of the truth. Pass no shares where the last profile is too old.

    Saving. A simulated month with 4,500 names, share counts moved by up to 20 % and prices by 12 %: the top 1,500 cost
    2,241 calls in 12 rounds instead of 4,500, and equal those of asking for all (the test holds these figures).
    """
    return _undecided(_standing(Profiles.validate(profiles), rules), rules)


def select(profiles: pd.DataFrame, rules: UniverseSettings) -> tuple[pd.DataFrame, pd.Series]:
    """The universe, and why each other name is not in it.

    Takes the `Profiles` frame for which `names_to_ask` returned nothing (ValueError otherwise) and returns a `Universe`
    frame, the `size` largest by market cap (ties: symbol), and a Series symbol -> reason for all other rows.
    """
    standing = _standing(Profiles.validate(profiles), rules)
    undecided = _undecided(standing, rules)
    if undecided:
        raise ValueError(
            f"{len(undecided)} names could still belong to the universe, e.g. {', '.join(undecided[:5])}: "
            "ask for the profiles that names_to_ask returns, or drop the names that gave no answer"
        )
    kept = standing["reason"].isna() & standing["fresh"]
    ranked = standing[kept].sort_values(["market_cap_musd", "symbol"], ascending=[False, True], ignore_index=True)
    ranked["rank"] = np.arange(1, len(ranked) + 1)
    universe = ranked.head(rules.size)
    reasons = standing.set_index("symbol")["reason"]
    reasons[ranked["symbol"].iloc[rules.size :]] = f"below the {rules.size} largest by market cap"
    unasked = standing[standing["reason"].isna() & ~standing["fresh"]]
    reasons[unasked["symbol"]] = [
        f"not asked for again: at most {bound:,.0f} million USD, below the {rules.size} largest"
        for bound in unasked["bound"]
    ]
    columns = list(Universe.to_schema().columns)
    return Universe.validate(universe[columns]), reasons[reasons.notna()].sort_index()


def _exchange_of(rules: UniverseSettings) -> dict[str, str]:
    return {mic: exchange for exchange in rules.exchanges for mic in MICS[exchange]}


def _unfit(listings: pd.DataFrame, rules: UniverseSettings) -> pd.Series:
    """Why each row can be no candidate, missing where it can."""
    mics = _exchange_of(rules)
    reasons = pd.Series(pd.NA, index=listings.index, dtype="str")
    for bad, value, wanted in (
        (listings["currency"] != "USD", "currency", "USD"),
        (~listings["type"].isin(rules.security_types), "type", " or ".join(rules.security_types)),
        (~listings["mic"].isin(list(mics)), "mic", " or ".join(mics)),
    ):
        reasons[bad] = value + " " + listings.loc[bad, value].fillna("missing") + ", not " + wanted
    return reasons


def _texts(rows: pd.DataFrame) -> Iterable[Sequence[str]]:
    return rows[["description", "mic", "type", "currency"]].fillna("missing").itertuples(index=False)


def _akin(one: str, other: str) -> bool:
    """Whether two tickers look like classes of one company: BRK.A and BRK.B, UA and UAA, LBRDA and LBRDK."""
    shorter, longer = sorted((one.partition(".")[0], other.partition(".")[0]), key=len)
    if len(shorter) == len(longer):
        return shorter[:-1] == longer[:-1]
    return longer.startswith(shorter) and len(longer) - len(shorter) <= _CLASS_LETTERS


def _standing(profiles: pd.DataFrame, rules: UniverseSettings) -> pd.DataFrame:
    """The rows with three more columns.

    `reason`: why the row is out, whatever the others answer. `bound`: its largest possible market cap, million USD.
    `issuer_bound`: the largest with which its issuer can count; set where the row is the class that counts,
    unless its own answer rules it out.
    """
    frame = profiles.copy()
    # Zero, negative and infinite figures are no figures.
    for column in ("market_cap_musd", "shares_outstanding_m", "price"):
        frame[column] = frame[column].where((frame[column] > 0) & np.isfinite(frame[column]))
    traded = frame["traded_value_musd"]
    frame["traded_value_musd"] = traded.where((traded >= 0) & np.isfinite(traded))
    by_shares = frame["shares_outstanding_m"] * frame["price"]
    cap = frame["market_cap_musd"]
    allowed = 1 + rules.max_cap_disagreement_pct / 100
    reach = (1 + rules.share_count_drift_pct / 100) * allowed * ROUNDING
    last_seen = cap.where(frame["currency"] == "USD")
    largest = pd.Series(np.fmax(by_shares, last_seen), index=frame.index).where(by_shares.notna(), np.inf) * reach
    frame["bound"] = cap.where(frame["fresh"], largest)
    frame["reason"] = _reasons(frame, by_shares, allowed, rules)

    # Among equally traded classes the larger cap counts, so those whose cap is not known yet come before the others.
    frame["traded"] = frame["traded_value_musd"].fillna(0.0)
    order = {"traded": False, "fresh": True, "bound": False, "symbol": True}
    frame = frame.sort_values(list(order), ascending=list(order.values()), ignore_index=True)
    kept: dict[str, str] = {}
    leader: dict[str, int] = {}
    most: dict[str, float] = {}
    surpassed: dict[int, str] = {}
    possible = frame.loc[frame["reason"].isna(), ["symbol", "name", "fresh", "bound"]]
    symbols = list(possible["symbol"])
    owners = issuers(symbols, list(possible["name"])) if rules.one_share_class_per_issuer else symbols
    for issuer, (row, symbol, _, fresh, bound) in zip(owners, possible.itertuples(), strict=True):
        if issuer in kept:
            surpassed[row] = f"another class of the issuer is traded more: {kept[issuer]}"
            continue
        leader.setdefault(issuer, row)
        most[issuer] = max(bound, most.get(issuer, 0.0))
        if fresh:
            kept[issuer] = symbol
    frame.loc[list(surpassed), "reason"] = list(surpassed.values())
    frame["issuer_bound"] = pd.Series({leader[issuer]: bound for issuer, bound in most.items()}, dtype="float64")
    return frame


def _reasons(frame: pd.DataFrame, by_shares: pd.Series, allowed: float, rules: UniverseSettings) -> pd.Series:
    cap, fresh = frame["market_cap_musd"], frame["fresh"]
    currency = frame["currency"].fillna("")
    empty = frame["name"].isna() & (currency == "") & cap.isna() & frame["shares_outstanding_m"].isna()
    differs = np.fmax(cap, by_shares) / np.fmin(cap, by_shares) > allowed
    reasons = pd.Series(pd.NA, index=frame.index, dtype="str")
    # The last that holds is the one that is told.
    reasons[fresh & differs] = [
        f"quarantine: market cap {cap:,.1f} million differs from {shares:,.3f} million shares x {price:g} USD "
        f"by more than {rules.max_cap_disagreement_pct:g} %"
        for cap, shares, price in frame.loc[
            fresh & differs, ["market_cap_musd", "shares_outstanding_m", "price"]
        ].itertuples(index=False)
    ]
    reasons[fresh & frame["shares_outstanding_m"].isna()] = "quarantine: no share count to check the market cap with"
    reasons[frame["price"].isna()] = "quarantine: no price to check the market cap with"
    foreign = fresh & (currency != "USD")
    reasons[foreign] = (
        "quarantine: currency of the market cap is " + currency[foreign].replace("", "missing") + ", not USD"
    )
    reasons[fresh & cap.isna()] = "no market cap"
    reasons[fresh & empty] = "no profile"
    return reasons


def _undecided(standing: pd.DataFrame, rules: UniverseSettings) -> list[str]:
    leaders = standing[standing["issuer_bound"].notna()]
    bounds = np.sort(leaders["issuer_bound"].to_numpy())[::-1]
    cutoff = bounds[rules.size - 1] if len(bounds) >= rules.size else -np.inf
    asked = leaders[~leaders["fresh"] & (leaders["issuer_bound"] >= cutoff)]
    return list(asked.sort_values(["issuer_bound", "symbol"], ascending=[False, True])["symbol"])
