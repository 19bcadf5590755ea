"""Alpaca's trading and market data APIs, through the official clients, with own tolerant parsing.

Amounts are Decimal, instants aware UTC datetimes. What an answer means for a plan, and when to trade, is decided in the
rooms.
"""

PROVIDER = "Alpaca"
