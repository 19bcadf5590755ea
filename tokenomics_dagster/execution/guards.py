"""What must hold before an order is sent. A refusal is one sentence: which guard, the figure, the limit, what to do.

Guards look at facts they are given and trade nothing; fetching the facts is the caller's.
"""

from datetime import date, datetime, timedelta
from urllib.parse import urlsplit

from tokenomics_dagster import market_calendar
from tokenomics_dagster.portfolio.plan import Plan
from tokenomics_dagster.providers.alpaca import Account, Clock
from tokenomics_dagster.settings import LIVE_TRADING_URL, Settings, SettingsError


class Refused(RuntimeError):
    """A guard says no: nothing more is traded."""


def check_account(account: Account, settings: Settings) -> None:
    """The account may trade, and it is the kind of account (paper or live) that the settings mean."""
    if account.status != "ACTIVE":
        raise Refused(f"account {account.number} has status {account.status}, not ACTIVE: see the broker's dashboard")
    for flag in ("trading_blocked", "account_blocked", "trade_suspended_by_user"):
        if getattr(account, flag):
            raise Refused(f"account {account.number} has {flag} set: lift it in the broker's dashboard")
    if account.currency != "USD":
        raise Refused(f"account {account.number} is kept in {account.currency}; only USD accounts are traded")
    live_host = urlsplit(settings.trading_url).hostname == urlsplit(LIVE_TRADING_URL).hostname
    if settings.trading.paper:
        return
    environment = settings.environment
    try:
        paper_key = environment.secret("ALPACA_API_KEY").startswith("PK")
    except SettingsError as error:
        raise Refused(str(error)) from None
    if not live_host or paper_key or environment.tokenomics_live_account != account.number:
        raise Refused(
            "trading.paper is false, but live trading needs the live host, a live key (paper keys start with PK) and "
            f"TOKENOMICS_LIVE_ACCOUNT = the account's number: host {urlsplit(settings.trading_url).hostname}, "
            f"{'paper' if paper_key else 'live'} key, TOKENOMICS_LIVE_ACCOUNT "
            f"{'fits' if environment.tokenomics_live_account == account.number else 'does not fit'}"
        )


def check_market(clock: Clock, settings: Settings) -> None:
    """The market is open by the broker's clock and by the calendar, which must agree."""
    if not settings.trading.market_hours_only:
        return
    session = market_calendar.session_at(clock.now)
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


def check_plan(plan: Plan, account: Account, now: datetime, settings: Settings) -> None:
    """The plan is of this week and this account, unchanged, young enough, and rests on young scores."""
    if plan.digest() != plan.plan_hash:
        raise Refused(f"plan {plan.plan_id} was changed after it was made: materialize trade_plan again")
    current = market_calendar.week_of(now)
    if plan.week != current:
        raise Refused(
            f"plan {plan.plan_id} is for the week of {plan.week}, now is the week of {current}: trade this week"
        )
    if plan.account != account.number:
        raise Refused(
            f"plan {plan.plan_id} was made for account {plan.account}, the keys open {account.number}: plan again"
        )
    age = now - plan.created_at
    limit = timedelta(minutes=settings.guards.max_plan_age_min)
    if not timedelta(0) <= age <= limit:
        raise Refused(
            f"plan {plan.plan_id} is {_minutes(age)} old, guards.max_plan_age_min is {_minutes(limit)}: plan again"
        )
    check_score_age(plan.scores_as_of, now, settings)


def check_score_age(scores_as_of: datetime, now: datetime, settings: Settings) -> None:
    days = (now - scores_as_of).total_seconds() / 86_400
    if not 0 <= days <= settings.guards.max_score_age_days:
        raise Refused(
            f"the scores are {days:.1f} days old, guards.max_score_age_days is {settings.guards.max_score_age_days:g}: "
            "run fundamentals_refresh and score first"
        )


def check_week(week: date, now: datetime) -> None:
    """Only the running week is traded."""
    current = market_calendar.week_of(now)
    if week != current:
        raise Refused(f"{week} is not the running week ({current}): only the running week is planned and traded")


def _minutes(span: timedelta) -> str:
    return f"{span.total_seconds() / 60:.0f} min"
