"""Environment variables and .env: what is accepted, and that no refusal shows a secret."""

import sys
from itertools import pairwise

import pytest

from tokenomics_dagster.settings.environment import Environment, load_environment, source_of
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.settings.section import SettingsError
from tokenomics_dagster_tests.conftest import REPOSITORY


@pytest.mark.parametrize(
    ("given", "written"), [("redis://here", "redis://there"), ("", "redis://there"), ("redis://here", "")]
)
def test_where_environment_and_env_file_differ_nothing_is_read_and_no_value_is_told(
    monkeypatch, tmp_path, given, written
):
    (tmp_path / ".env").write_text(f"REDIS_URL={written}\nfinnhub_api_key=abc\nOTHER=1\n")
    monkeypatch.setenv("REDIS_URL", given)
    monkeypatch.setenv("FINNHUB_API_KEY", "abcd")
    monkeypatch.setenv("OTHER", "2")
    with pytest.raises(SettingsError) as refused:
        load_environment()
    text = str(refused.value)
    assert text.startswith("FINNHUB_API_KEY, REDIS_URL: the environment says one thing and ")
    assert f"{tmp_path}/.env another" in text
    assert not any(value in text for value in ("redis://", "abc"))
    with pytest.raises(SettingsError, match=r"^REDIS_URL:"):
        load_environment(of=("REDIS_URL",))
    assert load_environment(of=("TOKENOMICS_DATABASE_URL",)).alert_webhook_url is None


def test_who_needs_one_variable_is_not_stopped_by_another_that_is_wrong(monkeypatch, tmp_path):
    (tmp_path / ".env").write_text("REDIS_PORT=high\nFINNHUB_BASE_URL=nowhere\nREDIS_HOST=here\n")
    monkeypatch.setenv("FINNHUB_API_KEY", "abc")
    with pytest.raises(SettingsError, match=r"FINNHUB_BASE_URL must .*; REDIS_PORT must "):
        load_environment()
    with pytest.raises(SettingsError, match="REDIS_PORT"):
        load_environment(of=("REDIS_PORT",))
    found = load_environment(of=("REDIS_HOST",))
    assert (found.redis_host, found.secret("FINNHUB_API_KEY")) == ("here", "abc")
    assert load_settings(REPOSITORY / "config/settings.yaml", of=("REDIS_HOST",)).environment == found


def test_the_lake_is_a_folder_and_no_object_store_whose_address_may_hold_a_key(monkeypatch):
    assert str(load_environment().tokenomics_lake) == ".tokenomics/lake"
    monkeypatch.setenv("TOKENOMICS_LAKE", "s3://key:sesame@bucket/lake")
    with pytest.raises(
        SettingsError, match=r"^environment: TOKENOMICS_LAKE must be a folder: an object store"
    ) as refused:
        load_environment()
    assert "sesame" not in str(refused.value)


def test_a_file_of_variables_that_cannot_be_read_is_one_sentence(tmp_path):
    (tmp_path / ".env").write_bytes(b"REDIS_URL=\xff\n")
    with pytest.raises(SettingsError, match=rf"^{tmp_path}/\.env cannot be read \("):
        load_environment()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('TOKENOMICS_SETTINGS="/x/sesame.yaml', "line 2 is not understood"),
        ("TOKENOMICS_SETTINGS: /x/sesame.yaml", "line 2 is not understood"),
        ("set TOKENOMICS_SETTINGS=/x/sesame.yaml", "line 2 is not understood"),
        ("ALPACA_API_KEY='PK' sesame", "line 2 is not understood"),
        ("TOKENOMICS_DATA", "line 2 ends before a ="),
        (
            "TOKENOMICS_SETINGS=sesame",
            "TOKENOMICS_SETINGS is no variable of the platform; did you mean TOKENOMICS_SETTI",
        ),
        (
            "ALPACA_SERCET_KEY=sesame",
            "ALPACA_SERCET_KEY is no variable of the platform; did you mean ALPACA_SECRET_KEY",
        ),
        ("TOKENOMICS_OTHER=sesame", "TOKENOMICS_OTHER is no variable of the platform; correct it"),
    ],
)
def test_a_line_of_the_file_that_its_reader_would_leave_out_is_refused_by_its_number(tmp_path, line, reason):
    (tmp_path / ".env").write_text(f"FINNHUB_API_KEY=abc\n{line}\n")
    with pytest.raises(SettingsError) as refused:
        load_environment()
    assert str(refused.value).startswith(f"{tmp_path}/.env: ")
    assert reason in str(refused.value)
    assert "sesame" not in str(refused.value)


def test_what_is_written_for_other_programs_is_left_alone(tmp_path):
    (tmp_path / ".env").write_text(
        "# TOKENOMICS_SETINGS=/x\nPOSTGRES_PASSWORD=x\nREDIS_DB=1\nALPACA_API_KEY_OLD=y\nEDITOR\nexport HOME\n"
        "export FINNHUB_API_KEY='abc' # ours\n"
    )
    assert load_environment().secret("FINNHUB_API_KEY") == "abc"


def test_a_line_that_cannot_mean_the_variable_asked_for_is_no_obstacle(tmp_path):
    (tmp_path / ".env").write_text('ALPACA_API_KEY="PK\nFINNHUB_API_KY=x\nTOKENOMICS_OTHER=1\nREDIS_HOST=here\n')
    assert load_environment(of=("REDIS_HOST",)).redis_host == "here"
    with pytest.raises(SettingsError, match="line 1 is not understood"):
        load_environment(of=("ALPACA_API_KEY",))


def test_each_value_is_told_with_its_source(monkeypatch, tmp_path):
    (tmp_path / ".env").write_text("REDIS_URL=redis://real\nREDIS_HOST=\nFINNHUB_API_KEY=abc\n")
    monkeypatch.setenv("FINNHUB_API_KEY", "abc")
    monkeypatch.setenv("ALPACA_API_KEY", "PK1")
    monkeypatch.setenv("REDIS_HOST", "")
    assert load_environment().redis == "redis://real"
    assert source_of("REDIS_URL") == f"{tmp_path}/.env"
    assert source_of("FINNHUB_API_KEY") == f"the environment and {tmp_path}/.env"
    assert source_of("ALPACA_API_KEY") == "the environment"
    assert source_of("REDIS_HOST") == source_of("TOKENOMICS_DATABASE_URL") == "the default"


def test_an_address_with_a_key_in_it_is_refused_without_showing_the_key(monkeypatch):
    monkeypatch.setenv("FINNHUB_BASE_URL", "https://finnhub.io/api/v1?token=hidden")
    with pytest.raises(SettingsError) as refusal:
        load_environment()
    assert "FINNHUB_BASE_URL" in str(refusal.value)
    assert "hidden" not in str(refusal.value)


# Passwords that were written as they are: what comes after their @, : or / is taken for host and port.
NOT_ENCODED = [
    "tok:Xy9@pg:TopSecretPw/3@db.internal/w", "tok:hun@TopSecretPw@host/w", "tok:TopSecretPw/x@host/w",
    "tok:TopSecretPw#x@host/w", "tok:a?TopSecretPw@host/w", "tok:a/TopSecretPw:9@host/w", "host:TopSecretPw/w",
    "tok:TopSecretPw@[::1/w", "tok:TopSecretPw@[::1]x/w", "tok:TopSecretPw@::1/w", "tok:TopSecretPw@host:99999/w",
    "tok:TopSecretPw\uff0f@host/w", "tok:Top SecretPw@host/w",
]  # fmt: skip
SCHEMES = {
    "TOKENOMICS_DATABASE_URL": "postgresql+psycopg2",
    "REDIS_URL": "redis",
    **dict.fromkeys(("ALERT_WEBHOOK_URL", "HEALTHCHECK_URL", "TOKENOMICS_CODE_URL", "FINNHUB_BASE_URL"), "https"),
    **dict.fromkeys(("ALPACA_TRADING_URL", "ALPACA_DATA_URL"), "https"),
}


def refused_address(monkeypatch: pytest.MonkeyPatch, name: str, address: str) -> str:
    """The sentence; neither it nor anything that Python prints below it may hold a part of the address."""
    monkeypatch.setenv(name, address)
    with pytest.raises(SettingsError) as refused:
        load_environment(of=(name,))
    told = str(refused.value)
    assert told.startswith(f"environment: {name} ")
    assert not any(part in told for part in ("Secret", "Xy9", "hun@", "[::1", "99999"))
    assert refused.value.__suppress_context__ or refused.value.__context__ is None, "a traceback shows what came before"
    return told


@pytest.mark.parametrize("name", SCHEMES)
def test_an_address_that_cannot_be_taken_apart_is_refused_without_showing_any_of_it(monkeypatch, name):
    told = {refused_address(monkeypatch, name, f"{SCHEMES[name]}://{rest}") for rest in NOT_ENCODED}
    told |= {refused_address(monkeypatch, name, f"{begin}TopSecretPw") for begin in ("", "ftp://u:", "https:/", "://")}
    assert all("write " in one or "must hold neither" in one for one in told)


@pytest.mark.parametrize("kind", ["postgres", "postgresql", "postgresql+asyncpg", "mysql", "sqlite", "oracle"])
def test_a_kind_of_database_that_is_not_known_is_refused_with_those_that_are(monkeypatch, kind):
    told = refused_address(monkeypatch, "TOKENOMICS_DATABASE_URL", f"{kind}://u:TopSecretPw@h/d")
    assert "write sqlite:///FILE or postgresql+psycopg2://USER:PASSWORD@HOST:PORT/DATABASE" in told


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("TOKENOMICS_DATABASE_URL", "postgresql+psycopg2://u:p%40ss%3A%2Fx:y@db.internal:5432/w?sslmode=require"),
        ("TOKENOMICS_DATABASE_URL", "postgresql+psycopg2://u@[::1]:5432/w"),
        ("TOKENOMICS_DATABASE_URL", "postgresql+psycopg2://postgres@/w?host=/var/run/postgresql"),
        ("TOKENOMICS_DATABASE_URL", "sqlite:////home/an n@b:c/w.db"),
        ("TOKENOMICS_DATABASE_URL", "sqlite://"),
        ("REDIS_URL", "rediss://:p%2Fw@cache:6380/0"),
        ("REDIS_URL", "unix:///run/redis.sock?db=1"),
        ("ALERT_WEBHOOK_URL", "https://x.webhook.office.com/webhookb2/a@b/IncomingWebhook/c?sig=d%2Be"),
        ("ALERT_WEBHOOK_URL", "http://user:word@127.0.0.1:8080/hook"),
        ("HEALTHCHECK_URL", "https://hc-ping.com/0a1b2c3d-0000-4000-8000-0123456789ab"),
        ("FINNHUB_BASE_URL", "http://[::1]:8080/api/v1"),
    ],
)
def test_an_address_of_a_known_kind_is_taken_as_it_is(monkeypatch, name, address):
    monkeypatch.setenv(name, address)
    found = getattr(load_environment(), name.lower())
    assert (found if isinstance(found, str) else found.get_secret_value()) == address


WRONG_CHANNELS = (
    "TopSecretPw",
    "discord:/id/TopSecretPw",
    "://TopSecretPw",
    "mailtos:// u:TopSecretPw@h",
    "a://\u202e",
)


@pytest.mark.parametrize("address", WRONG_CHANNELS)
def test_an_address_of_apprise_that_looks_like_none_is_named_by_its_place_alone(monkeypatch, address):
    told = refused_address(monkeypatch, "ALERT_URLS", f"tgram://bot/TopSecretPw\n{address}")
    assert told.startswith("environment: ALERT_URLS number 2 is no address of apprise: write SERVICE://")


def test_addresses_of_apprise_without_the_extra_are_refused_by_its_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "apprise", None)
    told = refused_address(monkeypatch, "ALERT_URLS", "tgram://bot/TopSecretPw")
    assert "needs the package apprise, which is not installed: pip install 'tokenomics-dagster[notify]'" in told


def test_each_address_of_apprise_is_a_secret_of_its_own(monkeypatch):
    monkeypatch.setattr("tokenomics_dagster.settings.environment.require", lambda *_, **__: None)
    monkeypatch.setenv("ALERT_URLS", " discord://id/pin1\n  mailtos://u:pin2@h\ttgram://bot/pin3 ")
    environment = load_environment()
    ours = ["discord://id/pin1", "mailtos://u:pin2@h", "tgram://bot/pin3"]
    assert [one.get_secret_value() for one in environment.alert_addresses] == ours
    assert set(ours) <= set(environment.secrets())
    assert "pin" not in repr(environment)


@pytest.mark.parametrize("host", ["cache:6379", "u:TopSecretPw@cache", "::1", "redis://cache", "ca che"])
def test_a_host_of_redis_is_a_host_alone(monkeypatch, host):
    assert "REDIS_PORT" in refused_address(monkeypatch, "REDIS_HOST", host)


def test_redis_parts_make_an_address_with_the_password_escaped(monkeypatch):
    monkeypatch.setenv("REDIS_HOST", "cache")
    monkeypatch.setenv("REDIS_PASSWORD", "p@ss/word")
    assert load_environment().redis == "redis://:p%40ss%2Fword@cache:6379/0"


def test_every_variable_of_the_environment_stands_in_the_example(monkeypatch, tmp_path):
    (tmp_path / ".env").write_text((REPOSITORY / ".env.example").read_text())
    lines = (REPOSITORY / ".env.example").read_text().splitlines()
    fields = Environment.model_fields
    listed = [line.removesuffix("=") for line in lines if line and not line.startswith("#")]
    assert listed == [name.upper() for name in fields]
    for line, following in pairwise(lines):
        if following and not following.startswith("#"):
            assert line == f"# {fields[following.removesuffix('=').lower()].description}"
    assert load_environment().model_dump() == Environment(_env_file=None).model_dump()
