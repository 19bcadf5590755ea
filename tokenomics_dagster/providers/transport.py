"""One HTTP call as both clients make it: paced, timed, bounded, counted, retried if safe, judged, free of secrets.

It sits in the official clients as the adapter of their `requests` session: they go on building addresses, headers and
bodies, and no call can escape it. Imported only when a client is built: `requests` costs 40 ms.
"""

import io
import json
import re
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential, wait_random
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import ConnectionPool, HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError, ReadTimeoutError
from urllib3.poolmanager import PoolManager, ProxyManager

from tokenomics_dagster.providers.errors import AuthenticationError, PermanentError, ProviderError, TransientError
from tokenomics_dagster.providers.pacing import Pacer, sleep_unless_stopped
from tokenomics_dagster.settings.section import SettingsError

CONNECT_TIMEOUT_S = 5.0
MAX_BODY = 64 * 2**20  # bytes, unpacked; the longest answers, all US listings and Alpaca's assets, are some 10 MB
MAX_PAUSE_S = 120.0  # both providers count per minute; whoever asks for more is not a rate limit to sit out
_BACKOFF = wait_exponential(multiplier=0.5, max=30.0) + wait_random(0.0, 0.5)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
# What one plan may not see, in the words of both providers: as 403, and for single symbols as 401
_ABOUT_THE_PLAN = re.compile(r"(?:have|has) access to this|subscription|upgrade", re.IGNORECASE)
# A 403 is about the key in these words; other words are about the plan or the account
_ABOUT_THE_KEY = re.compile(
    r"\b(?:api|access|secret)[ _-]?key|\btoken\b|\bforbidden\b|\bcredentials?\b|request is not authorized",
    re.IGNORECASE,
)
_KEPT = (
    "symbol", "available", "existing_qty", "held_for_orders", "buying_power", "cost_basis", "existing_order_id",
)  # fmt: skip


def session(adapter: "PacedAdapter", headers: Mapping[str, str]) -> requests.Session:
    """A session all of whose calls go through `adapter`, to its host.

    Of the environment proxies and certificates count, read once: for each call they, and a look for a .netrc, cost a
    fifth of what the call costs here. What a .netrc has for the host is of somebody else, and would go out beside ours.
    """
    made = requests.Session()
    told = made.merge_environment_settings(adapter.base_url, {}, stream=None, verify=True, cert=None)
    made.trust_env, made.proxies, made.verify = False, told["proxies"], told["verify"]
    made.mount("https://", adapter)
    made.mount("http://", adapter)
    made.headers.update({"Accept": "application/json", **headers})
    return made


def header_value(variable: str, key: str) -> str:
    """The key, if it can stand in a header; otherwise `requests` would raise an error that quotes it."""
    if not re.fullmatch(r"[!-~]+", key):
        raise SettingsError(f"{variable} holds spaces, line breaks or other characters that no key has: copy it again")
    return key


class _Until(threading.local):
    """When the call of this thread must have its whole answer, by time.monotonic()."""

    at: float = float("inf")


_until = _Until()


class _Departure(threading.local):
    """What this thread's next call that is no GET is asked when its turn has come; it may raise."""

    check: Callable[[], None] | None = None


_departure = _Departure()


@contextmanager
def checked_at_departure(check: Callable[[], None]) -> Iterator[None]:
    """Calls of this block that are no GET run `check` once the pace lets them go: whoever waits for minutes, or sleeps
    meanwhile, may find that the call is no longer wanted."""
    _departure.check = check
    try:
        yield
    finally:
        _departure.check = None


class _TimedReader(io.RawIOBase):
    """Reads until the deadline of its call. A socket's own time-out begins anew with every byte: an answer that drips,
    in its headers or in its body, would be read for ever."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw, self._sock, self._deadline = raw, sock, _until.at

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left_s = self._deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        silence_s = self._sock.gettimeout()  # set anew by urllib3 before each answer
        if silence_s is None or silence_s > left_s:
            self._sock.settimeout(left_s)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimedResponse(HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp = io.BufferedReader(_TimedReader(self.fp.detach(), sock))


class _Connection(HTTPConnection):
    response_class = _TimedResponse


class _SecureConnection(HTTPSConnection):
    response_class = _TimedResponse


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


_POOLS = {"http": _Pool, "https": _SecurePool}


class _Judged(requests.Response):
    """A response whose body was read, bounded and parsed: both clients ask for json(), and must not parse anew."""

    def __init__(self, response: requests.Response, content: bytes, body: Any) -> None:
        super().__init__()
        self.__dict__.update(response.__dict__)
        self._content, self._content_consumed = content, True
        self._body = body

    def json(self, **_: Any) -> Any:
        return self._body


@dataclass(frozen=True, slots=True)
class Patience:
    """`timeout_s` is for each silence, `deadline_s` for one attempt from the call to the last byte."""

    timeout_s: float
    deadline_s: float
    max_attempts: int


class PacedAdapter(HTTPAdapter):
    """Every exchange of one API: GET up to `max_attempts` times, everything else exactly once.

    Returns only 2xx answers with a JSON body (DELETE also without one); all else is a ProviderError.
    """

    def __init__(
        self,
        provider: str,
        base_url: str,
        pacer: Pacer,
        patience: Patience,
        *,
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
        self.base_url = base_url
        self.pacer = pacer
        self._provider = provider
        self._base_path = urlsplit(base_url).path.rstrip("/")
        self._timeout_s = min(patience.timeout_s, patience.deadline_s)
        self._deadline_s = patience.deadline_s
        self._max_attempts = patience.max_attempts
        self._secrets = dict(secrets)
        self._calls: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._pools: dict[tuple[str, str], ConnectionPool] = {}

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> PoolManager:
        """The environment's proxies have pools of their own, which would know no deadline."""
        manager: PoolManager = super().proxy_manager_for(proxy, **options)
        if isinstance(manager, ProxyManager):  # those of SOCKS connect otherwise; requests refuses it without PySocks
            manager.pool_classes_by_scheme = _POOLS
        return manager

    def get_connection_with_tls_context(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> Any:
        """The pool of the host, which requests looks for anew before each call, on the disk too: within a session
        neither its proxies nor its certificates change."""
        host = urlsplit(request.url or "")[:2]
        pool = self._pools.get(host)
        if pool is None:
            pool = self._pools[host] = super().get_connection_with_tls_context(request, *args, **options)
        return pool

    def close(self) -> None:
        self._pools.clear()
        super().close()

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
        if request.method != "GET" and _departure.check is not None:
            _departure.check()
        with self._lock:
            self._calls[endpoint] += 1
        _until.at = time.monotonic() + self._deadline_s
        timeout = (min(CONNECT_TIMEOUT_S, self._timeout_s), self._timeout_s)
        answer: requests.Response | ProviderError
        try:
            response = super().send(request, **{**options, "timeout": timeout})
            content = _content(response)  # a connection lost half-way is found here
        except (OSError, ValueError) as error:  # those of requests, and what escapes it before anything is sent
            answer = self._no_answer(endpoint, error)
        else:
            answer = self._judged(endpoint, response, content)
        finally:
            _until.at = float("inf")
        if isinstance(answer, requests.Response):
            return answer
        if isinstance(answer, TransientError) and answer.retry_after_s is not None and _may_work_later(answer):
            self.pacer.pause(answer.retry_after_s)
        raise answer  # not inside the except: what requests raised holds the headers, and would be its context

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

    def _no_answer(self, endpoint: str, error: OSError | ValueError) -> ProviderError:
        if not isinstance(error, requests.RequestException):  # its words may hold a proxy's password
            words = (
                "no call can be made: REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE names a file that is not there, or "
                "HTTPS_PROXY or HTTP_PROXY is no address: correct the environment"
            )
            return PermanentError(self._provider, endpoint, None, words)
        causes = list(_causes(error))
        if isinstance(error, ValueError):  # requests' InvalidURL, InvalidProxyURL, ...
            return PermanentError(self._provider, endpoint, None, "the address cannot be used")
        if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
            return PermanentError(self._provider, endpoint, None, "the certificate of the host is not valid")
        if isinstance(error, requests.ConnectTimeout) or any(isinstance(c, NewConnectionError) for c in causes):
            return TransientError(self._provider, endpoint, None, "the host cannot be reached", unsent=True)
        if isinstance(error, requests.Timeout) or any(isinstance(c, ReadTimeoutError) for c in causes):
            words = f"none came within {self._timeout_s:g} s, or not all of it within {self._deadline_s:g} s"
            return TransientError(self._provider, endpoint, None, words)
        return TransientError(self._provider, endpoint, None, "the connection was lost")

    def _judged(
        self, endpoint: str, response: requests.Response, content: bytes | None
    ) -> requests.Response | ProviderError:
        status = response.status_code
        if content is None:
            return TransientError(
                self._provider, endpoint, status, f"the body is longer than {MAX_BODY // 2**20} MiB and was not read"
            )
        try:
            body = json.loads(content)
        except (ValueError, RecursionError):  # nested 1,000 deep and more is no answer of an API either
            body = None
            if 200 <= status < 300 and not (endpoint.startswith("DELETE ") and not content):
                return TransientError(self._provider, endpoint, status, "the body is not JSON: cut off, or a web page")
        if 200 <= status < 300:
            response.headers["Content-Type"] = "application/json"  # finnhub-python goes by this, we by the body
            return _Judged(response, content, body)
        reason = self._reason(response, body)
        plan = _ABOUT_THE_PLAN.search(reason)
        if (status == 401 and not plan) or (status == 403 and _ABOUT_THE_KEY.search(reason)):
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


def _content(response: requests.Response) -> bytes | None:
    """The whole body; None for one that is longer than any answer, which is left unread."""
    parts, length = [], 0
    for part in response.iter_content(65_536):
        parts.append(part)
        length += len(part)
        if length > MAX_BODY:
            response.close()
            return None
    return b"".join(parts)


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
