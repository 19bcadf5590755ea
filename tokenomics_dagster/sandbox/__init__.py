"""A market in a box: an HTTP server that speaks Finnhub's and Alpaca's APIs.

It stands for the outside world, so it imports no other part of the package, and only the command line starts it.
"""
