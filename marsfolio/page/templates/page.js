"use strict";
const LOOK_SECONDS = 3;
const EXCHANGE = "America/New_York";
const live = document.getElementById("live");
const offline = document.getElementById("offline");
let tag = live.dataset.tag, heartbeat = null, stretch = "All";
const stretches = {"1M": 21, "3M": 63, "6M": 126, All: Infinity};

// Times: in the reader's zone, the exchange's beside it where they differ.

function clock(moment, zone) {
  const parts = {weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: zone};
  return new Intl.DateTimeFormat("en-GB", parts).format(moment);
}

function writeTimes(root) {
  for (const place of root.querySelectorAll("time[datetime]")) {
    const moment = new Date(place.dateTime);
    if (Number.isNaN(moment.getTime())) continue;
    const here = clock(moment, undefined), there = clock(moment, EXCHANGE);
    place.textContent = here;
    place.title = moment.toISOString();
    if (here === there) continue;
    const small = document.createElement("small");
    const [day, time] = there.split(/, (?=\d\d:)/);
    small.textContent = `${here.startsWith(day) ? time : there} New York`;
    place.append(small);
  }
}

function writeAge() {
  const place = document.getElementById("age");
  if (!place || heartbeat === null) return;
  const seconds = Math.round((performance.now() - heartbeat) / 1000);
  const [count, unit] = seconds < 120 ? [seconds, "s"] : seconds < 7200 ? [seconds / 60, "min"] : seconds < 172800 ? [seconds / 3600, "h"] : [seconds / 86400, "days"];
  place.textContent = `, heard of ${Math.round(count)} ${unit} ago`;
}

// Charts.

const ramp = (k, n) => `hsl(${n > 1 ? 215 - 215 * k / (n - 1) : 215}, 52%, 55%)`;

function drawAll() {
  const data = JSON.parse(document.getElementById("data").textContent);
  const cut = values => values.slice(Math.max(0, values.length - stretches[stretch]));
  const sessions = cut(data.sessions);
  const equity = document.getElementById("equity");
  if (equity) {
    const series = [{name: "Account", values: cut(data.equity), tone: "t-main"}];
    if (data.benchmark.length) series.push({name: "Equal weight", values: cut(data.benchmark), tone: "t-other"});
    if (data.backtest.length) series.push({name: "Backtest", values: cut(data.backtest), tone: "t-c1", dashed: true});
    draw(equity, {sessions, series, format: money, exact: money});
    const falls = [{name: "Below the peak", values: cut(data.drawdown), tone: "t-loss", area: true}];
    draw(document.getElementById("drawdown"), {sessions, series: falls, format: percent(0), exact: percent(2), zero: true});
  }
  const agents = document.getElementById("agents");
  if (agents) {
    const {names, values} = data.agents, n = names.length;
    const series = names.map((name, k) => ({name, values: cut(values[k]), tone: `agent`, fill: ramp(k, n)}));
    draw(agents, {sessions: cut(data.agents.sessions), series, format: percent(0), exact: percent(1), stacked: true, zero: true});
  }
}

function writeRanges() {
  const group = document.querySelector(".ranges");
  if (!group || !document.getElementById("equity")) return;
  group.replaceChildren(...Object.keys(stretches).map(name => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "switch";
    button.id = `range-${name}`;
    button.textContent = name;
    button.setAttribute("aria-pressed", name === stretch);
    button.addEventListener("click", () => {
      stretch = name;
      for (const other of group.children) other.setAttribute("aria-pressed", other === button);
      drawAll();
    });
    return button;
  }));
}

// What the server said last, put in place part by part: what did not change keeps its focus and its scrolling.

const parts = new Map();
const remember = root => root.querySelectorAll("[data-part]").forEach(part => parts.set(part.dataset.part, part.outerHTML));

function replace(html) {
  const fresh = new DOMParser().parseFromString(html, "text/html");
  let redraw = false, focused = "";
  for (const part of fresh.querySelectorAll("[data-part]")) {
    const name = part.dataset.part, text = part.outerHTML;
    if (parts.get(name) === text) continue;
    parts.set(name, text);
    const old = live.querySelector(`[data-part="${name}"]`);
    if (old.contains(document.activeElement)) focused = document.activeElement.id;
    const scrolled = old.querySelector(".tall")?.scrollTop || 0;
    const made = document.importNode(part, true);
    old.replaceWith(made);
    made.classList.add("changed");
    if (scrolled) made.querySelector(".tall")?.scrollTo(0, scrolled);
    writeTimes(made);
    if (name === "equity") writeRanges();
    redraw ||= ["data", "equity", "agents"].includes(name);
  }
  if (redraw) drawAll();
  if (focused) document.getElementById(focused)?.focus();
  writeAge();
}

function complain(text) {
  offline.hidden = !text;
  offline.textContent = text;
}

let looking = null;
function look() {
  looking ||= ask().finally(() => { looking = null; });
  return looking;
}

async function ask() {
  let answer;
  try {
    answer = await fetch("/content", {headers: {"If-None-Match": `"${tag}"`, Accept: "application/json, text/html"}, cache: "no-store"});
  } catch {
    complain("The server of this page does not answer: what you see is what was known before. It is tried again.");
    return;
  }
  if (answer.status === 401) { location.assign("/login"); return; }
  if (answer.status !== 304 && !answer.ok) {
    const said = await answer.json().catch(() => ({title: `Error ${answer.status}`, lines: []}));
    complain([said.title, ...said.lines].join(": "));
    return;
  }
  complain("");
  const age = answer.headers.get("Heartbeat-Age");
  heartbeat = age ? performance.now() - 1000 * Number(age) : null;
  if (answer.status === 200) {
    tag = (answer.headers.get("ETag") || "").replace(/^(W\/)?"|"$/g, "");
    replace(await answer.text());
  }
  writeAge();
}

// The kill switch.

function open(id) {
  const dialog = document.getElementById(id), form = dialog.querySelector("form");
  if (form) {
    form.reset();
    settle(form);
    say(form, "", "");
  }
  dialog.showModal();
}

const settle = form => {
  const word = form.elements.confirmation.value.trim().toUpperCase();
  form.querySelector("button:not([type])").disabled = word !== form.dataset.word || !form.elements.token.value;
};

function say(form, text, tone) {
  const place = form.querySelector(".result");
  place.textContent = text;
  place.className = `result ${tone}`;
}

async function send(form) {
  const button = form.querySelector("button:not([type])");
  button.disabled = true;
  say(form, form.dataset.busy, "");
  try {
    const answer = await fetch(form.getAttribute("action"), {method: "POST", headers: {Accept: "application/json"}, body: new URLSearchParams(new FormData(form))});
    const said = await answer.json();
    say(form, [said.title, ...said.lines].join(". "), answer.ok ? "good" : "bad");
    form.elements.token.value = "";
    if (answer.ok) form.querySelector("[data-close]").textContent = "Close";
    await look();
  } catch {
    say(form, "The server does not answer. Use `marsfolio paper halt` on the machine itself.", "bad");
  }
}

for (const form of document.querySelectorAll("dialog form")) {
  form.addEventListener("input", () => settle(form));
  form.addEventListener("submit", event => {
    event.preventDefault();
    send(form);
  });
}

async function showOrders(session) {
  const place = document.querySelector("#orders .result");
  place.textContent = "…";
  open("orders");
  const answer = await fetch(`/orders/${session}`, {cache: "no-store"}).catch(() => null);
  if (answer?.ok) place.replaceChildren(...new DOMParser().parseFromString(await answer.text(), "text/html").body.childNodes);
  else place.textContent = "The orders of this session cannot be had just now.";
}

document.addEventListener("click", event => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.dialog) open(button.dataset.dialog);
  if (button.dataset.session) showOrders(button.dataset.session);
  if ("close" in button.dataset) button.closest("dialog").close();
});

remember(live);
writeTimes(document);
writeRanges();
drawAll();
look();
setInterval(writeAge, 1000);
setInterval(() => { if (!document.hidden) look(); }, 1000 * LOOK_SECONDS);
document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
let width = innerWidth;
addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; drawAll(); } });
