"""Tokenomics: picks US stocks by fundamentals and keeps a brokerage account on a score-weighted portfolio."""

import warnings

# Backfills of many symbols in one run rest on it; Dagster 1.13 calls it beta each time the definitions load.
warnings.filterwarnings("ignore", message="Parameter `backfill_policy`")
