"""What the commands share: how they refuse, how they open warehouse and instance, how they show figures."""

import getpass
import logging
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tokenomics_dagster.model import calendar
from tokenomics_dagster.model.errors import UserError
from tokenomics_dagster.model.progress import Interim
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.environment import load_environment, source_of
from tokenomics_dagster.storage import private

if TYPE_CHECKING:
    import dagster as dg

    from tokenomics_dagster.storage.warehouse import Warehouse


class OperationRefused(UserError):
    """A command that was not carried out, or not wholly; one sentence for the user."""


class InstanceUnusable(OperationRefused):
    """The storage of Dagster's instance is away, full or locked; `reason` is its driver's word."""

    def __init__(self, home: str, reason: str) -> None:
        super().__init__(
            f"Dagster's storage (DAGSTER_HOME is {home}): {reason}; check that it can be written, has room, and that "
            "its server runs"
        )
        self.reason = reason


def open_store(settings: Settings) -> "Warehouse":
    """The warehouse for one question; it must be there: a command that made an empty one would answer from it."""
    from tokenomics_dagster.storage.warehouse import Warehouse

    return Warehouse(settings.environment.tokenomics_database_url.get_secret_value(), existing=True).remembering()


def open_records() -> "Warehouse":
    """The warehouse by the environment alone: a mistake in the settings file must not keep anybody from halting."""
    from tokenomics_dagster.storage.warehouse import Warehouse

    # Of all variables only this one decides where a halt goes: a contradiction in another must not stop it.
    environment = load_environment(of=("TOKENOMICS_DATABASE_URL",))
    return Warehouse(environment.tokenomics_database_url.get_secret_value(), existing=True)


def clock_behind(store: "Warehouse", settings: Settings, now: datetime) -> str | None:
    """A sentence where the broker's clock is behind what was stored by it: whatever is told as of then is doubtful."""
    from tokenomics_dagster.definitions import ROOMS
    from tokenomics_dagster.kit.room import House
    from tokenomics_dagster.kit.skew import ahead_of_clock

    house = House(ROOMS)
    made = {asset: at for asset in house.stored() if (at := house.made_at(asset, store, settings)) is not None}
    newest = max(made, key=lambda asset: made[asset], default=None)
    ahead = None if newest is None else ahead_of_clock({newest: made[newest]}, now)
    return None if ahead is None else f"{ahead}: see the broker's status page and ALPACA_TRADING_URL"


def migrate() -> Iterator[str]:
    """Brings the database to the schema of this version, by the environment alone, and tells what was done."""
    from tokenomics_dagster.storage.warehouse import migrate as bring

    yield from bring(load_environment().tokenomics_database_url.get_secret_value())


def database_named(store: "Warehouse") -> str:
    """The database and where its address comes from."""
    return f"{store.address} (TOKENOMICS_DATABASE_URL is from {source_of('TOKENOMICS_DATABASE_URL')})"


def account_named(number: str, settings: Settings) -> str:
    """The account, of which host, and where keys and address come from."""
    kind = "paper" if settings.trading.paper else "LIVE"
    address = "ALPACA_TRADING_URL"
    origin = (
        f"{address} from {source_of(address)}"
        if settings.environment.alpaca_trading_url
        else "the host by trading.paper"
    )
    return (
        f"{kind} account {number} at {urlsplit(settings.trading_url).hostname} (ALPACA_API_KEY is from "
        f"{source_of('ALPACA_API_KEY')}, {origin})"
    )


def named_home() -> str:
    """DAGSTER_HOME; "" where it is not set."""
    return os.environ.get("DAGSTER_HOME", "")


@contextmanager
def dagster_instance() -> Iterator["dg.DagsterInstance"]:
    """The instance of DAGSTER_HOME, the one that the UI and the daemon use.

    Raises OperationRefused when there is none: Dagster would make a new, empty one without the pools of ours.
    """
    home = named_home()
    if not home:
        raise OperationRefused("DAGSTER_HOME is not set: export the folder of the instance that the UI uses")
    folder = Path(home)
    if not folder.is_dir():
        raise OperationRefused(f"DAGSTER_HOME ({home}) is no folder: export that of the instance that the UI uses")
    if not (folder / "dagster.yaml").is_file():
        raise OperationRefused(
            f"DAGSTER_HOME ({home}) holds no dagster.yaml: export the folder of the instance that the UI uses, or copy "
            "the project's dagster.yaml into it"
        )
    if not folder.is_absolute():
        raise OperationRefused(f"DAGSTER_HOME ({home}) must be an absolute path, for Dagster takes no other")
    import dagster as dg

    from tokenomics_dagster.kit.dagster_internals import database_unusable, drivers_word

    unreadable = OperationRefused(
        f"the dagster.yaml of DAGSTER_HOME ({home}) cannot be read: `dagster instance info` says what is wrong; "
        "correct it, or copy the project's over it"
    )
    if not _is_mapping(folder / "dagster.yaml"):
        raise unreadable
    try:
        with ExitStack() as stack:
            try:
                instance = stack.enter_context(dg.DagsterInstance.get())
            except dg.DagsterInvalidConfigError:  # it repeats values, which may be secrets
                raise unreadable from None
            yield instance
    except database_unusable() as error:
        raise InstanceUnusable(home, drivers_word(error)) from None


def make_instance(folder: Path) -> None:
    """Makes the folder of a Dagster instance, its owner's alone, with the project's dagster.yaml in it."""
    source = next((p for p in (Path("dagster.yaml"), Path(__file__).parents[2] / "dagster.yaml") if p.exists()), None)
    if source is None:
        raise OperationRefused("dagster.yaml is not here: run this in the checkout of the project")
    private.make_folder(folder)
    private.tighten_folder(folder)  # what Dagster keeps in it has the modes of the umask
    private.write_text(folder / "dagster.yaml", source.read_text(encoding="utf-8"))


def _is_mapping(file: Path) -> bool:
    import yaml

    try:
        return isinstance(yaml.safe_load(file.read_bytes()), dict)
    except yaml.YAMLError:
        return False


def new_york(instant: datetime) -> str:
    return f"{instant.astimezone(calendar.NEW_YORK):%Y-%m-%d %H:%M:%S} New York"


def user_name() -> str:
    """Who decides: the login name, or the id where there is none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"  # containers run under ids that have no name


def as_document(value: Any) -> Any:
    """For machines, JSON-able: amounts as exact texts, instants and days in ISO 8601, records by their fields."""
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: as_document(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {key.isoformat() if isinstance(key, date) else str(key): as_document(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [as_document(one) for one in value]
    if isinstance(value, Decimal):
        return f"{value:f}"
    return value.isoformat() if isinstance(value, date) else value


def known(figure: float) -> float | None:
    """What has no market may have no price, and without equity nothing is a share of it."""
    return None if math.isnan(figure) else figure


def share_count(amount: Any) -> str:
    return f"{Decimal(amount).normalize():f}"


def document_of(found: Any) -> Any:
    """What an operation has found, for machines: dataclasses by their fields, amounts as exact text, instants and days
    in ISO 8601, numbers that there are not as null."""
    if is_dataclass(found) and not isinstance(found, type):
        return {one.name: document_of(getattr(found, one.name)) for one in fields(found)}
    if isinstance(found, tuple) and hasattr(found, "_asdict"):
        return document_of(found._asdict())
    if isinstance(found, Mapping):
        return {str(key): document_of(value) for key, value in found.items()}
    if isinstance(found, list | tuple):
        return [document_of(one) for one in found]
    if isinstance(found, Decimal):
        return f"{found:f}"
    if isinstance(found, date):
        return found.isoformat()
    if isinstance(found, float) and not math.isfinite(found):
        return None
    return found


def failure_of(run: "dg.JobExecutionResult | dg.ExecuteInProcessResult") -> str:
    """The step that failed and why, in one line."""
    from tokenomics_dagster.kit.runs import reason_of

    reasons = (reason_of(event) for event in run.all_events if event.is_step_failure)
    return next(reasons, "its start; see the run in the UI")


def run_job(
    platform: "dg.Definitions",
    instance: "dg.DagsterInstance",
    job: str,
    run_id: str,
    *,
    partition: str | None = None,
    config: Mapping[str, Any] = MappingProxyType({}),
    tags: Mapping[str, str] = MappingProxyType({}),
) -> "dg.JobExecutionResult":
    """A run in this process, which the UI shows like any other; whether it failed is in its result.

    Ctrl-C cancels it: KeyboardInterrupt is raised once the run is ended.
    """
    from tokenomics_dagster.kit import alive
    from tokenomics_dagster.kit.dagster_internals import execute_here

    with alive.holding(instance, run_id, by_hand=True):
        done = execute_here(
            platform.resolve_job_def(job),
            instance,
            run_id,
            partition=partition,
            config={**config, "loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            tags=tags,
        )
    if alive.was_canceled(instance, run_id):
        raise KeyboardInterrupt
    return done


@contextmanager
def progress(say: Callable[[str], None]) -> Iterator[None]:
    """Shows what the rooms log while they work."""

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            # A line for each order and for each name that is left alone would hide the rest; the summary has them.
            if record.name not in ("tokenomics.trades", "tokenomics.decisions"):
                line = f"  {record.getMessage()}"
                say(Interim(line) if isinstance(record.msg, Interim) else line)

    logger = logging.getLogger("tokenomics")
    handler, level = Lines(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
