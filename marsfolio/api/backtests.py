"""Backtests in Python: the same runs as `marsfolio backtest`, as objects."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pandas as pd

from engine.errors import ConfigError
from engine.policy import Policy
from engine.result import Result
from marsfolio.api.arguments import FILLS, SCHEDULES, Day, absolute, day, listed, one_of, param_texts
from marsfolio.api.bars import Bars, Data, read_bars, table_file
from marsfolio.api.views import MemoryRun, RunView
from marsfolio.backtesting import KIND, Finished, Judging, finish, stated_costs
from marsfolio.choice import check_choice, costs_of, market_of, plan_of, terms_of
from marsfolio.compose import absolute_benchmark, absolute_universe, load_benchmark, window
from marsfolio.plans import ENGINES
from marsfolio.runs import config_document, recording, told_of
from marsfolio.values import json_value
from strategies.loader import OwnStrategy, own_of
from strategies.registry import WEIGHTS

if TYPE_CHECKING:
    from agents.checkpoint import Model

Strategy: TypeAlias = "str | Path | Model | Policy | Callable[..., Any] | type[Any] | pd.DataFrame"
"""What may be traded, see `backtest`."""


class Backtest(RunView):
    """A finished backtest: pandas tables, figures, and `save` for the run folder.

    Parameters
    ----------
    name : of what ran.
    finished : the run and all that is known of it.
    options : those of `marsfolio backtest` that say the same.
    """

    def __init__(self, name: str, finished: Finished, options: Mapping[str, Any]) -> None:
        super().__init__(_memory_run(name, finished, options))
        self._finished, self._options = finished, options

    @property
    def result(self) -> Result:
        """The run as arrays."""
        return self._finished.result

    def save(self, folder: str | Path) -> Path:
        """Write the run folder that `marsfolio backtest` would write, replacing an earlier backtest there.

        Returns
        -------
        The path of its report.

        Raises
        ------
        RunFolderError
            When the folder holds anything else, or cannot be written.
        """
        out = Path(folder)
        with recording(out, KIND):
            self._finished.write(out, {"out": absolute(out), **self._options})
        return out / "report.html"


@dataclass(frozen=True)
class _Chosen:
    """What is to run.

    Attributes
    ----------
    model : a trained model, or its folder; None for a strategy.
    strategy : the name of a strategy that comes with this project, or one of the user's own.
    weights : file of target weights.
    remarks : what the run's files cannot say.
    """

    model: Model | Path | None = None
    strategy: str | OwnStrategy = ""
    weights: Path | None = None
    remarks: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        if self.model is not None:
            return (self.model if isinstance(self.model, Path) else self.model.path).resolve().name
        return (self.strategy if isinstance(self.strategy, str) else self.strategy.name).rpartition(":")[2]

    def options(self) -> dict[str, Any]:
        if self.model is not None:
            path = self.model if isinstance(self.model, Path) else self.model.path
            return {"model": str(path.absolute())}
        if isinstance(self.strategy, str):
            return {"strategy": self.strategy, "weights": absolute(self.weights)}
        return {"strategy": self.strategy.name}


def backtest(
    data: Data,
    strategy: Strategy,
    start: Day = None,
    end: Day = None,
    *,
    symbols: Sequence[str] | str | None = None,
    universe: str | Path | None = None,
    params: Mapping[str, Any] | None = None,
    weights: str | Path | pd.DataFrame | None = None,
    untrained: bool = False,
    agent: str | None = None,
    rebalance: str = "daily",
    cash: float = 1_000_000.0,
    costs: str | Path | None = None,
    commission_bps: float | None = None,
    slippage_bps: float | None = None,
    fill: str = "next_open",
    fractional: bool = False,
    cap: float | None = None,
    cash_buffer: float | None = None,
    engine: str = "cerebro",
    benchmark: str | Path | None = None,
    null_paths: int = 100,
    trials: int | None = None,
) -> Backtest:
    """Run a strategy or a model over past bars with costs, as `marsfolio backtest` does.

    Parameters
    ----------
    data : bars, see `read_bars`; None for the bundled sample.
    strategy : one of

        * the name of a strategy, such as ``"equal_weight"`` or ``"mine.py:SmaCross"``;
        * a function of an `Observation` that returns target weights, a policy, or the class of one;
        * a backtrader strategy (its class);
        * a `Model`, or the Path of its folder.
    start, end : first and last session; those of the data when absent.
    symbols : those to trade; all in the data when absent.
    universe : a bundled @NAME or a file: its members are traded, each while it is one.
    params : parameters of a strategy of one's own.
    weights : target weights (date, symbol, weight) for the strategy ``"weights"``, a file or a table.
    untrained, agent : the model's ensemble as it was before training; one of its agents alone.
    rebalance : daily, weekly or monthly: how often a strategy may.
    cash : initial cash, account currency.
    costs : zero, mars, alpaca, ibkr-fixed, ibkr-tiered, or a TOML file.
    commission_bps, slippage_bps : basis points of the traded value; 10 and 0 when absent.
    fill : next_open, next_close or same_close: when orders execute.
    cap, cash_buffer : largest weight of a symbol, smallest of cash; 0.2 and 0.05 for models, none for strategies.
    engine : cerebro, or kernel: same fills, faster, for target weights alone.
    benchmark : bars of a benchmark, FILE or FILE:SYMBOL.
    null_paths : random portfolios that the run is compared with; 0 for none.
    trials : strategies tried, for the deflated Sharpe ratio.

    Raises
    ------
    ConfigError
        When arguments are unknown, out of range, or do not go together.
    DataError
        When bars or weights break a rule.
    UserCodeError
        When a strategy of one's own raises an exception; that one is its cause.
    """
    params = dict(params or {})
    list_of_prices = None if costs is None else str(costs)
    compared = None if benchmark is None else str(benchmark)
    names, members = listed("symbols", symbols), None if universe is None else str(universe)
    said = {
        "untrained": untrained,
        "agent": agent,
        "rebalance": one_of("rebalance", rebalance, SCHEDULES),
        "engine": one_of("engine", engine, ENGINES),
        "symbols": None if names is None else ",".join(names),
        "param": param_texts(params),
        "start": day(start),
        "end": day(end),
        "cash": cash,
        "costs": list_of_prices,
        "fill": one_of("fill", fill, FILLS),
        "fractional": fractional,
        "cap": cap,
        "cash_buffer": cash_buffer,
        "null_paths": null_paths,
        "trials": trials,
        **absolute_benchmark(compared),
        **absolute_universe(members),
        **stated_costs(list_of_prices, commission_bps, slippage_bps),
    }
    terms = terms_of(cash, costs_of(list_of_prices, commission_bps, slippage_bps), fill, fractional)
    source = Path(data) if isinstance(data, (str, Path)) else read_bars(data, names)
    with _chosen(strategy, params, weights) as chosen:
        _check(chosen, params, said)
        model, market, terms = market_of(chosen.model, source, names, terms, cap, cash_buffer, members)
        rows = window(market.panel, day(start), day(end), "start/end")
        plan = plan_of(model, untrained, chosen.strategy, params, market, terms, rows, rebalance, chosen.weights, agent)
        beside = load_benchmark(compared, market.panel, rows, cash)
        judging = Judging(null_paths, trials)
        done = finish(plan, plan.run(engine), market, model, not untrained, chosen.weights, beside, judging)
    done.remarks.extend([*chosen.remarks, *_remarks_on(source)])
    said |= {"data": _file_of(source), **chosen.options(), **({} if plan.own is None else {"strategy": plan.own.name})}
    return Backtest(chosen.name, done, {name: value for name, value in said.items() if value is not None})


def _check(chosen: _Chosen, params: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    own = not isinstance(chosen.strategy, str)
    check_choice(
        None if chosen.model is None else Path(chosen.name),
        asked["untrained"],
        None if chosen.model is not None else "FILE.py:NAME" if own else str(chosen.strategy),
        list(params),
        chosen.weights,
        asked["rebalance"],
        asked["agent"],
    )


@contextmanager
def _chosen(
    strategy: Strategy, params: Mapping[str, Any], weights: str | Path | pd.DataFrame | None
) -> Iterator[_Chosen]:
    if isinstance(weights, pd.DataFrame):
        with table_file(weights, "weights") as written, _chosen(strategy, params, written) as found:
            yield replace(found, remarks=["the target weights came from a table in Python: keep it to repeat the run"])
        return
    file = None if weights is None else Path(weights)
    if isinstance(strategy, Path) or _is_model(strategy):
        yield _Chosen(model=strategy, weights=file)  # type: ignore[arg-type]
    elif isinstance(strategy, str):
        if file is None and strategy == WEIGHTS:
            raise ConfigError('the strategy "weights" needs weights=: a file or a table of date, symbol, weight')
        yield _Chosen(strategy=strategy, weights=file)
    else:
        own = own_of(strategy, params)
        named = own.is_named
        yield _Chosen(strategy=own, weights=file, remarks=[] if named else [_unnamed(own.name)])


def _is_model(strategy: object) -> bool:
    known = sys.modules.get("agents.checkpoint")  # torch takes seconds to load, and who has a model has it loaded
    return known is not None and isinstance(strategy, known.Model)


def _unnamed(name: str) -> str:
    return (
        f"{name} is no name in a .py file: config.toml cannot repeat the run, and `marsfolio paper` cannot trade it; "
        "define it at the top of a file"
    )


def _file_of(source: Path | Bars) -> str | None:
    return absolute(source.path if isinstance(source, Bars) else source)


def _remarks_on(source: Path | Bars) -> list[str]:
    if isinstance(source, Path) or source.is_sample or source.path is not None:
        return []
    return ["the bars came from a table in Python: config.toml cannot name them, and --data must, to repeat the run"]


def _memory_run(name: str, finished: Finished, options: Mapping[str, Any]) -> MemoryRun:
    result = finished.result
    provenance = {**finished.provenance, "remarks": told_of(result, finished.remarks)}
    tables = {
        "equity.csv": result.equity_table(finished.benchmark),
        "trades.csv": result.trades.table(),
        "cash_flows.csv": result.cash_flow_table(),
        "round_trips.csv": result.round_trip_table(),
        "decisions.parquet": result.decision_table(),
    }
    values = {
        "metrics.json": json_value(result.metrics()),
        "statistics.json": json_value(finished.statistics),
    }
    return MemoryRun(Path(name), config_document(KIND, KIND, options, provenance), tables, values)
