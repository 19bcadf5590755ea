"""Orders: guards, the rebalance, the order ledger, the report."""
