"""Bars in: files, the bundled sample, and panels as backtrader feeds."""
