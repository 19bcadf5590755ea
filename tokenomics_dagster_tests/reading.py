"""An independent reading of the strategy's rules over a recorded market: from CSV files to universe, scores, weights.

Plain Python, on purpose without any of our code, numpy or pandas, and with the numbers of the design written in. The
pure rooms and the whole platform are compared with it.
"""

import csv
import gzip
from dataclasses import dataclass
from math import fsum
from pathlib import Path

MARKET = Path(__file__).resolve().parents[2] / "shared" / "data" / "market-2026-08-21"
WHY_SKIPPED = f"the recorded market {MARKET.name} lies beside the team's checkouts only"

# The words with which the name of a security begins, after that of its issuer.
KINDS = (
    ("class",), ("series",), ("voting",), ("subordinate",), ("common", "stock"), ("new", "common", "stock"),
    ("common", "shares"), ("capital", "stock"), ("ordinary", "share"), ("ordinary", "shares"),
    ("new", "york", "registry"), ("ny", "registry"),
)  # fmt: skip


@dataclass(frozen=True)
class Reading:
    """What the rules make of a recorded market; weights are shares of the portfolio, 0 to 1."""

    universe: list[str]
    scores: dict[str, float]
    unscored: dict[str, str]
    weights: dict[str, float]

    @property
    def cash_weight(self) -> float:
        return 1 - fsum(self.weights.values())


def read(market: Path = MARKET, size: int = 1500) -> Reading:
    """The `size` largest stocks of the recording, their scores, and the weights of the best hundred."""
    listings = {row["symbol"]: row for row in _rows(market / "listings.csv.gz")}
    fundamentals = {row["symbol"]: row for row in _rows(market / "fundamentals.csv.gz")}
    universe = universe_of(listings, size)
    scores, unscored = {}, {}
    for symbol in universe:
        reason = reason_without_score(fundamentals.get(symbol))
        if reason:
            unscored[symbol] = reason
        else:
            scores[symbol] = score_of(fundamentals[symbol])
    caps = {symbol: float(listings[symbol]["market_cap_musd"]) for symbol in universe}
    return Reading(universe, scores, unscored, weights_of(scores, caps))


def universe_of(listings: dict[str, dict[str, str]], size: int) -> list[str]:
    """Symbols of NYSE and NASDAQ common stocks, one class of each issuer, by falling market cap."""
    best: dict[str, str] = {}
    for symbol, row in listings.items():
        if row["mic"] not in ("XNYS", "XNAS") or row["type"] != "Common Stock" or not row["market_cap_musd"]:
            continue
        if float(row["market_cap_musd"]) <= 0:
            continue
        issuer = issuer_of(row["name"])
        rival = best.get(issuer)
        if rival is None or _class_rank(listings[rival]) > _class_rank(row):
            best[issuer] = symbol
    return sorted(best.values(), key=lambda symbol: (-float(listings[symbol]["market_cap_musd"]), symbol))[:size]


def issuer_of(name: str) -> str:
    """ "Alphabet Inc. Class A Common Stock" -> "alphabet inc."; the recording has no column for it."""
    words = name.casefold().split()
    for start in range(1, len(words)):
        for kind in KINDS:
            if tuple(words[start : start + len(kind)]) == kind:
                return " ".join(words[:start])
    return " ".join(words)


def reason_without_score(row: dict[str, str] | None) -> str | None:
    """Why there is no score: one word per figure, in no order that anything relies on."""
    if row is None:
        return "roe debt growth"
    reasons = []
    if any(row[cell] and float(row[cell]) < 0 for cell in ("debt_to_equity", "price_to_book")):
        reasons.append("negative")
    if not row["roe_ttm_pct"]:
        reasons.append("roe")
    if not row["debt_to_equity"]:
        reasons.append("debt")
    if not row["revenue_growth_yoy_pct"] and not row["eps_growth_yoy_pct"]:
        reasons.append("growth")
    return " ".join(reasons) or None


def score_of(row: dict[str, str]) -> float:
    """40 % ROE (-20 .. 40), 30 % debt/equity (3 .. 0), 30 % growth (-30 .. 50), each linear and clipped."""
    growth = [float(row[cell]) for cell in ("revenue_growth_yoy_pct", "eps_growth_yoy_pct") if row[cell]]
    roe_points = _clip((float(row["roe_ttm_pct"]) + 20) / 60)
    debt_points = _clip((3 - float(row["debt_to_equity"])) / 3)
    growth_points = _clip((fsum(growth) / len(growth) + 30) / 80)
    return fsum([40 * roe_points, 30 * debt_points, 30 * growth_points])


def weights_of(
    scores: dict[str, float], caps: dict[str, float], top: int = 100, least: float = 50.0, cap: float = 0.05
) -> dict[str, float]:
    """Weights of the `top` best, proportional to the score; what the cap cuts off is dealt out round by round."""
    good = [symbol for symbol, score in scores.items() if score >= least]
    held = sorted(good, key=lambda symbol: (-scores[symbol], -caps[symbol], symbol))[:top]
    weights: dict[str, float] = {}
    open_names = list(held)
    while open_names:
        left = 1 - cap * len(weights)
        total = fsum(scores[symbol] for symbol in open_names)
        over = [symbol for symbol in open_names if scores[symbol] / total * left > cap]
        if not over:
            weights |= {symbol: scores[symbol] / total * left for symbol in open_names}
            break
        weights |= dict.fromkeys(over, cap)
        open_names = [symbol for symbol in open_names if symbol not in over]
    return {symbol: weights[symbol] for symbol in held}


def _class_rank(row: dict[str, str]) -> tuple[float, float, str]:
    return (-float(row["last_price"]) * int(row["volume"]), -float(row["market_cap_musd"]), row["symbol"])


def _clip(share: float) -> float:
    return min(max(share, 0.0), 1.0)


def _rows(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
