"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const narrow = window.matchMedia("(max-width: 560px)");
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const colour = name => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
const escape = text => text.replace(/&/g, "&amp;").replace(/</g, "&lt;");
const negative = values => values.map(value => value === null ? null : -value);

const day = 24 * 60 * 60 * 1000;
const money = {tickformat: ",.6~s", hoverformat: ",.2f"};
const percent = {tickformat: ".3~%", hoverformat: ".2%"};

const line = (name, y, tone, more = {}) => ({
  x: data.sessions, y, name: escape(name), mode: "lines", hovertemplate: "%{y}",
  line: {color: colour(tone), width: 1.6, ...more},
});
const filled = trace => ({...trace, fill: "tozeroy", fillcolor: trace.line.color + "2b"});
const bars = (name, y, tone) => ({
  x: data.months.first_days, y, name, type: "bar", width: 24 * day, hovertemplate: "%{y}",
  xperiod: "M1", xperiodalignment: "middle", xhoverformat: "%B %Y", marker: {color: colour(tone)},
});

// Agents are in order, the most conservative first: from blue to red.
const ramp = (k, n) => `hsl(${n > 1 ? 215 - 215 * k / (n - 1) : 215}, 52%, 55%)`;
const areas = (k, n, name) => name.endsWith(" others") ? colour("rest") : colour("c" + k % 10) + "d0";

function stacked(stack, tone) {
  return stack.names.map((name, k) => ({
    x: stack.sessions, y: stack.values[k], name: escape(name), mode: "lines", stackgroup: "all", hovertemplate: "%{y:.1%}",
    line: {width: 0, shape: "hv", color: tone(k, stack.names.length, name)}, fillcolor: tone(k, stack.names.length, name),
  }));
}

const switches = [...document.querySelectorAll("button.switch")];
const isLog = id => switches.some(button => button.dataset.chart === id && button.getAttribute("aria-pressed") === "true");
const drawn = new Map();

/** Return the time that a chart covers: bars stand for whole months. */
function span(traces) {
  if (traces[0].type !== "bar") return [data.sessions[0], data.sessions.at(-1)];
  const days = data.months.first_days;
  const [year, month] = days.at(-1).split("-").map(Number);
  return [days[0], new Date(Date.UTC(year, month, 0)).toISOString().slice(0, 10)];
}

const settings = {responsive: true, displaylogo: false, displayModeBar: false};

/** Return the layout that all charts share. */
function layoutOf(traces, xaxis, yaxis, more = {}) {
  const grid = {gridcolor: colour("line"), zeroline: false, linecolor: colour("line"), automargin: true, fixedrange: narrow.matches};
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: {family: "system-ui, sans-serif", size: 12, color: colour("soft")},
    margin: {l: 50, r: 6, t: 8, b: 6}, hovermode: "x unified", showlegend: traces.length > 1, uirevision: "keep",
    legend: {orientation: "h", yref: "container", y: 0, yanchor: "bottom", x: 0, traceorder: "normal"},
    hoverlabel: {bgcolor: colour("card"), bordercolor: colour("line"), font: {color: colour("ink")}},
    xaxis: {...grid, ...xaxis}, yaxis: {...grid, ...yaxis}, ...more,
  };
}

/** Draw traces into the element of this id; where the page has none, do nothing. */
function draw(id, traces, axis, more = {}) {
  const place = document.getElementById(id);
  if (!place) return;
  const time = {
    type: "date", showgrid: false, hoverformat: "%Y-%m-%d", range: span(traces),
    ...(data.sessions.length <= 10 && traces[0].type !== "bar" ? {dtick: day} : {}), // no hours: a session is a day
  };
  Plotly.react(place, traces, layoutOf(traces, time, {...axis, type: isLog(id) ? "log" : "linear"}, more), settings);
  if (drawn.has(id)) return;
  drawn.set(id, place);
  place.on("plotly_relayout", change => zoomOthers(id, change));
}

// A stretch of time chosen in one chart is shown in all of them.
let zooming = false;
function zoomOthers(id, change) {
  const wanted = Object.fromEntries(Object.entries(change).filter(([key]) => key.startsWith("xaxis.")));
  if (zooming || !Object.keys(wanted).length) return;
  zooming = true;
  const others = [...drawn].filter(([other]) => other !== id).map(([, place]) => Plotly.relayout(place, wanted));
  Promise.all(others).finally(() => { zooming = false; });
}

for (const button of switches) {
  button.addEventListener("click", () => {
    const wanted = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", wanted);
    Plotly.relayout(button.dataset.chart, {"yaxis.type": wanted ? "log" : "linear", "yaxis.autorange": true});
  });
}

function drawAll() {
  if (data.sessions.length > 1) drawCharts();
}
dark.addEventListener("change", drawAll);
narrow.addEventListener("change", drawAll);
