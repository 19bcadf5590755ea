"""Publishing to Redis: the keys that other programs read. Nothing here reads them back.

Each key set is replaced in one MULTI/EXEC transaction: a reader sees the old set or the new one, never half of either.
So repeating a transaction does no harm, and a server that is away for seconds is waited for.
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import redis
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_exponential

from tokenomics_dagster.model.errors import UserError
from tokenomics_dagster.settings.addresses import NO_REDIS

_PATIENCE_S = 10
_DAY = 86_400
UNIVERSE_TTL_S = 45 * _DAY  # a monthly refresh may be two weeks late
SCORES_TTL_S = 14 * _DAY  # a weekly one may fail once

_PREFIX = "fundamentals:"


class PublishError(UserError):
    """Redis did not take what was published; names host and reason, never the password."""


class Publisher:
    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            self._where = f"{parts.hostname}:{parts.port or 6379}"
            self._redis = redis.Redis.from_url(url, socket_timeout=10, socket_connect_timeout=5, decode_responses=True)
        except ValueError:
            raise PublishError(f"REDIS_URL {NO_REDIS}") from None

    def close(self) -> None:
        self._redis.close()

    def ping(self) -> None:
        """Raises PublishError when the server cannot be used."""
        self._run(self._redis.ping, at_once=True)

    def publish_universe(self, market_caps: Mapping[str, float], updated_at: datetime) -> None:
        """`fundamentals:universe` (JSON) and `fundamentals:universe:mcap` (sorted set, million USD), largest first."""
        document = {"symbols": list(market_caps), "count": len(market_caps), "updated_at": _iso(updated_at)}

        def replace(pipe: Any) -> None:
            pipe.set(f"{_PREFIX}universe", json.dumps(document), ex=UNIVERSE_TTL_S)
            pipe.delete(f"{_PREFIX}universe:mcap")
            pipe.zadd(f"{_PREFIX}universe:mcap", dict(market_caps))
            pipe.expire(f"{_PREFIX}universe:mcap", UNIVERSE_TTL_S)

        self._run(lambda: self._redis.transaction(replace))

    def publish_scores(self, scores: Mapping[str, tuple[float, Mapping[str, Any]]], updated_at: datetime) -> None:
        """`fundamentals:scores` (sorted set) and one `fundamentals:{SYMBOL}` each: symbol -> (score, score_details).

        Symbols that have lost their score lose their key in the same transaction.
        """
        key = f"{_PREFIX}scores"

        def replace(pipe: Any) -> None:
            gone = set(pipe.zrange(key, 0, -1)) - set(scores)
            pipe.multi()
            pipe.delete(key, *(f"{_PREFIX}{symbol}" for symbol in sorted(gone)))
            pipe.zadd(key, {symbol: score for symbol, (score, _) in scores.items()})
            pipe.expire(key, SCORES_TTL_S)
            for symbol, (score, details) in scores.items():
                document = {
                    "symbol": symbol,
                    "score": score,
                    "score_details": dict(details),
                    "updated": _iso(updated_at),
                }
                pipe.set(f"{_PREFIX}{symbol}", json.dumps(document, allow_nan=False), ex=SCORES_TTL_S)

        self._run(lambda: self._redis.transaction(replace, key))

    def universe_discrepancies(self, market_caps: Mapping[str, float], updated_at: datetime) -> list[str]:
        """What of this universe Redis does not hold, as sentences; empty when it holds all of it."""
        document, caps = self._run(
            lambda: (
                self._redis.get(f"{_PREFIX}universe"),
                self._redis.zrange(f"{_PREFIX}universe:mcap", 0, -1, withscores=True),
            )
        )
        discrepancies = []
        wanted = {"symbols": list(market_caps), "count": len(market_caps), "updated_at": _iso(updated_at)}
        if document is None or json.loads(document) != wanted:
            discrepancies.append(f"{_PREFIX}universe is not what was written")
        return discrepancies + _differences(f"{_PREFIX}universe:mcap", dict(caps), market_caps)

    def scores_discrepancies(self, scores: Mapping[str, tuple[float, Mapping[str, Any]]]) -> list[str]:
        """What of these scores Redis does not hold, as sentences; empty when it holds all of them."""
        symbols = list(scores)
        found, documents = self._run(
            lambda: (
                self._redis.zrange(f"{_PREFIX}scores", 0, -1, withscores=True),
                self._redis.mget([f"{_PREFIX}{symbol}" for symbol in symbols]) if symbols else [],
            )
        )
        discrepancies = _differences(
            f"{_PREFIX}scores", dict(found), {symbol: score for symbol, (score, _) in scores.items()}
        )
        for symbol, document in zip(symbols, documents, strict=True):
            score, details = scores[symbol]
            read = {} if document is None else json.loads(document)
            if (read.get("score"), read.get("score_details")) != (score, dict(details)):
                discrepancies.append(f"{_PREFIX}{symbol} is not what was written")
        return discrepancies

    def _run(self, command: Callable[[], Any], *, at_once: bool = False) -> Any:
        try:
            return Retrying(
                retry=retry_if_exception(_is_away),
                stop=stop_after_delay(0 if at_once else _PATIENCE_S),
                wait=wait_exponential(multiplier=0.1, max=2),
                reraise=True,
            )(command)
        except redis.AuthenticationError:
            raise PublishError(
                f"Redis at {self._where} refused the password: check REDIS_URL or REDIS_PASSWORD"
            ) from None
        except redis.RedisError as error:
            raise PublishError(
                f"Redis at {self._where}: {type(error).__name__}: {error}; check that the server runs and is writable"
            ) from None


def _is_away(error: BaseException) -> bool:
    refused = isinstance(error, redis.AuthenticationError)  # a kind of ConnectionError to redis-py
    return isinstance(error, redis.ConnectionError | redis.TimeoutError) and not refused


def _differences(key: str, found: Mapping[str, float], wanted: Mapping[str, float]) -> list[str]:
    wrong = sorted(symbol for symbol in {*found, *wanted} if found.get(symbol) != wanted.get(symbol))
    return [f"{key} differs in {len(wrong)} of {len(wanted)} members, e.g. {', '.join(wrong[:5])}"] if wrong else []


def _iso(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
