"""What must hold before an order is sent. A refusal is one sentence: which guard, the figure, the limit, what to do.

Guards look at facts that they are given and trade nothing; fetching the facts is the caller's.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from urllib.parse import urlsplit

from tokenomics_dagster.model import calendar
from tokenomics_dagster.model.errors import UserError
from tokenomics_dagster.model.plan import Plan
from tokenomics_dagster.model.trading import Account, MarketClock, Snapshot
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.alpaca import LIVE_TRADING_URL
from tokenomics_dagster.settings.guards import GuardSettings
from tokenomics_dagster.settings.section import SettingsError
from tokenomics_dagster.settings.trading import TradingSettings


class Refused(UserError):
    """A guard says no: nothing more is traded."""


class Halted(Refused):
    """Trading is halted, by a person or a rule."""


class MustHalt(Refused):
    """A loss over its limit: trading is halted until a person resumes it."""


def check_broker(differing: str | None) -> None:
    """The broker in hand is the one of the settings: what `check_account` compares must be where orders go.

    `differing` is what `Venue.differing` says of them.
    """
    if differing is not None:
        raise Refused(f"the broker in hand has {differing}: settings and environment decide where orders go")


def check_account(account: Account, settings: Settings) -> None:
    """The account may trade, and it is the kind of account (paper or live) that the settings mean."""
    if account.status != "ACTIVE":
        raise Refused(f"account {account.number} has status {account.status}, not ACTIVE: see the broker's dashboard")
    for flag in ("trading_blocked", "account_blocked", "trade_suspended_by_user"):
        if getattr(account, flag):
            raise Refused(f"account {account.number} has {flag} set: lift it in the broker's dashboard")
    if account.currency != "USD":
        raise Refused(f"account {account.number} is kept in {account.currency}; only USD accounts are traded")
    if settings.trading.paper:
        return
    host = urlsplit(settings.trading_url).hostname
    environment = settings.environment
    try:
        paper_key = environment.secret("ALPACA_API_KEY").startswith("PK")
    except SettingsError as error:
        raise Refused(str(error)) from None
    named = environment.tokenomics_live_account == account.number
    if host != urlsplit(LIVE_TRADING_URL).hostname or paper_key or not named:
        raise Refused(
            "trading.paper is false, but live trading needs the live host, a live key (paper keys start with PK) and "
            f"TOKENOMICS_LIVE_ACCOUNT = the account's number: host {host}, {'paper' if paper_key else 'live'} key, "
            f"TOKENOMICS_LIVE_ACCOUNT {'fits' if named else 'does not fit'}"
        )


def check_losses(
    account: Account,
    high: Decimal | None,
    limits: GuardSettings,
    *,
    resumed_today: bool = False,
    paid_in: Decimal = Decimal(0),
) -> None:
    """Raises MustHalt when equity has fallen too far since the previous close, or since `high`.

    `high` is the highest equity since inception, or since a person last resumed: who resumes accepts the loss until
    then. For the same reason it stands for the previous close after a resume of the same day. Neither loses by what was
    paid out: `high` is in the money of now, `paid_in` are the USD paid in less those paid out since the previous close.
    """
    close = account.last_equity + paid_in if account.last_equity > 0 else account.last_equity
    for since, start, name in (
        ("the previous close", high if resumed_today else close, "max_daily_loss_pct"),
        ("its high", high, "max_drawdown_pct"),
    ):
        limit = getattr(limits, name)
        if start is None or start <= 0:
            continue
        loss_pct = (1 - account.equity / start) * 100
        if loss_pct > Decimal(str(limit)):
            raise MustHalt(
                f"equity is {account.equity:,.2f} USD, {loss_pct:.1f} % below {since} ({start:,.2f}), guards.{name} is "
                f"{limit:g}: all trading is halted until `tokenomics resume`"
            )


def check_market(clock: MarketClock, settings: Settings) -> None:
    """The market is open by the broker's clock and by the calendar, and long enough for orders to become final."""
    if not settings.trading.market_hours_only:
        return
    session = calendar.session_at(clock.now)
    if clock.is_open != (session is not None):
        raise Refused(
            f"the broker says the market is {'open' if clock.is_open else 'closed'} at {clock.now:%Y-%m-%d %H:%M} UTC, "
            "the calendar says the opposite: nothing is traded until they agree"
        )
    if session is None:
        raise Refused(
            f"the market is closed at {clock.now:%Y-%m-%d %H:%M} UTC and opens {clock.next_open:%Y-%m-%d %H:%M} UTC: "
            "run the rebalance then (trading.market_hours_only is true)"
        )
    left_min = (min(session.close, clock.next_close) - clock.now).total_seconds() / 60
    if left_min < settings.guards.min_minutes_to_close:
        raise Refused(
            f"{left_min:.0f} minutes are left to the close, guards.min_minutes_to_close is "
            f"{settings.guards.min_minutes_to_close:g}: run the rebalance in the next session"
        )


def sendable_until(snapshot: Snapshot, now: datetime, settings: Settings) -> datetime:
    """Until when an order may go out that is judged `now` by its good quote: while that is young, and before the close
    by guards.min_minutes_to_close, as `check_market` has it."""
    assert snapshot.quote_at is not None
    until = snapshot.quote_at + timedelta(seconds=settings.guards.max_quote_age_s)
    session = calendar.session_at(now)
    if session is None or not settings.trading.market_hours_only:
        return until
    return min(until, session.close - timedelta(minutes=settings.guards.min_minutes_to_close))


def check_plan(plan: Plan, account: Account, now: datetime, settings: Settings, approved_at: datetime | None) -> None:
    """The plan is of this week and this account, unchanged, young enough, approved if need be, on young scores."""
    if plan.digest() != plan.plan_hash:
        raise Refused(f"plan {plan.plan_id} was changed after it was made: materialize trade_plan again")
    current = calendar.week_of(now)
    if plan.week != current:
        raise Refused(f"plan {plan.plan_id} is of the week of {plan.week}, this is that of {current}: plan this week")
    if plan.account != account.number:
        raise Refused(
            f"plan {plan.plan_id} was made for account {plan.account}, the keys open {account.number}: plan again"
        )
    if plan.created_at.astimezone(calendar.NEW_YORK).date() != now.astimezone(calendar.NEW_YORK).date():
        raise Refused(f"plan {plan.plan_id} was made on another day, with that day's prices: plan again")
    made_at = max(plan.created_at, approved_at or plan.created_at)
    if made_at > now:
        raise Refused(
            f"plan {plan.plan_id} was made or approved at {made_at:%H:%M:%S} UTC, and it is {now:%H:%M:%S} by the "
            "broker's clock, which went back: plan again when it is right"
        )
    age_min = (now - made_at).total_seconds() / 60
    if age_min > settings.guards.max_plan_age_min:
        raise Refused(
            f"plan {plan.plan_id} was made or approved {age_min:.0f} minutes ago, guards.max_plan_age_min is "
            f"{settings.guards.max_plan_age_min:g}: plan again"
        )
    score_days = (now - plan.scores_as_of) / timedelta(days=1)
    if not 0 <= score_days <= settings.guards.max_score_age_days:
        raise Refused(
            f"the scores are {score_days:.1f} days old, guards.max_score_age_days is "
            f"{settings.guards.max_score_age_days:g}: run fundamentals_refresh and score first"
        )
    waits_for = reasons_to_wait(plan, settings)
    if waits_for and approved_at is None:
        raise Refused(waits_for_a_person(plan, waits_for))


def check_owned(plan: Plan, own: Collection[str], trading: TradingSettings) -> None:
    """What it trades is the strategies', by the settings of now: it may have been made under others, or before anybody
    asked whose a stock is. `own`: symbols that were bought or adopted."""
    if trading.foreign_positions == "sell":
        return
    if nobodys := plan.trades_of_nobodys(own):
        names = " ".join(nobodys[:10])
        raise Refused(
            f"plan {plan.plan_id} trades what the account held and no strategy had ever bought here "
            f"({', '.join(nobodys[:10])}), and trading.foreign_positions is leave: materialize trade_plan again, which "
            f"leaves it alone, or has it, too, after `tokenomics adopt {names}`"
        )


def check_still_approved(plan: Plan, now: Plan, age_min: float, limits: GuardSettings) -> None:
    """`now` is the approved plan with today's sizes and equity: it breaks no limit that the plan did not break."""
    allowed = _limits_broken(plan, limits)
    broken = [reason for name, reason in _limits_broken(now, limits).items() if name not in allowed]
    if broken:
        raise Refused(
            f"plan {plan.plan_id} was made {age_min:.0f} minutes ago, and at the prices of now {'; '.join(broken)}, "
            "which nobody has approved: run the rebalance again, and approve the plan that it makes"
        )


def waits_for_a_person(plan: Plan, reasons: Sequence[str]) -> str:
    """The sentence that says so, and what to do."""
    return (
        f"plan {plan.plan_id} waits for a person, because {'; '.join(reasons)}: "
        f"look at it and say `tokenomics approve {plan.plan_id}`"
    )


def reasons_to_wait(plan: Plan, settings: Settings) -> list[str]:
    """Why a person must approve the plan; empty when it may go on by itself."""
    reasons = ["trading.approval is manual"] if settings.trading.approval == "manual" else []
    return reasons + list(_limits_broken(plan, settings.guards).values())


def _limits_broken(plan: Plan, limits: GuardSettings) -> dict[str, str]:
    """By the guard's name."""
    reasons = {}
    for what, figure, name in (
        ("turnover", float(plan.turnover) * 100, "max_turnover_pct"),
        ("equity sold", float(plan.sold_share) * 100, "max_sold_pct"),
    ):
        limit = getattr(limits, name)
        if figure > limit:
            reasons[name] = f"{what} is {figure:.1f} %, guards.{name} is {limit:g}"
    if plan.exits > limits.max_exits:
        reasons["max_exits"] = f"{plan.exits} names are sold whole, guards.max_exits is {limits.max_exits}"
    return reasons
