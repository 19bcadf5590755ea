"""Alpaca's trading API: account, activities, assets, calendar, clock, positions and orders.

What an order does to the account stays out (broker.py). Refused is PATCH of an order.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from decimal import Decimal

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tokenomics_dagster.sandbox.alpaca_answers import (
    IPO_SYMBOL,
    Json,
    activity_json,
    activity_types,
    asset_json,
    fraction_of,
    id_of,
    instant_text,
    ipo_json,
    nanoseconds_at,
    offset_text,
    order_json,
    ratio_text,
    refusal_json,
)
from tokenomics_dagster.sandbox.alpaca_requests import (
    choice_of,
    count_of,
    day_of,
    listed_of,
    nanoseconds_of_day,
    number_of,
    order_of,
    parse_instant,
)
from tokenomics_dagster.sandbox.book import Position
from tokenomics_dagster.sandbox.broker import Broker
from tokenomics_dagster.sandbox.market import Instrument, Market
from tokenomics_dagster.sandbox.orders import Fill, Order, Refused, plain
from tokenomics_dagster.sandbox.sessions import NEW_YORK

MAX_ORDERS, DEFAULT_ORDERS = 500, 50
MAX_PAGE_OF_ACTIVITIES = 100


class Trading:
    def __init__(self, broker: Broker, market: Market) -> None:
        self._broker = broker
        self._market = market
        self._listed: Mapping[str, Instrument] = {}
        self._assets: dict[str, Json] = {}
        self._symbols_by_asset_id: dict[str, str] = {}

    async def account(self, request: Request) -> Response:
        account = self._broker.account()
        cash, buying_power = plain(account.cash), plain(account.buying_power)
        value, equity = plain(account.long_market_value), plain(account.equity)
        return JSONResponse(
            {
                "id": id_of("account", account.number),
                "account_number": account.number,
                "status": account.restrictions.status,
                "crypto_status": "INACTIVE",
                "currency": "USD",
                "cash": cash,
                # multiplier 1 means buying power = cash in the specification; what open buys hold is taken off
                "buying_power": buying_power,
                "regt_buying_power": buying_power,
                "non_marginable_buying_power": buying_power,
                "options_buying_power": "0",
                "options_approved_level": 0,
                "options_trading_level": 0,
                "multiplier": "1",
                "equity": equity,
                "portfolio_value": equity,
                "last_equity": plain(account.last_equity),
                "long_market_value": value,
                "position_market_value": value,
                "short_market_value": "0",
                "initial_margin": value,
                "maintenance_margin": value,
                "last_maintenance_margin": "0",
                "sma": "0",
                "accrued_fees": "0",
                "pending_reg_taf_fees": "0",
                "intraday_adjustments": "0",
                "balance_asof": account.balance_asof.isoformat(),
                "created_at": instant_text(account.created_at),
                "shorting_enabled": False,
                "transfers_blocked": False,
                "trading_blocked": account.restrictions.trading_blocked,
                "account_blocked": account.restrictions.account_blocked,
                "trade_suspended_by_user": account.restrictions.trade_suspended_by_user,
            }
        )

    async def activities(self, request: Request) -> Response:
        query = request.query_params
        wanted = listed_of(request.path_params.get("activity_type") or query.get("activity_types"))
        category = choice_of(query.get("category"), "category", "", "trade_activity", "non_trade_activity")
        found = [
            one
            for one in self._broker.activities()
            if (not wanted or wanted & activity_types(one))
            and (not category or isinstance(one, Fill) == (category == "trade_activity"))
        ]
        if "date" in query:
            day = day_of(query["date"], "date")
            start, end = nanoseconds_of_day(day), nanoseconds_of_day(day, 1)
            found = [one for one in found if start <= nanoseconds_at(one.at) < end]
        if "after" in query:
            after = parse_instant(query["after"], "after")
            found = [one for one in found if nanoseconds_at(one.at) > after]
        if "until" in query:
            until = parse_instant(query["until"], "until")
            found = [one for one in found if nanoseconds_at(one.at) < until]
        if choice_of(query.get("direction"), "direction", "desc", "asc") == "desc":
            found.reverse()
        if "page_token" in query:
            ids = [one.id for one in found]
            if query["page_token"] not in ids:
                raise Refused(
                    422, 40010001, f"page_token {query['page_token']} is not the id of an activity found here"
                )
            found = found[ids.index(query["page_token"]) + 1 :]
        size = count_of(query.get("page_size"), "page_size", MAX_PAGE_OF_ACTIVITIES, MAX_PAGE_OF_ACTIVITIES)
        return JSONResponse([activity_json(one) for one in found[:size]])

    async def portfolio_history(self, request: Request) -> Response:
        query = request.query_params
        account, closes = self._broker.account(), self._broker.equity_at_closes()
        now = self._broker.advance()
        since, until = _history_of(query, now.astimezone(NEW_YORK).date())
        sessions = [one for one in self._broker.calendar.sessions(since, until) if one.date in closes]
        points = [(int(one.close.timestamp()), closes[one.date]) for one in sessions if one.close <= now]
        if until >= now.astimezone(NEW_YORK).date():
            points.append((int(now.timestamp()), account.equity))
        base = points[0][1] if points else Decimal(0)
        return JSONResponse(
            {
                "timestamp": [at for at, _ in points],
                "equity": [float(equity) for _, equity in points],
                "profit_loss": [float(equity - base) for _, equity in points],
                "profit_loss_pct": [float((equity - base) / base) if base else None for _, equity in points],
                "base_value": float(base),
                "timeframe": "1D",
            }
        )

    async def assets(self, request: Request) -> Response:
        query = request.query_params
        found: Iterable[Json] = self._all_assets().values()
        for key, parameter in (("status", "status"), ("class", "asset_class"), ("exchange", "exchange")):
            if wanted := query.get(parameter):
                found = [asset for asset in found if asset[key] == wanted]
        if attributes := listed_of(query.get("attributes")):
            found = [asset for asset in found if attributes & set(asset["attributes"])]
        return JSONResponse(list(found))

    async def asset(self, request: Request) -> Response:
        asked = request.path_params["symbol_or_asset_id"]
        asset = self._all_assets().get(self._symbol(asked))
        if asset is None:
            raise Refused(404, 40410000, f"asset not found for {asked}")
        return JSONResponse(asset)

    async def calendar(self, request: Request) -> Response:
        query, calendar = request.query_params, self._broker.calendar
        start = day_of(query["start"], "start") if query.get("start") else date.min
        end = day_of(query["end"], "end") if query.get("end") else date.max
        return JSONResponse(
            [
                {
                    "date": one.date.isoformat(),
                    "open": f"{one.open.astimezone(NEW_YORK):%H:%M}",
                    "close": f"{one.close.astimezone(NEW_YORK):%H:%M}",
                    "session_open": "0400",
                    "session_close": "2000",
                    "settlement_date": calendar.settlement(one.date).isoformat(),
                }
                for one in calendar.sessions(start, end)
            ]
        )

    async def clock(self, request: Request) -> Response:
        now, calendar = self._broker.advance(), self._broker.calendar
        return JSONResponse(
            {
                "timestamp": f"{now.astimezone(NEW_YORK):%Y-%m-%dT%H:%M:%S}.{fraction_of(now)}{offset_text(now)}",
                "is_open": calendar.is_open(now),
                "next_open": calendar.next_open(now).astimezone(NEW_YORK).isoformat(),
                "next_close": calendar.next_close(now).astimezone(NEW_YORK).isoformat(),
            }
        )

    async def positions(self, request: Request) -> Response:
        return JSONResponse([self._position_json(position) for position in self._broker.positions()])

    async def position(self, request: Request) -> Response:
        symbol = self._symbol(request.path_params["symbol_or_asset_id"])
        return JSONResponse(self._position_json(self._broker.position(symbol)))

    async def close_position(self, request: Request) -> Response:
        query = request.query_params
        if "qty" in query and "percentage" in query:
            raise Refused(422, 42210000, "only one of qty or percentage is accepted")
        percentage = number_of(query, "percentage", 9)
        if percentage is not None and percentage > 100:
            raise Refused(422, 42210000, "percentage must be between 0 and 100")
        symbol = self._symbol(request.path_params["symbol_or_asset_id"])
        return JSONResponse(order_json(self._broker.close_position(symbol, number_of(query, "qty", 9), percentage)))

    async def close_all_positions(self, request: Request) -> Response:
        cancel = request.query_params.get("cancel_orders", "false").lower() == "true"
        return JSONResponse(
            [
                {"symbol": symbol, "status": answer.status, "body": refusal_json(answer)}
                if isinstance(answer, Refused)
                else {"symbol": symbol, "status": 200, "body": order_json(answer)}
                for symbol, answer in self._broker.close_all_positions(cancel_orders=cancel)
            ],
            207,
        )

    async def orders(self, request: Request) -> Response:
        query = request.query_params
        status = choice_of(query.get("status"), "status", "open", "closed", "all")
        side = choice_of(query.get("side"), "side", "", "buy", "sell")
        symbols = listed_of(query.get("symbols"))
        after = parse_instant(query["after"], "after") if query.get("after") else None
        until = parse_instant(query["until"], "until") if query.get("until") else None

        def wanted(order: Order) -> bool:
            at = nanoseconds_at(order.submitted_at)
            return (
                (status == "all" or order.is_final == (status == "closed"))
                and side in ("", order.side)
                and (not symbols or order.symbol in symbols)
                and (after is None or at > after)
                and (until is None or at < until)
            )

        found = self._broker.orders(wanted)
        found.sort(key=lambda order: order.submitted_at)
        if choice_of(query.get("direction"), "direction", "desc", "asc") == "desc":
            found.reverse()
        limit = count_of(query.get("limit"), "limit", DEFAULT_ORDERS, MAX_ORDERS)
        return JSONResponse([order_json(order) for order in found[:limit]])

    async def submit(self, request: Request) -> Response:
        order_request = order_of(await request.body(), self._symbol)
        return JSONResponse(order_json(self._broker.submit(order_request)))

    async def order(self, request: Request) -> Response:
        return JSONResponse(order_json(self._broker.order(request.path_params["order_id"])))

    async def order_by_client_id(self, request: Request) -> Response:
        client_order_id = request.query_params.get("client_order_id")
        if not client_order_id:
            raise Refused(422, 40010001, "client_order_id is required")
        return JSONResponse(order_json(self._broker.order_by_client_id(client_order_id)))

    async def cancel(self, request: Request) -> Response:
        self._broker.cancel(request.path_params["order_id"])
        return Response(status_code=204)

    async def cancel_all(self, request: Request) -> Response:
        return JSONResponse([{"id": order.id, "status": 200} for order in self._broker.cancel_all()], 207)

    async def replace(self, request: Request) -> Response:
        order = self._broker.order(request.path_params["order_id"])
        raise Refused(422, 42210000, f"order {order.id} cannot be replaced in this sandbox: cancel it and send another")

    def _all_assets(self) -> dict[str, Json]:
        listed = self._market.instruments
        if listed is not self._listed:  # the market replaces its dict when a listing comes or goes
            assets = {symbol: asset_json(one.instrument, "inactive") for symbol, one in self._market.delisted.items()}
            assets |= {symbol: asset_json(instrument) for symbol, instrument in listed.items()}
            # alpaca-py's enum does not know this class and its get_all_assets() raises for the whole list
            assets[IPO_SYMBOL] = ipo_json()
            self._symbols_by_asset_id = {asset["id"]: symbol for symbol, asset in assets.items()}
            self._assets, self._listed = assets, listed
        return self._assets

    def _symbol(self, symbol_or_asset_id: str) -> str:
        self._all_assets()
        return self._symbols_by_asset_id.get(symbol_or_asset_id.lower(), symbol_or_asset_id)

    def _position_json(self, position: Position) -> Json:
        price, cost, day_cost = position.price or Decimal(0), position.cost, position.day_cost
        value = position.qty * price
        assets = self._all_assets()
        # a position that has not been moved yet is still that of the stock that was renamed
        asset = assets.get(position.symbol) or assets.get(self._market.renamed.get(position.symbol, ""))
        return {
            "asset_id": asset["id"] if asset else id_of("asset", position.symbol),
            "symbol": position.symbol,
            "exchange": asset["exchange"] if asset else "",
            "asset_class": "us_equity",
            "asset_marginable": True,
            "qty": plain(position.qty),
            "qty_available": plain(position.qty_available),
            "side": "long",
            "avg_entry_price": ratio_text(cost, position.qty),
            "cost_basis": plain(cost),
            "market_value": None if position.price is None else plain(value),
            "current_price": None if position.price is None else plain(price),
            "lastday_price": plain(position.lastday_price),
            "change_today": ratio_text(price - position.lastday_price, position.lastday_price),
            "unrealized_pl": plain(value - cost),
            "unrealized_plpc": ratio_text(value - cost, cost),
            "unrealized_intraday_pl": ratio_text(value - day_cost, Decimal(1)),
            "unrealized_intraday_plpc": ratio_text(value - day_cost, day_cost),
        }


def _history_of(query: Mapping[str, str], today: date) -> tuple[date, date]:
    """The first and the last day that a portfolio history is asked for."""
    if query.get("timeframe", "1D") != "1D":
        raise Refused(422, 40010001, "this sandbox has timeframe 1D only")
    ends = [day_of(query[name], name) if query.get(name) else None for name in ("start", "end")]
    if all(ends) and "period" in query:
        raise Refused(422, 40010001, "period must not be given where both start and end are")
    period = re.fullmatch(r"([1-9]\d{0,3})([DWMA])", query.get("period", "1M"))
    if period is None:
        raise Refused(422, 40010001, "this sandbox has period nD, nW, nM or nA only")
    length = timedelta(days=int(period[1]) * {"D": 1, "W": 7, "M": 31, "A": 366}[period[2]])
    start, end = ends
    if start is not None:
        return start, min(end or start + length, today)  # without an end it is the period's, not today
    last = end or today
    return last - length, min(last, today)
