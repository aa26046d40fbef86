const MANY = 8; // methods: with more, only what is learned and the reference are drawn at first
const shownAtFirst = method => data.methods.length <= MANY || data.learned.includes(method) || method === data.reference;
const tone = name => "c" + data.methods.indexOf(name) % 10;

/** Draw a chart with an axis of its own: windows do not share their time. */
function place(id, traces, xaxis, yaxis) {
  const where = document.getElementById(id);
  if (where && traces.length) Plotly.react(where, traces, layoutOf(traces, xaxis, yaxis), settings);
}

function drawCharts() {
  for (const {name, sessions, equity, halves} of data.windows) {
    const time = {type: "date", showgrid: false, hoverformat: "%Y-%m-%d", range: [sessions[0], sessions.at(-1)]};
    const at = (label, y, color, more = {}) => ({...line(label, y, color, more), x: sessions});
    const accounts = Object.entries(equity).map(([method, y]) => ({
      ...at(method, y, tone(method), method === data.reference ? {dash: "dash", width: 2.4} : {}),
      visible: shownAtFirst(method) || "legendonly",
    }));
    place("equity-" + name, accounts, time, {tickformat: ",.4~g", hoverformat: ",.3f"});
    for (const [method, {cautious, bold}] of Object.entries(halves)) {
      const traces = [at("Cautious half", cautious, "main"), at("Bold half", bold, "loss")];
      place(`halves-${name}-${method}`, traces, time, {...percent, range: [0, 1]});
    }
  }
  for (const {name} of data.windows) {
    const traces = data.curves.filter(curve => curve.window === name).flatMap(learning);
    place("curves-" + name, traces, {title: {text: "Episode"}, showgrid: false}, {hoverformat: ".3f"});
  }
}

/** Return the median over the seeds, and the range between the worst and the best as an area. */
function learning(curve) {
  const color = colour(tone(curve.method));
  const common = {x: curve.episodes, mode: "lines", legendgroup: curve.method, hoverinfo: "skip", showlegend: false};
  return [
    {...common, y: curve.min, line: {width: 0}},
    {...common, y: curve.max, line: {width: 0}, fill: "tonexty", fillcolor: color + "2b"},
    {...common, y: curve.median, name: escape(curve.method), hoverinfo: "all", hovertemplate: "%{y}", showlegend: true,
      mode: "lines+markers", line: {color, width: 1.6}, marker: {color, size: 5}},
  ];
}
