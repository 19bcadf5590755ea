"""Tokenomics: picks US stocks by fundamentals and keeps a brokerage account on a score-weighted portfolio."""
