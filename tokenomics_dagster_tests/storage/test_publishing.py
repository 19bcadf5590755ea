"""Publishing, against a real Redis."""

import json
import threading
from datetime import UTC, datetime

import pytest
import redis

from tokenomics_dagster.storage.publishing import SCORES_TTL_S, UNIVERSE_TTL_S, Publisher, PublishError

NOW = datetime(2026, 8, 24, 14, 5, tzinfo=UTC)


@pytest.fixture
def client(redis_url):
    with redis.Redis.from_url(redis_url, decode_responses=True) as connection:
        connection.flushall()
        yield connection


@pytest.fixture
def publisher(redis_url):
    made = Publisher(redis_url)
    yield made
    made.close()


def test_the_universe_is_a_document_and_a_sorted_set_that_expire_together(client, publisher):
    publisher.publish_universe({"AAPL": 3_500_000.0, "MSFT": 3_200_000.0}, NOW)
    document = json.loads(client.get("fundamentals:universe"))
    assert document == {"symbols": ["AAPL", "MSFT"], "count": 2, "updated_at": "2026-08-24T14:05:00Z"}
    assert client.zrevrange("fundamentals:universe:mcap", 0, -1, withscores=True) == [
        ("AAPL", 3_500_000.0),
        ("MSFT", 3_200_000.0),
    ]
    for key in ("fundamentals:universe", "fundamentals:universe:mcap"):
        assert UNIVERSE_TTL_S - 5 <= client.ttl(key) <= UNIVERSE_TTL_S


def test_scores_are_a_sorted_set_and_one_document_each(client, publisher):
    publisher.publish_scores({"NVDA": (92.5, {"roe": 45.0, "debt_to_equity": None})}, NOW)
    assert client.zscore("fundamentals:scores", "NVDA") == 92.5
    assert json.loads(client.get("fundamentals:NVDA")) == {
        "symbol": "NVDA",
        "score": 92.5,
        "score_details": {"roe": 45.0, "debt_to_equity": None},
        "updated": "2026-08-24T14:05:00Z",
    }
    assert SCORES_TTL_S - 5 <= client.ttl("fundamentals:NVDA") <= SCORES_TTL_S


def test_a_symbol_that_lost_its_score_loses_its_key(client, publisher):
    publisher.publish_scores({"A": (60.0, {}), "B": (70.0, {})}, NOW)
    publisher.publish_scores({"B": (71.0, {})}, NOW)
    assert client.zrange("fundamentals:scores", 0, -1) == ["B"]
    assert client.get("fundamentals:A") is None


def test_a_reader_never_sees_half_of_a_set(client, publisher, redis_url):
    sets: list[dict[str, tuple[float, dict[str, float]]]] = [
        {f"{prefix}{i}": (50.0 + i, {}) for i in range(200)} for prefix in "AB"
    ]
    publisher.publish_scores(sets[0], NOW)
    stop = threading.Event()

    def publish_in_turn():
        turn = 0
        while not stop.is_set():
            turn += 1
            publisher.publish_scores(sets[turn % 2], NOW)

    writer = threading.Thread(target=publish_in_turn)
    writer.start()
    try:
        for _ in range(300):
            with client.pipeline(transaction=True) as pipe:
                pipe.zrange("fundamentals:scores", 0, -1)
                pipe.keys("fundamentals:[AB]*")
                members, keys = pipe.execute()
            assert len(members) == 200
            assert len({member[0] for member in members}) == 1
            assert {f"fundamentals:{member}" for member in members} == set(keys)
    finally:
        stop.set()
        writer.join()


def test_errors_name_the_server_and_never_the_password(redis_url):
    wrong = redis_url.replace("sesame", "not-sesame")
    with pytest.raises(PublishError) as refused:
        Publisher(wrong).ping()
    with pytest.raises(PublishError) as unreachable:
        Publisher("redis://:not-sesame@127.0.0.1:1/0").ping()
    for error in (refused, unreachable):
        assert "127.0.0.1" in str(error.value)
        assert "sesame" not in str(error.value)
    for address in ("http://example.org", "redis://:p@q:sesame/0", "redis://:sesame@[::1/0"):
        with pytest.raises(PublishError, match="not a Redis address") as refused:
            Publisher(address)
        assert "sesame" not in str(refused.value)
