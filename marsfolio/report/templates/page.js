/** Return the strategy's line, drawn above the benchmark's where there is one. */
function both(name, change = values => values) {
  const own = {...line("Strategy", change(data.curve[name]), "main"), legendrank: 1};
  return data.benchmark ? [line("Benchmark", change(data.benchmark[name]), "other"), own] : [own];
}

function drawCharts() {
  draw("equity", both("equity"), money);
  const falls = both("drawdown", negative), own = falls.pop();
  own.line.color = colour("loss");
  draw("drawdown", [...falls, filled(own)], percent);
  if (data.curve.sharpe) {
    draw("volatility", both("volatility"), {...percent, rangemode: "tozero"});
    draw("sharpe", both("sharpe"), {hoverformat: ".2f", zeroline: true, zerolinecolor: colour("soft")});
  }
  if (data.agents) draw("agents", stacked(data.agents, ramp), {...percent, rangemode: "tozero"});
  if (data.holdings) draw("holdings", stacked(data.holdings, areas), {...percent, rangemode: "tozero"});
  draw("exposure", [filled(line("Exposure", data.exposure, "main"))], {...percent, rangemode: "tozero"});
  draw("turnover", [bars("Turnover", data.months.turnover, "main")], {...percent, rangemode: "tozero"});
  const {commission, slippage} = data.months;
  const paid = [bars("Commission", commission, "main"), bars("Slippage", slippage, "c1")].filter(({y}) => y.some(Boolean));
  draw("paid", paid, money, {barmode: "stack", showlegend: true});
}
