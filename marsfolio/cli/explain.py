"""`marsfolio explain`: why a run did what it did in one session, made again and checked."""

from __future__ import annotations

import contextlib
import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from marsfolio.config import ConfigOption

if TYPE_CHECKING:
    import pandas as pd

    from engine.policy import Explanation
    from marsfolio.explanation.session import Explained

NAMED = 3
"""Symbols that are named on each agent's line."""
_CARRIED = 0.9
_SAME = 1e-6


class Format(StrEnum):
    """Values of ``--format``."""

    TABLE = "table"
    JSON = "json"


def explain(
    ctx: typer.Context,
    run: Annotated[Path, typer.Argument(help="Folder of a run.", metavar="RUN")],
    session: Annotated[str, typer.Option(help="Session of the decision, YYYY-MM-DD.")],
    data: Annotated[Path | None, typer.Option(help="Bars, when they are no longer where the run found them.")] = None,
    top: Annotated[int, typer.Option(min=1, help="Rows of each table of symbols; JSON has all.")] = 10,
    format: Annotated[Format, typer.Option(help="Tables for people, or JSON with every number.")] = Format.TABLE,
    config: ConfigOption = None,
) -> None:
    """Say why a run decided what it decided in one session.

    Which agents carried the decision, what each proposed, its predicted value and risk; what was asked for before
    limits, which limit changed what, and the orders that followed. The run is replayed up to the session, and the
    decision compared with the run's files: what differs is an error.
    """
    from marsfolio.cli.again import run_again
    from marsfolio.compose import parse_session
    from marsfolio.explanation.replay import session_of
    from marsfolio.explanation.session import explain as explained
    from marsfolio.runs import open_run

    found, day = open_run(run), parse_session(session, "--session")
    assert day is not None
    session_of(found, day)  # before the slow work
    with contextlib.redirect_stdout(sys.stderr):  # a user's strategy may print, and JSON stands alone
        again = run_again(ctx, found, data, day)
        answer = explained(found, again.plan, again.provenance, day)
    if format is Format.JSON:
        print(json.dumps(answer.table(), indent=2, allow_nan=False, ensure_ascii=False))
    else:
        _print(answer, top)


def _print(answer: Explained, top: int) -> None:
    print(f"{answer.session} of {answer.run} ({answer.kind}), replayed: the same as in the run's files")
    print(", ".join(f"{name.replace('_', ' ')} {digest[:12]}..." for name, digest in answer.hashes.items()))
    _print_portfolio(answer)
    print()
    if answer.why_none:
        print(f"no decision: {answer.why_none}")
        print(f"last decision before: {answer.last_decision or 'none'}; next: {answer.next_decision or 'none'}\n")
        _print_holdings(answer, top)
    else:
        if answer.learned is not None:
            _print_agents(answer, answer.learned)
        _print_symbols(answer, top)
        if answer.learned is not None:
            _print_difference(answer)
        _print_limits(answer)
        _print_orders(answer, top)
    for note in answer.notes:
        print(f"note: {note}")


def _print_portfolio(answer: Explained) -> None:
    equity, cash, risk = answer.equity, answer.cash, answer.risk
    print(f"\nPortfolio at the close: equity {equity:,.2f}, cash {cash:,.2f} ({_percent(cash / equity)})")
    if risk is not None:
        print(
            f"risk so far: drawdown {_percent(risk.drawdown)}, volatility of 30 sessions {_percent(risk.volatility_30)}"
            f" a session,\n  CVaR 95 % {_percent(risk.conditional_value_at_risk_95)} a session"
        )


def _print_agents(answer: Explained, learned: Explanation) -> None:
    from marsfolio.cli.terminal import print_table

    agents = answer.agents
    rows = [
        [
            str(row["agent"]),
            _percent(row["weight"]),
            _number(row["value"]),
            _number(row["risk"]),
            *(_percent(row[name]) for name in ("exposure", "turnover", "from_mean")),
        ]
        for row in agents.to_dict("records")
    ]
    print(f"{_carried(agents)}\n")
    print_table("Agents", ["agent", "weight", "value", "risk", "exposure", "turnover", "from mean"], rows)
    print(f"value: {learned.value_means}\nrisk: {learned.risk_means}")
    print(
        "exposure, turnover: of the agent's own proposal, before limits\n"
        "from mean: part of the portfolio that it would hold otherwise than the mean\n"
    )
    names = answer.symbols["symbol"].tolist()
    rows = [
        [name, _largest(names, proposal, "{:.1f}"), _largest(names, proposal - answer.mean, "{:+.1f}")]
        for name, proposal in zip(learned.agents, learned.proposals, strict=True)
    ]
    print_table("Proposals, % of equity", ["agent", "largest targets", "largest differences from the mean"], rows)


def _carried(agents: pd.DataFrame) -> str:
    """Return in a sentence which agents have most of the weight."""
    ranked = agents.sort_values("weight", ascending=False, kind="stable")
    if len(ranked) == 1:
        return f"The decision is of one agent, {ranked['agent'].iloc[0]}."
    before = ranked["weight"].cumsum().shift(fill_value=0.0)
    few = ranked[before < _CARRIED]
    pairs = zip(few["agent"], few["weight"].tolist(), strict=True)
    first = ", ".join(f"{name} ({_percent(weight)})" for name, weight in list(pairs)[:NAMED])
    return f"Carried by {first};\n{len(few)} of {len(ranked)} agents have {_CARRIED:.0%} of the weight."


def _largest(names: list[str], values: object, form: str) -> str:
    """Return the symbols with the largest numbers of either sign, in percent."""
    import pandas as pd

    ranked = pd.Series(values, index=names, dtype="float64").dropna().sort_values(key=abs, ascending=False)
    return ", ".join(f"{name} {form.format(100 * value)}" for name, value in ranked.head(NAMED).items()) or "none"


def _print_symbols(answer: Explained, top: int) -> None:
    from marsfolio.cli.terminal import print_table

    table = answer.symbols
    wanted = table["asked"].fillna(table["held"])
    after = table["after_limits"].fillna(table["held"])
    moved = (wanted - after).abs() + (wanted - table["held"]).abs()
    shown = table.loc[moved.sort_values(ascending=False, kind="stable").index].head(top)
    rows = [
        [
            row["symbol"],
            _percent(row["held"]),
            *("keep" if row[name] != row[name] else _percent(row[name]) for name in ("asked", "after_limits")),
            _percent(row["executed"]),
            row["limit_applied"],
        ]
        for row in shown.to_dict("records")
    ]
    title = f"Targets: {len(shown)} of {len(table)} symbols, those that change most"
    print_table(title, ["symbol", "held", "asked", "after limits", "executed", "limit applied"], rows)


def _print_difference(answer: Explained) -> None:
    """Say where a policy does not ask for what its agents propose, as one that smooths its trades."""
    table = answer.symbols.assign(gap=(answer.symbols["asked"] - answer.mean).abs()).dropna(subset=["gap"])
    widest = table.nlargest(1, "gap").to_dict("records")
    if widest and widest[0]["gap"] > _SAME:
        how = f"by up to {_percent(widest[0]['gap'])} ({widest[0]['symbol']})"
        print(f"asked is not the agents' mean, and differs {how}")


def _print_holdings(answer: Explained, top: int) -> None:
    from marsfolio.cli.terminal import print_table

    held = answer.symbols[answer.symbols["held"] != 0].sort_values("held", ascending=False, kind="stable")
    shown = held.head(top)
    rows = [[symbol, _percent(weight)] for symbol, weight in zip(shown["symbol"], shown["held"], strict=True)]
    print_table(f"Holdings: {len(shown)} of {len(held)}", ["symbol", "held"], rows)


def _print_limits(answer: Explained) -> None:
    if not answer.limits:
        print("limits: the run has none")
    for limit in answer.limits:
        bound = "" if limit.name == "long_only" else f" {limit.bound:.0%}"
        what = "changed nothing"
        if limit.symbols:
            way = "raised" if limit.cut < 0 else "cut"
            targets = "1 target" if limit.symbols == 1 else f"{limit.symbols} targets"
            what = f"{way} {targets} by {_percent(abs(limit.cut))} of equity in all"
        print(f"limit {limit.name.replace('_', ' ')}{bound}: {what}")


def _print_orders(answer: Explained, top: int) -> None:
    from marsfolio.cli.terminal import print_table

    orders = answer.orders
    print()
    if orders.empty:
        print("Orders: none, the shares held are those wanted")
        return
    ranked = orders.sort_values("notional", ascending=False, kind="stable")
    dropped = orders["result"] != "filled"  # never left out
    shown = ranked[dropped.loc[ranked.index] | (ranked["notional"].rank(ascending=False, method="first") <= top)]
    rows = [
        [
            row["symbol"],
            row["side"],
            *(f"{row[name]:,.10g}" for name in ("ordered", "filled")),
            "-" if row["price"] != row["price"] else f"{row['price']:,.2f}",
            f"{row['commission'] + row['slippage']:,.2f}",
            row["result"],
        ]
        for row in shown.to_dict("records")
    ]
    when = f"filled in the session {answer.filled_in}" if answer.filled_in else "not filled: the run ends"
    title = f"Orders: {len(shown)} of {len(orders)}, {when}"
    print_table(title, ["symbol", "side", "ordered", "filled", "price", "cost", "result"], rows)
    costs = orders[["commission", "slippage"]].sum()
    print(
        f"all orders: traded {orders['notional'].sum():,.2f}, commission {costs['commission']:,.2f}, "
        f"slippage {costs['slippage']:,.2f}"
    )


def _percent(value: float) -> str:
    return "-" if value != value else f"{100 * value:.2f} %"


def _number(value: float) -> str:
    return "-" if value != value else f"{value:.4g}"
