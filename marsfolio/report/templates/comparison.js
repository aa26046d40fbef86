/** Return a line for each run, in the colour that the tables name it with; the baseline is dashed. */
const lines = (values, change = y => y) => values.map((y, k) =>
  line(data.names[k], change(y), "c" + k % 10, k === data.baseline ? {dash: "dash"} : {}));

function drawCharts() {
  draw("equity", lines(data.equity), {tickformat: ",.4~g", hoverformat: ",.3f"});
  draw("drawdown", lines(data.drawdown, negative), percent, {showlegend: false});
}
