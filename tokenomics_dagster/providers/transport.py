"""One HTTP call as both clients make it: paced, timed out, counted, retried if that is safe, judged, free of secrets.

It sits in the official clients as the adapter of their `requests` session: they go on building addresses, headers and
bodies, and no call can escape it. Imported only when a client is built: `requests` costs 40 ms.
"""

import json
import re
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential, wait_random
from urllib3.exceptions import NewConnectionError, ReadTimeoutError

from tokenomics_dagster.providers.errors import AuthenticationError, PermanentError, ProviderError, TransientError
from tokenomics_dagster.providers.pacing import Pacer, sleep_unless_stopped
from tokenomics_dagster.settings import SettingsError

T = TypeVar("T")

CONNECT_TIMEOUT_S = 5.0
MAX_PAUSE_S = 120.0  # both providers count per minute; whoever asks for more is not a rate limit to sit out
_BACKOFF = wait_exponential(multiplier=0.5, max=30.0) + wait_random(0.0, 0.5)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
# A 403 is about the key in these words; other words are about the plan or the account
_ABOUT_THE_KEY = re.compile(
    r"\b(?:api|access|secret)[ _-]?key|\btoken\b|\bforbidden\b|\bcredentials?\b|request is not authorized",
    re.IGNORECASE,
)
_KEPT = (
    "symbol", "available", "existing_qty", "held_for_orders", "buying_power", "cost_basis", "existing_order_id",
)  # fmt: skip


def session(adapter: "PacedAdapter", headers: Mapping[str, str]) -> requests.Session:
    """A session all of whose calls go through `adapter`."""
    made = requests.Session()
    made.mount("https://", adapter)
    made.mount("http://", adapter)
    made.headers.update({"Accept": "application/json", **headers})
    return made


def guarded(call: Callable[[], T]) -> T:
    """The result of `call`; its errors without traceback, as the frames below hold keys in local variables, which
    some tools print."""
    try:
        return call()
    except (ProviderError, SettingsError) as error:
        failure = error.with_traceback(None)
    raise failure


def header_value(variable: str, key: str) -> str:
    """The key, if it can stand in a header; otherwise `requests` would raise an error that quotes it."""
    if not re.fullmatch(r"[!-~]+", key):
        raise SettingsError(f"{variable} holds spaces, line breaks or other characters that no key has: copy it again")
    return key


class PacedAdapter(HTTPAdapter):
    """Every exchange of one API: GET up to `max_attempts` times, everything else exactly once.

    Returns only 2xx answers with a JSON body (DELETE also without one); all else is a ProviderError.
    """

    def __init__(
        self,
        provider: str,
        base_url: str,
        pacer: Pacer,
        *,
        timeout_s: float,
        max_attempts: int,
        connections: int,
        secrets: Mapping[str, str],
    ) -> None:
        super().__init__(pool_connections=1, pool_maxsize=connections, max_retries=0)
        try:
            requests.Request("GET", base_url).prepare()
        except requests.RequestException:
            address_is_usable = False
        else:
            address_is_usable = True
        if not address_is_usable:
            raise SettingsError(f"{provider}: {base_url!r} is not the address of a host: correct the base URL")
        self.pacer = pacer
        self._provider = provider
        self._base_path = urlsplit(base_url).path.rstrip("/")
        self._timeout_s = timeout_s
        self._max_attempts = max_attempts
        self._secrets = dict(secrets)
        self._calls: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def calls(self) -> dict[str, int]:
        """HTTP calls made, by endpoint ("GET /stock/metric"), every attempt counted."""
        with self._lock:
            return dict(self._calls)

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        endpoint = self._endpoint(request)
        options = {"stream": stream, "verify": verify, "cert": cert, "proxies": proxies}
        if request.method != "GET":
            return self._attempt(endpoint, request, options)
        retrying = Retrying(
            stop=stop_after_attempt(self._max_attempts),
            retry=retry_if_exception(_may_work_later),
            wait=self._backoff,
            sleep=sleep_unless_stopped,
            reraise=True,
        )
        return retrying(self._attempt, endpoint, request, options)

    def _endpoint(self, request: requests.PreparedRequest) -> str:
        path = re.sub(r"/{2,}", "/", urlsplit(request.url or "").path).removeprefix(self._base_path)
        return f"{request.method} {_UUID.sub('{id}', path)}"

    def _attempt(self, endpoint: str, request: requests.PreparedRequest, options: dict[str, Any]) -> requests.Response:
        self.pacer.acquire()
        with self._lock:
            self._calls[endpoint] += 1
        timeout = (min(CONNECT_TIMEOUT_S, self._timeout_s), self._timeout_s)
        failure: ProviderError | None
        try:
            response = super().send(request, **{**options, "timeout": timeout})
            assert response.content is not None  # reads the body: a connection lost half-way is found here
        except requests.RequestException as error:
            failure = self._no_answer(endpoint, error)
        else:
            failure = self._refusal(endpoint, response)
        if failure is None:
            return response
        if isinstance(failure, TransientError) and failure.retry_after_s is not None and _may_work_later(failure):
            self.pacer.pause(failure.retry_after_s)
        raise failure  # not inside the except: what requests raised holds the headers, and would be its context

    def _backoff(self, state: RetryCallState) -> float:
        assert state.outcome is not None
        error = state.outcome.exception()
        assert isinstance(error, TransientError)
        if error.retry_after_s is not None:
            return 0.0  # the pacer holds everybody back
        backoff_s = _BACKOFF(state)
        if error.status == 429:
            self.pacer.pause(backoff_s)
            return 0.0
        return backoff_s

    def _no_answer(self, endpoint: str, error: requests.RequestException) -> ProviderError:
        causes = list(_causes(error))
        if isinstance(error, ValueError):  # requests' InvalidURL, InvalidProxyURL, ...
            return PermanentError(self._provider, endpoint, None, "the address cannot be used")
        if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
            return PermanentError(self._provider, endpoint, None, "the certificate of the host is not valid")
        if isinstance(error, requests.ConnectTimeout) or any(isinstance(c, NewConnectionError) for c in causes):
            return TransientError(self._provider, endpoint, None, "the host cannot be reached", unsent=True)
        if isinstance(error, requests.Timeout) or any(isinstance(c, ReadTimeoutError) for c in causes):
            return TransientError(self._provider, endpoint, None, f"none came within {self._timeout_s:g} s")
        return TransientError(self._provider, endpoint, None, "the connection was lost")

    def _refusal(self, endpoint: str, response: requests.Response) -> ProviderError | None:
        status = response.status_code
        try:
            body = json.loads(response.content)
        except ValueError:
            body = None
            if 200 <= status < 300 and not (endpoint.startswith("DELETE ") and not response.content):
                return TransientError(self._provider, endpoint, status, "the body is not JSON: cut off, or a web page")
        if 200 <= status < 300:
            response.headers["Content-Type"] = "application/json"  # finnhub-python goes by this, we by the body
            return None
        reason = self._reason(response, body)
        if status == 401 or (status == 403 and _ABOUT_THE_KEY.search(reason)):
            return AuthenticationError(self._provider, endpoint, status, reason, variables=tuple(self._secrets))
        if status in (408, 429) or status >= 500:
            return TransientError(self._provider, endpoint, status, reason, retry_after_s=_retry_after_s(response))
        fields = body if isinstance(body, dict) else {}
        code = fields.get("code")
        return PermanentError(
            self._provider,
            endpoint,
            status,
            reason,
            code=code if isinstance(code, int) else None,
            details={key: self._redacted(str(fields[key])) for key in _KEPT if fields.get(key) is not None},
        )

    def _reason(self, response: requests.Response, body: Any) -> str:
        fields = body if isinstance(body, dict) else {}
        for text in (fields.get("message"), fields.get("error")):
            if isinstance(text, str) and text.strip():
                return self._redacted(text)
        if 300 <= response.status_code < 400:
            return "the host redirects to another address"
        return "no reason given"

    def _redacted(self, text: str) -> str:
        for variable, key in self._secrets.items():
            text = text.replace(key, f"<{variable}>")
        return " ".join(text.split())[:300]


def _may_work_later(error: BaseException) -> bool:
    return isinstance(error, TransientError) and (error.retry_after_s or 0.0) <= MAX_PAUSE_S


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it wraps: requests and urllib3 keep it in args, `reason` and the context."""
    seen: set[int] = set()
    todo: list[Any] = [error]
    while todo:
        one = todo.pop()
        if isinstance(one, BaseException) and id(one) not in seen:
            seen.add(id(one))
            yield one
            todo += [*one.args, getattr(one, "reason", None), one.__cause__, one.__context__]


def _retry_after_s(response: requests.Response) -> float | None:
    """Seconds to wait: Retry-After (seconds or a date), else X-RateLimit-Reset (Unix seconds) plus one second.

    Instants are measured from the answer's own Date, so that a wrong clock here does not matter.
    """
    now = _http_date(response.headers.get("Date")) or time.time()
    after = response.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", after):
        return float(after)
    if (at := _http_date(after)) is not None:
        return max(0.0, at - now)
    reset = response.headers.get("X-RateLimit-Reset", "").strip()
    if response.status_code == 429 and re.fullmatch(r"\d{1,12}(\.\d+)?", reset):
        wait_s = float(reset) - now + 1.0
        return wait_s if 0.0 < wait_s <= MAX_PAUSE_S else None
    return None


def _http_date(text: str | None) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp() if text else None
    except ValueError:
        return None
