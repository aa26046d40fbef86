"""Brokers behind one small protocol (engine's BasketBroker): each takes one basket per decision."""
