"""What an evaluation says, as sections of text and tables: the page and the summary print the same."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from marsfolio.evaluation.findings import Findings, Section, Table, between, quartiles, shown, span, with_companions
from marsfolio.evaluation.longtable import LEVEL, MEDIAN, TOGETHER
from marsfolio.evaluation.paper import COLUMNS as PAPER_COLUMNS
from marsfolio.evaluation.paper import published_rows
from marsfolio.evaluation.verdict import Answer
from marsfolio.report.formats import UNDEFINED

RESULTS = (
    ("Sharpe", "sharpe_ratio", "ratio"),
    ("Return", "total_return", "share"),
    ("Volatility", "annual_volatility", "share"),
    ("Max drawdown", "max_drawdown", "share"),
    ("Exposure", "mean_exposure", "share"),
    ("Turnover a year", "annual_turnover", "times"),
    ("Traded a year", "annual_traded", "times"),
    ("Costs", "cost_share", "share"),
    ("Costs of profit", "cost_share_of_profit", "share"),
    ("Annual return", "annual_return", "share"),
    ("Sortino", "sortino_ratio", "ratio"),
    ("Calmar", "calmar_ratio", "ratio"),
)
"""Label, metric and unit of the columns that describe a method in a window."""


def sections(found: Findings) -> list[Section]:
    """Return what there is to say, the most important first; parts without content are left out."""
    parts = [
        _everyone(found),
        *_windows(found),
        *_dials(found),
        _behaviour(found),
        _learning(found),
        _paper(found),
        _run(found),
    ]
    return [part for part in parts if part is not None]


def _everyone(found: Findings) -> Section:
    rows = [
        (
            verdict.method,
            {Answer.BEATS: "yes", Answer.DOES_NOT: "no", Answer.UNKNOWN: "cannot be told"}[verdict.answer],
            shown(verdict.difference, "signed"),
            between(verdict.low, verdict.high, "signed"),
            *(shown(value, "signed") for value in verdict.by_window.values()),
            verdict.reason,
        )
        for verdict in found.verdicts()
    ]
    names = tuple(f"in {name}" for name in found.numbers.windows)
    columns = ("Method", "Beats it?", "Sharpe difference", f"{LEVEL:.0%} interval", *names, "Why")
    texts = [
        f"Sharpe ratio of each method less that of {found.reference}, which holds everything equally and restores that "
        "once a month: the median over the seeds, averaged over the windows. The interval redraws the sessions of each "
        "window for one account that holds all seeds in equal parts. It allows for the luck of these sessions, not for "
        "years of another kind."
    ]
    return Section("verdict", "Does it beat holding everything equally?", texts, [Table("", columns, rows)])


def _windows(found: Findings) -> Iterator[Section]:
    for periods in found.windows:
        name = periods.name
        texts = [
            f"Trained on {span(periods.train)}, chosen on {span(periods.validation)}, tested on "
            f"{span(periods.test)}. "
            f"{found.facts['looks'].get(':'.join(periods.test), {}).get('looks', 0)} looks at this test window so far. "
            "Learned methods: median over the seeds, and between which values the middle half of them lies. Turnover "
            "is half of what is traded over equity, traded is all of it; costs are shares of the initial money."
        ]
        tables = [_results(found, name), _against(found, name)]
        yield Section(f"window-{name}", f"Window {name}", texts, tables)


def _results(found: Findings, window: str) -> Table:
    columns = ("Method", *(label for label, _, _ in RESULTS))
    rows = []
    for method in with_companions(found):
        cells = (quartiles(found.numbers, window, method, name, unit) for _, name, unit in RESULTS)
        rows.append((method, *cells))
    return Table("Results", columns, rows)


def _against(found: Findings, window: str) -> Table:
    numbers = found.numbers
    rows = []
    for method in with_companions(found):
        if method == found.reference:
            continue

        def get(name: str, seed: str = MEDIAN, method: str = method) -> float:
            return numbers.get(window, method, name, seed)

        less = get("drawdown_less_volatility_ratio")
        rows.append(
            (
                method,
                shown(get("sharpe_difference"), "signed"),
                between(get("sharpe_difference_low", TOGETHER), get("sharpe_difference_high", TOGETHER), "signed"),
                shown(get("return_difference"), "points"),
                between(get("return_difference_low", TOGETHER), get("return_difference_high", TOGETHER), "points"),
                shown(get("volatility_ratio"), "ratio"),
                shown(get("drawdown_ratio"), "ratio"),
                UNDEFINED if math.isnan(less) else "yes" if less < 0.0 else "no",
                shown(get("null_percentile"), "rank"),
                shown(get("timing_percentile"), "rank"),
                shown(get("deflated_sharpe_ratio"), "rank"),
            )
        )
    columns = (
        "Method",
        "Sharpe difference",
        f"{LEVEL:.0%} interval",
        "Annual return difference",
        f"{LEVEL:.0%} interval",
        "Volatility ratio",
        "Drawdown ratio",
        "Drawdown falls more",
        "No-skill percentile",
        "Timing percentile",
        "Deflated Sharpe",
    )
    return Table(f"Against {found.reference}", columns, rows)


def _dials(found: Findings) -> Iterator[Section]:
    for method in found.learned:
        agents = found.facts["agents"].get(method, [])
        if len(agents) < 2:
            continue
        tables = [_dial(found, method, agents, periods.name) for periods in found.windows]
        texts = [
            "Each agent alone, from the most cautious to the boldest, medians over the seeds. The dial works when "
            "volatility and drawdown rise from agent to agent: a rank correlation of 1."
        ]
        yield Section(f"dial-{method}", f"The risk dial of {method}", texts, tables)


def _dial(found: Findings, method: str, agents: Sequence[str], window: str) -> Table:
    names = (
        ("mean_exposure", "share"),
        ("annual_volatility", "share"),
        ("max_drawdown", "share"),
        ("sharpe_ratio", "ratio"),
        ("total_return", "share"),
    )
    rows = [
        (agent, *(shown(found.numbers.get(window, f"{method} {agent}", name), unit) for name, unit in names))
        for agent in agents
    ]
    ranks = [shown(found.numbers.get(window, method, f"dial_{name}"), "ratio") for name in ("volatility", "drawdown")]
    rows.append(("rank correlation", "", *ranks, "", ""))
    title = f"Window {window}"
    return Table(title, ("Agent", "Exposure", "Volatility", "Max drawdown", "Sharpe", "Return"), rows)


def _behaviour(found: Findings) -> Section | None:
    names = (
        ("Cautious half", "cautious_weight", "share"),
        ("Bold half", "bold_weight", "share"),
        ("Its volatility", "cautious_volatility", "share"),
        ("Volatility of the bold half", "bold_volatility", "share"),
        ("Correlation of the halves", "halves_correlation", "ratio"),
        ("Correlation of single agents", "pairs_correlation", "ratio"),
        ("Agents in use", "agents_in_use", "ratio"),
    )
    rows = [
        (
            f"{method}, {periods.name}",
            *(shown(found.numbers.get(periods.name, method, name), unit) for _, name, unit in names),
        )
        for method in found.learned
        if len(found.facts["agents"].get(method, [])) > 1
        for periods in found.windows
    ]
    if not rows:
        return None
    texts = [
        "How much weight the controller gives to the more cautious and to the bolder half of the agents, over the "
        "sessions of a test window: means, standard deviations, and whether one rises when the other falls. Two halves "
        "that sum to 1 have a correlation of -1 by arithmetic; that of single agents from different halves is not "
        "bound so. Medians over the seeds."
    ]
    columns = ("Method and window", *(label for label, _, _ in names))
    return Section("behaviour", "Who decides, and when", [*texts, *_compared(found)], [Table("", columns, rows)])


def _compared(found: Findings) -> Iterator[str]:
    """Say of each ensemble in which window its controller moves most."""
    for method in found.learned:
        known = {
            periods.name: value
            for periods in found.windows
            if not math.isnan(value := found.numbers.get(periods.name, method, "cautious_volatility"))
        }
        if len(known) > 1:
            words = " and ".join(f"{100 * value:.1f} percentage points in {name}" for name, value in known.items())
            yield f"{method}: the weight of the cautious half has a standard deviation of {words}."


def _learning(found: Findings) -> Section | None:
    rows = []
    for curve in found.facts["curves"]:
        known = [(score, episode) for score, episode in zip(curve["median"], curve["episodes"], strict=True) if score]
        if known:
            best, episode = max(known)
            rows.append(
                (
                    f"{curve['method']}, {curve['window']}",
                    str(curve["episodes"][-1]),
                    *(shown(value, "ratio") for value in (known[0][0], best, known[-1][0])),
                    str(episode),
                )
            )
    if not rows:
        return None
    texts = [
        "Score on the validation window after so many episodes: median over the seeds, and in the chart the range from "
        "the worst to the best. A curve that still rises at its end says that more training may help; one that has "
        "been flat for long, that it will not."
    ]
    columns = ("Method and window", "Episodes", "First score", "Best score", "Last score", "Best episode")
    return Section("learning", "Learning curves", texts, [Table("", columns, rows)])


def _paper(found: Findings) -> Section | None:
    tables = []
    for periods in found.windows:
        published = published_rows(periods)
        if not published:
            continue
        rows = [
            (
                method,
                *(
                    quartiles(found.numbers, periods.name, method, name, "ratio" if "sharpe" in name else "share")
                    for name in PAPER_COLUMNS
                ),
                shown(found.numbers.get(periods.name, method, "sharpe_ratio"), "ratio"),
            )
            for method in with_companions(found)
        ]
        rows += [
            (
                f"published: {row.model} ({row.market})",
                *(shown(row.values[name], "ratio" if "sharpe" in name else "share") for name in PAPER_COLUMNS),
                UNDEFINED,
            )
            for row in published
        ]
        columns = ("Method", "CR", "AR", "SR = AR / AVol", "AVol", "MDD", "Our Sharpe, whole window")
        tables.append(Table(f"Window {periods.name}", columns, rows))
    if not tables:
        return None
    texts = [
        "Ours counted as arXiv 2508.01173 counts (CR, the return; AR = (1 + CR)^(252/n) - 1 with n values; population "
        "standard deviation; SR = AR / AVol), on its part of the year: without the first 10 sessions and its last "
        "ones. The rows marked published are the paper's own numbers, on its own stocks, for one seed; "
        "MARS-Static is of the whole year there."
    ]
    return Section("paper", "Beside the published numbers", texts, tables)


def _run(found: Findings) -> Section:
    facts = found.facts
    limits = facts["limits"] or {}
    texts = [
        f"Data: {facts['data']}. Seeds: {', '.join(map(str, facts['seeds']))}. "
        f"Limits of every method: no symbol above {shown(limits.get('cap', 1.0), 'share')}, at least "
        f"{shown(limits.get('cash_buffer', 0.0), 'share')} in cash. Terms: "
        + ", ".join(f"{name} {value}" for name, value in facts["terms"].items() if not isinstance(value, (dict, list)))
        + ".",
        f"The no-skill percentile compares a run with {facts['null_paths']} random portfolios of the same sessions, "
        "exposure, concentration and turnover; 50 % is luck. It judges the choice of symbols. The timing percentile "
        "judges when to be invested: the same exposures, held in equal parts, against themselves moved to other times "
        "of the window. The deflated Sharpe ratio is the probability that the true one is above 0, given how many "
        "methods were tried.",
        *facts["notes"],
    ]
    windows = [(one.name, span(one.train), span(one.validation), span(one.test)) for one in found.windows]
    looks = [(test, str(one["looks"]), str(one["configurations"])) for test, one in facts["looks"].items()]
    tables = [
        Table("Windows", ("Window", "Training", "Validation", "Test"), windows),
        Table("Log of looks at test windows", ("Test window", "Looks", "Configurations"), looks),
        Table("Budget", ("Method", "Settings", "Seconds a cell"), [_budget(facts, one) for one in facts["methods"]]),
    ]
    return Section("run", "What was run", texts, tables)


def _budget(facts: Mapping[str, Any], method: Mapping[str, Any]) -> tuple[str, str, str]:
    settings = method.get("settings", {})
    names = ("episodes", "update_every", "steps", "total_timesteps", "patience", "batch_size")
    shown = ", ".join(f"{name} {settings[name]}" for name in names if name in settings)
    seconds = facts["seconds"].get(method["name"])
    return method["name"], shown or str(method.get("schedule", "")), UNDEFINED if seconds is None else f"{seconds:.0f}"
