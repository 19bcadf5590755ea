"""The names, tickers and FIGIs of a made-up market, each given once."""

import itertools

import numpy as np

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
FIGI_DIGITS = "0123456789BCDFGHJKLMNPQRSTVWXYZ"  # no vowels, as in real FIGIs

ROOT_STARTS = (
    "Al",
    "Bran",
    "Cal",
    "Dor",
    "El",
    "Fen",
    "Gal",
    "Har",
    "Ist",
    "Jor",
    "Kel",
    "Lor",
    "Mer",
    "Nor",
    "Or",
    "Pal",
)
ROOT_MIDDLES = ("a", "e", "i", "o", "u", "ander", "ens", "ic", "im", "on", "or", "ul")
ROOT_ENDS = (
    "bridge",
    "by",
    "dale",
    "field",
    "gate",
    "ham",
    "land",
    "mark",
    "mont",
    "port",
    "ra",
    "ston",
    "tis",
    "vex",
    "wick",
)
BUSINESSES = {
    "Bancorp": "Banking",
    "Biosciences": "Biotechnology",
    "Brands": "Consumer products",
    "Chemicals": "Chemicals",
    "Energy": "Energy",
    "Financial": "Financial Services",
    "Foods": "Food Products",
    "Health": "Health Care",
    "Industries": "Industrial Conglomerates",
    "Insurance": "Insurance",
    "Logistics": "Logistics & Transportation",
    "Materials": "Metals & Mining",
    "Media": "Media",
    "Motors": "Automobiles",
    "Networks": "Communications",
    "Pharmaceuticals": "Pharmaceuticals",
    "Properties": "Real Estate",
    "Semiconductor": "Semiconductors",
    "Software": "Technology",
    "Stores": "Retail",
    "Systems": "Technology",
    "Utilities": "Utilities",
}
FORMS = ("Inc", "Corp", "Co", "Ltd", "Holdings Inc", "Group Inc", "PLC")


class CompanyNames:
    """Drawn from `random`, in the order in which they are asked for."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random
        self._names: set[str] = set()
        self._tickers: set[str] = set()
        self._figis = itertools.count(int(random.integers(32**5)))

    def company(self) -> tuple[str, str]:
        """A name that no other has, and the business that it tells: a key of BUSINESSES."""
        while True:
            middle = "".join(self._random.choice(ROOT_MIDDLES, int(self._random.integers(1, 3))))
            business = str(self._random.choice(list(BUSINESSES)))
            name = f"{self._random.choice(ROOT_STARTS)}{middle}{self._random.choice(ROOT_ENDS)} {business}"
            if name not in self._names:
                self._names.add(name)
                return f"{name} {self._random.choice(FORMS)}", business

    def ticker(self, length: int, endings: str = "") -> str:
        for attempt in itertools.count():
            letters = "".join(LETTERS[place] for place in self._random.integers(26, size=length + attempt // 20))
            claimed = self.claim(letters[:-1] + str(self._random.choice(list(endings))) if endings else letters)
            if claimed:
                return claimed
        raise AssertionError("unreachable: tickers grow until one is free")

    def claim(self, ticker: str) -> str | None:
        """None if another has it."""
        if ticker in self._tickers:
            return None
        self._tickers.add(ticker)
        return ticker

    def figi(self) -> str:
        number, digits = next(self._figis), ""
        while len(digits) < 7:
            number, digit = divmod(number, len(FIGI_DIGITS))
            digits = FIGI_DIGITS[digit] + digits
        return f"BBG00{digits}"
