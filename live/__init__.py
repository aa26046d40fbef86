"""The paper-trading service: one strategy on one account, one rebalance a session."""
