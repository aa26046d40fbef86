"use strict";
// Small charts in SVG: lines and stacks over sessions, read with a pointer, a finger or the arrow keys.

const SVG = "http://www.w3.org/2000/svg";

function node(parent, name, attributes = {}, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  parent.append(made);
  return made;
}

/** Return about `count` round numbers that cover low to high. */
function ticks(low, high, count) {
  const rough = (high - low || Math.abs(high) || 1) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map(unit => unit * power).find(unit => unit >= rough);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) found.push(k * step);
  return found;
}

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** Return [index, label] of the sessions to name: first ones of months, or evenly spaced days. */
function timeTicks(sessions, room) {
  const starts = sessions.map((s, i) => [i, s]).filter(([i, s]) => i && s.slice(0, 7) !== sessions[i - 1].slice(0, 7));
  if (starts.length < 3) {
    const step = Math.max(1, Math.ceil(sessions.length / room));
    return sessions.map((s, i) => [i, `${+s.slice(8)} ${months[s.slice(5, 7) - 1]}`]).filter(([i]) => i % step === 0);
  }
  const step = [1, 2, 3, 6, 12].find(unit => starts.length / unit <= room) || 24;
  return starts.filter(([, s]) => (s.slice(5, 7) - 1) % step === 0)
    .map(([i, s]) => [i, `${months[s.slice(5, 7) - 1]}${step > 1 || s.slice(5, 7) === "01" ? " " + s.slice(0, 4) : ""}`]);
}

const money = value => value.toLocaleString("en-US", {maximumFractionDigits: 0});
const percent = digits => value => `${(100 * value).toFixed(digits).replace("-", "−")} %`;

/** Draw one chart; `series` are {name, values, tone, dashed, area}, with `stacked` on top of each other. */
function draw(place, {sessions, series, format, exact, stacked = false, zero = false}) {
  const at = place.chosen, focused = place.contains(document.activeElement);
  place.replaceChildren();
  const readout = document.createElement("div");
  readout.className = "readout";
  place.append(readout);
  const short = place.classList.contains("low"), tall = place.clientWidth > 700;
  const height = short ? (tall ? 130 : 110) : (tall ? 280 : 220), width = place.clientWidth, n = sessions.length;
  const tops = stacked ? stack(series) : series.map(({values}) => values);
  const all = tops.flat().filter(value => value !== null);
  if (!all.length) return;
  let low = zero ? Math.min(0, ...all) : Math.min(...all), high = zero ? Math.max(0, ...all) : Math.max(...all);
  const pad = zero ? 0 : (high - low) * 0.06 || Math.abs(high) * 0.01 || 1;
  low -= pad;
  high += pad;
  const marks = ticks(low, high, Math.max(2, Math.round(height / 60)));
  const left = Math.max(...marks.map(mark => format(mark).length)) * 7 + 8, bottom = height - 20;
  const x = i => left + (n > 1 ? i / (n - 1) : 0.5) * (width - left - 8);
  const y = value => 6 + (high - value) / (high - low || 1) * (bottom - 6);
  const svg = node(place, "svg", {height, id: `${place.id}-chart`, tabindex: 0, role: "img", "aria-label": label(sessions, series, exact)});
  for (const mark of marks) {
    node(svg, "line", {class: "grid", x1: left, x2: width, y1: y(mark), y2: y(mark)});
    node(svg, "text", {x: left - 8, y: y(mark) + 4, "text-anchor": "end"}, format(mark));
  }
  for (const [i, text] of timeTicks(sessions, Math.max(2, Math.floor((width - left) / 66)))) {
    if (x(i) < width - 24) node(svg, "text", {x: x(i), y: height - 2, "text-anchor": x(i) < left + 20 ? "start" : "middle"}, text);
  }
  // The first line, the account's own, lies above the others.
  for (let j = 0; j < tops.length; j++) {
    const k = stacked ? j : tops.length - 1 - j, values = tops[k], {tone, dashed, area} = series[k];
    if (stacked) {
      const under = k ? tops[k - 1] : values.map(() => 0);
      node(svg, "path", {class: `stack ${tone}`, d: band(values, under, x, y), ...(series[k].fill && {fill: series[k].fill})});
      continue;
    }
    if (area) node(svg, "path", {class: `area ${tone}`, d: band(values, values.map(() => 0), x, y)});
    node(svg, "path", {class: `line ${tone}${dashed ? " dashed" : ""}`, d: path(values, x, y)});
  }
  const cross = node(svg, "line", {class: "cross", y1: 6, y2: bottom, visibility: "hidden"});
  const show = i => {
    place.chosen = i;
    cross.setAttribute("visibility", i === null ? "hidden" : "visible");
    if (i !== null) {
      cross.setAttribute("x1", x(i));
      cross.setAttribute("x2", x(i));
    }
    tell(readout, sessions, series, i === null ? n - 1 : i, exact);
  };
  const nearest = event => Math.round(Math.min(1, Math.max(0, (event.offsetX - left) / (width - left - 8))) * (n - 1));
  svg.addEventListener("pointermove", event => show(nearest(event)));
  svg.addEventListener("pointerdown", event => show(nearest(event)));
  svg.addEventListener("pointerleave", () => show(null));
  svg.addEventListener("blur", () => show(null));
  svg.addEventListener("keydown", event => {
    const now = place.chosen ?? n - 1;
    const to = {ArrowLeft: now - 1, ArrowRight: now + 1, PageUp: now - 20, PageDown: now + 20, Home: 0, End: n - 1}[event.key];
    if (event.key === "Escape") show(null);
    if (to === undefined) return;
    event.preventDefault();
    show(Math.min(n - 1, Math.max(0, to)));
  });
  show(at < n ? at : null);
  if (focused) svg.focus();
}

function stack(series) {
  const sums = [];
  series.forEach(({values}, k) => sums.push(values.map((value, i) => (value ?? 0) + (k ? sums[k - 1][i] : 0))));
  return sums;
}

function path(values, x, y) {
  let d = "", pen = "M";
  values.forEach((value, i) => {
    if (value === null) { pen = "M"; return; }
    d += `${pen}${x(i).toFixed(1)} ${y(value).toFixed(1)}`;
    pen = "L";
  });
  return d;
}

function band(over, under, x, y) {
  const there = over.map((value, i) => `${x(i).toFixed(1)} ${y(value ?? 0).toFixed(1)}`);
  const back = under.map((value, i) => `${x(i).toFixed(1)} ${y(value).toFixed(1)}`).reverse();
  return `M${[...there, ...back].join("L")}Z`;
}

/** Say what the series are at one session; it is the legend, too. */
function tell(readout, sessions, series, i, exact) {
  const day = document.createElement("b");
  day.textContent = sessions[i];
  readout.replaceChildren(day, ...series.map(({name, values, tone, fill}) => {
    const item = document.createElement("span");
    const key = node(item, "svg", {class: "key", "aria-hidden": "true"});
    node(key, "rect", {class: tone, ...(fill && {fill})});
    item.append(`${name} ${values[i] === null || values[i] === undefined ? "–" : exact(values[i])}`);
    return item;
  }));
}

function label(sessions, series, exact) {
  const last = sessions.length - 1;
  const ends = series.map(({name, values}) => `${name} ${values[last] === null ? "unknown" : exact(values[last])}`);
  return `${sessions[0]} to ${sessions[last]}; at the end: ${ends.join(", ")}. Arrow keys read other sessions.`;
}
