"""Which addresses are taken, of whatever may hold a password: the sentences that refuse one quote none of it."""

import re
from urllib.parse import urlsplit

HOST = r"[^\s@/?#:\[\]]+|\[[0-9A-Fa-f:.]+\]"
# Stricter than those who take an address apart: they put what stands before a stray @, : or / of a password into the
# port or the host, and the sentence in which they complain quotes it.
_ADDRESS = re.compile(
    rf"(?P<scheme>[a-z0-9+]+)://(?:(?P<login>[^\s@/?#]*)@)?(?P<host>{HOST})?(?::[0-9]+)?(?P<rest>[/?#]\S*)?"
)
ENCODED = "with what is special in user or password percent-encoded (@ as %40, : as %3A, / as %2F, % as %25)"
NO_DATABASE = (
    "is not a database address: write sqlite:///FILE or postgresql+psycopg2://USER:PASSWORD@HOST:PORT/DATABASE "
    f"(other kinds are not known), {ENCODED}"
)
NO_REDIS = (
    "is not a Redis address: write redis://:PASSWORD@HOST:PORT/0 (or rediss://, unix:// instead of redis://), "
    f"{ENCODED}"
)
# Quotes nothing: of what was written wrongly any part may be the password.
NO_CHANNEL = (
    "number {place} is no address of apprise: write SERVICE://WHAT-THE-SERVICE-WANTS, such as discord://ID/TOKEN or "
    "mailtos://USER:PASSWORD@HOST, with spaces between two and what is special in them percent-encoded"
)


def is_channel(text: str) -> bool:
    """Whether it looks like an address of apprise; which services there are, and what each wants, is apprise's."""
    return re.fullmatch(r"[a-z][a-z0-9+.-]*://[^\s/]\S*", text) is not None and text.isprintable()


def is_address(text: str, *schemes: str) -> bool:
    """Whether all who take the address apart find the same user, password, host and port in it, and can."""
    found = _ADDRESS.fullmatch(text)
    if found is None or found["scheme"] not in schemes:
        return False
    # A password with a / in it ends what comes before; but an @ may stand in the path of a webhook (Teams').
    ends_later = "@" in (found["rest"] or "") and (found["login"] is not None or not found["scheme"].startswith("http"))
    try:
        return urlsplit(text).port != 0 and not ends_later
    except ValueError:  # a port over 65535, a sign that becomes one of @ : / when it is normalized
        return False


def is_page(url: str) -> str:
    """`url` without a / at its end, where it is an address of the web that holds no secret; else ValueError."""
    if not is_address(url, "http", "https") or not urlsplit(url).hostname:
        raise ValueError("must be an http(s) address: write https://HOST:PORT/PATH")
    parts = urlsplit(url)
    if parts.username or parts.password or parts.query:
        raise ValueError("must hold neither a user, a password nor a query: keys have variables of their own")
    return url.rstrip("/")
