"""Logs for machines: JSON lines in three streams, told apart by the logger that speaks.

`tokenomics.trades` tells what becomes of orders, `tokenomics.decisions` what was decided and why, everything else is
the application. TOKENOMICS_LOGS says where lines go: "-" to standard output, else into a folder with one file per
stream; unset, nothing here does anything. In a run Dagster hands over every record with the run's ids (python_logs in
dagster.yaml); outside of runs (command, sensors) `start` listens itself. What is worth a line is the rooms' matter.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tokenomics_dagster.settings.environment import Environment, load_environment
from tokenomics_dagster.settings.section import SettingsError
from tokenomics_dagster.storage import private

STREAMS = ("application", "trades", "decisions")
REDACTED = "<redacted>"

_MAX_CHARS = 3_000  # of one value: a line much over 8 KB is no longer one write, and two processes would mix theirs
_STANDARD = {*logging.makeLogRecord({}).__dict__, "message", "asctime", "taskName", "dagster_event", "dagster_meta"}
_SHORTEST_TOKEN = 8  # characters; less would blacken figures of the text
_TOLD = "tokenomics_told"
_NAMES = {"asset_key": "asset"}
# Dagster logs what went well as DEBUG: of that, whoever follows the application wants where a run is.
_EVENTS = frozenset(
    {"PIPELINE_START", "PIPELINE_SUCCESS", "PIPELINE_CANCELED", "STEP_START", "STEP_SUCCESS", "ASSET_CHECK_EVALUATION"}
)
# Assets with a partition for each symbol, of all platforms in this process: a record names its asset and not its
# platform, so an asset that has such partitions in one of them must have them in each.
_by_symbol: set[str] = set()


def name_symbols(assets: Iterable[str]) -> None:
    """Says of which assets a partition is a symbol: what is logged of a run names both, and nothing more of them."""
    _by_symbol.update(assets)


def start() -> None:
    """Tells everything that is logged outside of runs. Raises SettingsError when that cannot be written."""
    # dagster.yaml names the handler below; without this each run would open with the remark that this is new.
    warnings.filterwarnings("ignore", message="Handling yaml-defined logging configuration")
    root = logging.getLogger()
    handled = handler()
    if isinstance(handled, JsonLines) and not any(isinstance(one, JsonLines) for one in root.handlers):
        root.addHandler(handled)
        logging.getLogger("tokenomics").setLevel(logging.INFO)


def start_for_command() -> None:
    """The same for the `tokenomics` command, if a folder is set: its standard output is for the user.

    What is wrong with the environment, the command itself says; nothing here may keep anybody from halting.
    """
    with suppress(SettingsError):
        if load_environment().tokenomics_logs != "-":
            start()


def handler() -> logging.Handler:
    """What dagster.yaml gives to Dagster for the records of runs."""
    environment = load_environment()
    where = environment.tokenomics_logs
    if where is None:
        return logging.NullHandler()
    if where != "-":
        _require_writable(where)
    return JsonLines(where, environment)


class JsonLines(logging.Handler):
    """Writes each record once, on its stream: to standard output, or to a file that may be rotated at any time."""

    def __init__(self, where: str, environment: Environment) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter(environment))
        self._folder = None if where == "-" else Path(where)

    def filter(self, record: logging.LogRecord) -> bool:
        event = getattr(record, "dagster_event", None)
        wanted = record.levelno >= logging.INFO or (event is not None and event.event_type_value in _EVENTS)
        # Dagster passes the same record on, with the run's ids, before it comes to the root logger.
        return wanted and not hasattr(record, _TOLD)

    def emit(self, record: logging.LogRecord) -> None:
        setattr(record, _TOLD, True)
        line = f"{self.format(record)}\n"
        try:
            if self._folder is None:
                sys.stdout.write(line)
                sys.stdout.flush()
            else:
                # Opened for each line, 0.03 ms: several processes append, and whoever rotates need not tell them.
                path = self._folder / f"{stream_of(record.name)}.jsonl"
                with open(path, "a", encoding="utf-8", opener=private.opener) as file:
                    file.write(line)
        except OSError as error:
            sys.stderr.write(f"a log line was lost, TOKENOMICS_LOGS cannot be written: {error.strerror}\n")


class JsonFormatter(logging.Formatter):
    """One JSON object per record: at, level, stream, logger, message, the ids that are known, and `extra` fields.

    run_id, job, asset and partition come from Dagster; symbol, order_id, plan_id and the like from whoever logs.
    """

    def __init__(self, environment: Environment) -> None:
        super().__init__()
        self._secrets = secrets_of(environment)

    def format(self, record: logging.LogRecord) -> str:
        meta: Mapping[str, Any] = getattr(record, "dagster_meta", None) or {}
        document: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "stream": stream_of(record.name),
            "logger": record.name,
            "message": meta.get("orig_message") or record.getMessage(),
            **_ids(meta),
            **{_NAMES.get(k, k): v for k, v in record.__dict__.items() if k not in _STANDARD and k != _TOLD},
        }
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        kept = {key: self._plain(value) for key, value in document.items() if value is not None}
        return json.dumps(kept, ensure_ascii=False)

    def _plain(self, value: Any) -> Any:
        if isinstance(value, bool | int | float) and value == value and abs(value) != float("inf"):
            return value
        if isinstance(value, Mapping):
            return {self._text(key): self._plain(inner) for key, inner in value.items()}
        return self._text(value)

    def _text(self, value: Any) -> str:
        text = str(value)
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        return text if len(text) <= _MAX_CHARS else f"{text[:_MAX_CHARS]}... ({len(text) - _MAX_CHARS} more characters)"


def _require_writable(where: str) -> None:
    try:
        private.make_folder(Path(where))
        private.make_file(Path(where) / "application.jsonl")
        for stream in STREAMS:
            private.tighten(Path(where) / f"{stream}.jsonl")
    except OSError as error:
        raise SettingsError(
            f'TOKENOMICS_LOGS = {where} cannot be written ({error.strerror}): name a folder, or "-" for standard output'
        ) from None


def stream_of(logger: str) -> str:
    """The stream on which a logger speaks."""
    name = logger.removeprefix("tokenomics.")
    return name if name != logger and name in STREAMS else "application"


def secrets_of(environment: Environment) -> tuple[str, ...]:
    """What must never be told, the longest first: each secret, and the password inside of each address."""
    found = set()
    for secret in environment.secrets():
        found.add(secret)
        try:
            address = urlsplit(secret)
            hidden = {address.password or ""}
        except ValueError:
            continue  # no address
        # libpq and redis-py take one in the query, too.
        hidden |= {value for name, value in parse_qsl(address.query) if "pass" in name}
        found |= hidden | {unquote(one) for one in hidden}
    found |= {part for one in environment.alert_addresses for part in _parts_of(one.get_secret_value())}
    # The embedded database's default is an address without a password: it hides nothing, and people look for it.
    found.discard(Environment.model_fields["tokenomics_database_url"].default.get_secret_value())
    return tuple(sorted(found - {""}, key=len, reverse=True))


def _parts_of(address: str) -> set[str]:
    """What may be a token in an address of apprise, which has them anywhere: long enough, with a digit, and no host.

    A password without a digit stands where the password of any address does, and is found there.
    """
    parts = re.split(r"[/:@?#&=]+", address.partition("://")[2])
    told = {one for one in parts if len(one) >= _SHORTEST_TOKEN and "." not in one and re.search("[0-9]", one)}
    return told | {unquote(one) for one in told}


def _ids(meta: Mapping[str, Any]) -> dict[str, Any]:
    """What Dagster knows about a record of a run."""
    event = meta.get("dagster_event")
    asset_key = getattr(event, "asset_key", None)
    asset = meta.get("step_key") if asset_key is None else asset_key.to_user_string()
    partition = getattr(event, "partition", None) or (meta.get("job_tags") or {}).get("dagster/partition")
    error = getattr(getattr(event, "event_specific_data", None), "error", None)
    return {
        "run_id": meta.get("run_id"),
        "job": meta.get("job_name"),
        "asset": asset,
        "partition": partition,
        "symbol": partition if asset in _by_symbol else None,
        "event": getattr(event, "event_type_value", None),
        "error": None if error is None else error.to_string(),
    }
