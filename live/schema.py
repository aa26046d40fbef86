"""The tables of a paper account's journal."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Date, Float, Integer, MetaData, String, Table, Text

FORMAT_VERSION = 1
"""Of these tables; a journal with a newer one is refused."""

metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("value", JSON, nullable=False),
)

plans = Table(
    "plans",
    metadata,
    Column("session", Date, primary_key=True),
    Column("decided", Date, nullable=False),
    Column("status", String(16), nullable=False),
    Column("document", JSON, nullable=False),
    Column("note", Text, nullable=False, default=""),
)
"""What was decided for a session, once; the document never changes."""

orders = Table(
    "orders",
    metadata,
    Column("client_id", String(128), primary_key=True),
    Column("number", Integer, nullable=False),
    Column("session", Date, nullable=False, index=True),
    Column("symbol", String(32), nullable=False),
    Column("side", String(4), nullable=False),
    Column("wanted", Float, nullable=False),
    Column("quantity", Float, nullable=False),
    Column("stage", String(16), nullable=False, index=True),
    Column("order_id", String(128), nullable=False, default=""),
    Column("status", String(32), nullable=False, default=""),
    Column("filled", Float, nullable=False, default=0.0),
    Column("commission", Float, nullable=False, default=0.0),
    Column("slippage", Float, nullable=False, default=0.0),
    Column("value", Float, nullable=False, default=0.0),
    Column("split", Float, nullable=False, default=1.0),
    Column("reason", Text, nullable=False, default=""),
)

fills = Table(
    "fills",
    metadata,
    Column("fill_id", String(160), primary_key=True),
    Column("number", Integer, nullable=False, unique=True),
    Column("order_id", String(128), nullable=False),
    Column("session", Date, nullable=False, index=True),
    Column("time_utc", String(32), nullable=False),
    Column("symbol", String(32), nullable=False),
    Column("side", String(4), nullable=False),
    Column("quantity", Float, nullable=False),
    Column("price", Float, nullable=False),
    Column("commission", Float, nullable=False),
    Column("slippage", Float, nullable=False),
    Column("cash_after", Float, nullable=False),
    Column("position_after", Float, nullable=False),
    Column("reason", Text, nullable=False),
)

movements = Table(
    "movements",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("session", Date, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("symbol", String(32), nullable=False),
    Column("amount", Float, nullable=False),
    Column("quantity_change", Float, nullable=False),
)

closes = Table(
    "closes",
    metadata,
    Column("session", Date, primary_key=True),
    Column("equity", Float, nullable=False),
    Column("cash", Float, nullable=False),
    Column("traded", Float, nullable=False),
    Column("marks", JSON, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("time_utc", String(32), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("payload", Text, nullable=False),
    Column("hash", String(64), nullable=False),
)
"""Everything that happened, each entry sealed with the hash of the one before."""
