"""Finnhub's listings, profiles and metrics, through the official client, with the units fixed per field.

What the figures mean for the universe or a score is decided in those rooms.
"""

PROVIDER = "Finnhub"
