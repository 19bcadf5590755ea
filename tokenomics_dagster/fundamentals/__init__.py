"""Financials per company, and the scores made from them."""
