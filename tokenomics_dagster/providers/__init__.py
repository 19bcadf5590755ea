"""The outside services: Finnhub and Alpaca, each an official client made safe (time-outs, pacing, typed errors).

What is done with their data belongs in the rooms; nothing here knows Dagster's assets, tables or the strategy.
"""
