"""Brokers behind one small protocol: each takes one basket per decision."""
