"use strict";
// The page of a project: a picture folded from the run's events, and painted.
// Everything below `picture` is derived from events alone, so that a run of the past is shown by the same code.

const byId = (id) => document.getElementById(id);
const make = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") element.className = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
};
const seconds = (s) => {
  if (s < 9.95) return `${s.toFixed(1)} s`;
  if (s < 119.5) return `${Math.round(s)} s`;
  if (s < 7170) return `${Math.floor(s / 60)} min ${Math.round(s % 60)} s`.replace(" 60 s", " 59 s");
  return `${(s / 3600).toFixed(1)} h`;
};
const plural = (n, one, many = one + "s") => `${n} ${n === 1 ? one : many}`;

// ---- the picture of a run

// How each state is drawn: the kind of its bar, a sign beside its word.
const KINDS = {
  pending: ["wait", "·"], blocked: ["wait", "·"], created: ["wait", "·"], skipped: ["off", "–"],
  pulling: ["make", "↓"], building: ["make", "⚒"], creating: ["make", "+"],
  starting: ["start", "▸"], probing: ["probe", "●"], ready: ["ready", "✓"], completed: ["ready", "✓"],
  degraded: ["warn", "◐"], restarting: ["warn", "↻"], recovering: ["warn", "↗"], stopping: ["stop", "■"],
  unhealthy: ["bad", "✕"], failed: ["bad", "✕"], stopped: ["off", "■"], removed: ["off", "–"],
};
const UP = new Set(["ready", "degraded", "completed"]);
const WORDS = { probing: "checking", blocked: "waiting", pending: "waiting" };

function emptyPicture() {
  return { run: "", command: "", started: null, at: 0, readyAt: null, waiting: "", waves: [], replicas: new Map(),
    images: new Map(), warnings: [], unwinding: null, finished: null, saved: [] };
}

function replicaOf(picture, service, number) {
  const key = `${service}-${number}`;
  let replica = picture.replicas.get(key);
  if (!replica) {
    replica = { key, service, number, wave: null, critical: true, stages: [], state: "pending", cause: "", since: picture.at,
      began: null, readyAt: null, container: null, probe: null, progress: "",
      bars: [{ from: picture.at, state: "pending", stage: null }] };
    picture.replicas.set(key, replica);
  }
  return replica;
}

// A bar ends where the next one begins.
function bar(replica, at, state, stage) {
  const last = replica.bars[replica.bars.length - 1];
  if (last.state === state && last.stage === stage) return;
  if (last.from === at) replica.bars.pop();
  replica.bars.push({ from: at, state, stage });
  // A container that restarts for weeks needs no more than this.
  if (replica.bars.length > 400) replica.bars.splice(1, 200);
}

const FOLD = {
  waiting(p, e) { p.waiting = e.pid ? `docker orch ${e.command}` : "another command"; },
  run_started(p, e) {
    Object.assign(p, { run: e.run, command: e.command, started: Date.parse(e.time), waiting: "" });
    p.waves = e.waves.map((name) => ({ name, status: "closed", opened: null, since: 0 }));
    for (const service of e.services) for (const number of service.replicas) {
      const replica = replicaOf(p, service.service, number);
      Object.assign(replica, { wave: service.wave || null, critical: service.critical });
      replica.stages = service.stages.map((name) => ({ name, from: null, to: null, status: "" }));
    }
  },
  wave_opened(p, e) { wave(p, e.wave, "open"); },
  wave_ready(p, e) { wave(p, e.wave, "ready"); },
  wave_failed(p, e) { wave(p, e.wave, "failed"); },
  service(p, e) {
    const replica = replicaOf(p, e.service, e.number);
    if (replica.state !== e.state) replica.since = e.at;
    Object.assign(replica, { state: e.state, cause: e.cause || "", container: e.container || replica.container });
    if (e.state === "starting") {
      replica.began = replica.began ?? e.at;
      replica.progress = "";
    }
    if (UP.has(e.state)) replica.readyAt = replica.readyAt ?? e.at;
    bar(replica, e.at, e.state, null);
  },
  stage(p, e) {
    const replica = replicaOf(p, e.service, e.number);
    let stage = replica.stages.find((known) => known.name === e.stage);
    if (!stage) replica.stages.push(stage = { name: e.stage, from: null, to: null, status: "" });
    stage.status = e.status;
    if (e.status === "started") {
      Object.assign(stage, { from: e.at, to: null });
      replica.probe = null;
      if (replica.state === "probing") bar(replica, e.at, "probing", e.stage);
    } else stage.to = e.at;
  },
  stage_moved(p, e) { replicaOf(p, e.service, e.number).progress = e.text; },
  probed(p, e) { replicaOf(p, e.service, e.number).probe = e; },
  progress(p, e) {
    const share = e.total ? ` ${Math.round(100 * e.current / e.total)} %` : "";
    p.images.set(e.image, e.text + share);
  },
  ready(p, e) { p.readyAt = p.readyAt ?? e.at; },
  unwinding(p, e) { p.unwinding = e; },
  saved(p, e) { p.saved.push(e.path); },
  warning(p, e) { p.warnings.push(e.message); },
  run_finished(p, e) { p.finished = e; },
};

function wave(p, name, status) {
  const found = p.waves.find((w) => w.name === name);
  if (!found) return;
  if (status === "open") found.opened = p.at;
  Object.assign(found, { status, since: p.at });
}

function fold(picture, event) {
  picture.at = event.at;
  FOLD[event.event]?.(picture, event);
}

const isUp = (replica) => UP.has(replica.state);
const labelOf = (picture, replica) => {
  const several = [...picture.replicas.values()].some((r) => r.service === replica.service && r.number !== replica.number);
  return several || replica.number === 0 ? replica.key : replica.service;
};

// The same word as that of the API.
function statusOf(picture, mode) {
  const all = [...picture.replicas.values()];
  const broken = (r) => r.state === "failed" || r.state === "unhealthy";
  if (mode === "down" || !all.length) return "down";
  if (all.some((r) => broken(r) && r.critical)) return "unhealthy";
  if (picture.unwinding && !picture.finished) return "stopping";
  if (all.every((r) => r.state === "stopped" || r.state === "removed")) return "down";
  if (["down", "stop"].includes(picture.command) && !picture.finished) return "stopping";
  if (all.some((r) => broken(r) || r.state === "degraded" || r.state === "skipped")) return "degraded";
  return all.every(isUp) ? "healthy" : "starting";
}

// ---- what is known

let picture = emptyPicture();   // of the run that goes on
let past = null;                // of a run that is looked at instead
let mode = null;
let caughtUp = false;
let clock = null;               // performance.now() at the run's beginning, in seconds
let canRestart = false;
let token = sessionStorage.getItem("token");
const open = new Map();         // rows that are open: key → its reader of logs

const fragment = new URLSearchParams(location.hash.slice(1));
if (fragment.has("token")) {
  token = fragment.get("token");
  sessionStorage.setItem("token", token);
  history.replaceState(null, "", location.pathname);
}

const shown = () => past ?? picture;
const goesOn = () => !past && !picture.finished && mode !== "down" && mode !== "waiting";
const now = () => (goesOn() && clock !== null ? Math.max(picture.at, performance.now() / 1000 - clock) : shown().at);

function say(words) { byId("live").textContent = words; }

// ---- talking to where the page comes from

function ask(path, options = {}) {
  const headers = { ...options.headers };
  if (token) headers.Authorization = `Bearer ${token}`;
  return fetch(path, { ...options, headers });
}

const json = async (path) => {
  const answer = await ask(path);
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).detail || answer.statusText);
  return answer.json();
};

// Reads server-sent events until they end or are ended; an EventSource could carry no token.
async function readEvents(path, { last, signal, on, onOpen }) {
  const headers = { Accept: "text/event-stream" };
  if (last()) headers["Last-Event-ID"] = last();
  const answer = await ask(path, { headers, signal });
  if (!answer.ok) throw Object.assign(new Error((await answer.json().catch(() => ({}))).detail || answer.statusText), { status: answer.status });
  onOpen?.(answer);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const field = (name) => part.split("\n").find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
      if (field("data") !== undefined) on(field("event"), JSON.parse(field("data")), field("id"));
    }
  }
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

async function follow() {
  let last = "";
  for (let tries = 0; ; tries += 1) {
    try {
      await readEvents("api/v1/events", {
        last: () => last,
        onOpen: (answer) => { tries = 0; opened(answer); },
        on: (kind, data, id) => {
          if (id) last = id;
          if (kind === "run") begin();
          else if (kind === "mode") setMode(data.mode);
          else live(data);
          paintSoon();
        },
      });
    } catch (error) {
      if (error.status === 401) return askForToken();
      if (error.status === 403) return connection(error.message);
    }
    connection(tries > 0 ? "The connection is lost; trying again. What you see is what was known last." : "");
    await pause(Math.min(5000, 250 * 2 ** tries));
  }
}

let skew = 0;
function opened(answer) {
  connection("");
  const date = Date.parse(answer.headers.get("date"));
  if (date) skew = date - Date.now();
  json("api/v1/project").then((project) => {
    canRestart = project.can_restart && token !== null;
    byId("project").textContent = project.project;
    document.title = `${project.project} · docker orch`;
    paintSoon();
  }).catch(() => {});
}

function begin() {
  picture = emptyPicture();
  clock = null;
  caughtUp = false;
}

function setMode(next) {
  mode = next;
  caughtUp = true;
  loadRuns();
}

function live(event) {
  fold(picture, event);
  if (clock === null && picture.started) clock = performance.now() / 1000 - (Date.now() + skew - picture.started) / 1000;
  if (!caughtUp) return;
  // The later an event comes, the further behind its clock is.
  const own = performance.now() / 1000 - event.at;
  clock = clock === null || event.event === "run_started" ? own : Math.min(clock, own);
  announce(event);
}

function announce(event) {
  if (event.event === "wave_ready") say(`Wave ${event.wave} is ready`);
  if (event.event === "wave_failed") say(`Wave ${event.wave} failed`);
  if (event.event === "ready") say(`Everything is ready after ${seconds(event.at)}`);
  if (event.event === "service" && ["failed", "unhealthy", "degraded"].includes(event.state)) {
    say(`${event.service} is ${event.state}: ${event.cause || ""}`);
  }
  if (event.event === "run_finished") { say(`${picture.command} has ${event.verdict}`); loadRuns(); }
  if (event.event === "ready") loadRuns();
}

function connection(words) {
  byId("link").textContent = words;
  byId("link").hidden = !words;
}

function askForToken() {
  byId("login").hidden = false;
  byId("status").textContent = "locked";
  byId("token").focus();
}
byId("login").addEventListener("submit", (event) => {
  event.preventDefault();
  token = byId("token").value.trim();
  sessionStorage.setItem("token", token);
  byId("login").hidden = true;
  follow();
});

// ---- painting

let painting = false;
function paintSoon() {
  if (painting) return;
  painting = true;
  requestAnimationFrame(() => { painting = false; paint(); });
}
// What goes on moves, also where nothing is told.
setInterval(() => { if (goesOn() && (!settled() || range().to > shown().at)) paintSoon(); }, 250);

const settled = () => [...shown().replicas.values()].every((r) => isUp(r) || KINDS[r.state][0] === "off" || r.state === "failed");

function setText(element, text) { if (element.textContent !== text) element.textContent = text; }

function paint() {
  const p = shown();
  const status = statusOf(p, past ? null : mode);
  byId("status").dataset.status = status;
  setText(byId("status"), past ? `was ${status}` : status);
  setText(byId("summary"), summary(p));
  paintTrouble(p);
  paintWarnings(p);
  paintWaves(p);
  paintServices(p);
}

function summary(p) {
  const all = [...p.replicas.values()];
  if (!past && mode === "down") return "Nothing of the project runs. “docker orch up” starts it, and this page shows it as it comes up.";
  if (p.waiting) return `Waits for ${p.waiting}, which is changing the project.`;
  if (!all.length) return "";
  const words = [`${all.filter(isUp).length} of ${all.length} ready`];
  const at = p.waves.findIndex((w) => w.status !== "ready");
  if (p.waves.length && at >= 0 && !p.readyAt) words.push(`wave ${at + 1} of ${p.waves.length}`);
  if (p.readyAt !== null && p.command !== "serve") words.push(`everything ready after ${seconds(p.readyAt)}`);
  if (p.unwinding) words.push(`${p.unwinding.policy}: ${p.unwinding.reason}`);
  const command = `docker orch ${p.command}`;
  if (past) words.push(`${command}, ${new Date(p.started).toLocaleString()}`);
  else if (mode === "monitoring") words.push(`monitored for ${seconds(now())}`);
  else if (p.finished) words.push(`${command} has ${p.finished.verdict}`);
  else words.push(`${command} for ${seconds(now())}`);
  return words.join(" · ");
}

const AFTERMATHS = {
  kept: "Everything is left as it is.", rolled_back: "Everything is as it was before.",
  torn_down: "Everything of the project was removed, except volumes.", stopped: "Everything was stopped, and is kept.",
  stuck: "Not everything could be undone:",
};

function paintTrouble(p) {
  const failures = p.finished?.failures ?? [];
  const box = byId("trouble");
  const key = p.run + failures.length;
  box.hidden = !failures.length;
  if (box.dataset.key === key) return;
  box.dataset.key = key;
  const of = (failure) => [
    make("h3", {}, failure.service || "the run"),
    make("p", {}, failure.reason),
    failure.dependents.length
      ? make("p", { class: "quiet" }, `Not started because of it: ${failure.dependents.map((d) => d.service).join(", ")}`) : null,
    failure.log.length ? make("pre", { tabindex: "0", "aria-label": `Last log lines of ${failure.service}` }, failure.log.join("\n")) : null,
    failure.health?.length ? make("pre", { tabindex: "0", "aria-label": `Last checks of ${failure.service}` }, failure.health.join("\n")) : null,
  ];
  const left = p.finished?.left ?? [];
  byId("trouble-list").replaceChildren(...failures.flatMap(of).filter(Boolean),
    make("p", {}, AFTERMATHS[p.finished?.aftermath] ?? "", ...left.map((text) => make("div", {}, text))),
    p.saved.length ? make("p", { class: "quiet" }, `Logs and checks are kept: docker orch history show ${p.run}`) : "");
}

function paintWarnings(p) {
  const box = byId("warned");
  const key = `${p.run} ${p.warnings.length}`;
  box.hidden = !p.warnings.length;
  if (box.dataset.key === key) return;
  box.dataset.key = key;
  byId("warnings").replaceChildren(...p.warnings.slice(-5).map((text) => make("li", {}, text)));
}

function paintWaves(p) {
  byId("waves-section").hidden = !p.waves.length;
  const list = byId("waves");
  while (list.children.length > p.waves.length) list.lastChild.remove();
  p.waves.forEach((w, index) => {
    const of = [...p.replicas.values()].filter((r) => r.wave === w.name);
    const ready = of.filter(isUp).length;
    let item = list.children[index];
    if (!item) {
      item = make("li", {}, make("div", { class: "name" }), make("div", { class: "count" }),
        make("div", { class: "bar", "aria-hidden": "true" }, make("i")));
      list.append(item);
    }
    item.dataset.status = w.status;
    const sign = { ready: "✓", failed: "✕", open: "●", closed: "○" }[w.status];
    setText(item.children[0], `${sign} ${w.name}`);
    // What is taken over was ready before.
    const when = p.command === "serve" ? "" : w.status === "ready" && w.opened !== null ? `, in ${seconds(w.since - w.opened)}`
      : w.status === "open" ? `, since ${seconds(Math.max(0, now() - w.since))}` : w.status === "failed" ? ", failed" : "";
    setText(item.children[1], `${ready} of ${of.length} ready${when}`);
    item.children[2].firstChild.style.width = `${of.length ? 100 * ready / of.length : 0}%`;
  });
}

// Which part of the run the bars show.
function range() {
  const p = shown();
  const chosen = byId("range").value;
  const end = Math.max(now(), 0.5);
  const start = { from: 0, to: Math.max(0.5, (p.readyAt ?? end) * 1.04) };
  const recent = { from: Math.max(0, end - 600), to: end };
  if (chosen === "start") return start;
  if (chosen === "recent") return recent;
  if (chosen === "all" || past) return { from: 0, to: past && p.readyAt && chosen === "auto" ? start.to : end };
  const monitors = p.command === "serve";
  // Whatever happens after the start-up is news.
  const news = p.readyAt !== null && [...p.replicas.values()].some((r) => r.since > p.readyAt + 1);
  return monitors || news ? recent : start;
}

function paintAxis({ from, to }) {
  const axis = byId("axis");
  if (!axis.firstChild) axis.append(make("div", { class: "ticks" }));
  const ticks = axis.firstChild;
  const length = to - from;
  const wanted = ticks.clientWidth < 380 ? 4 : 8;
  const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400];
  const step = steps.find((s) => length / s <= wanted) ?? length / wanted;
  // The lines behind the bars stand where the ticks do.
  byId("services").style.setProperty("--step", from === 0 ? `${100 * step / length}%` : "100%");
  const texts = [];
  for (let n = Math.ceil(from / step); n * step <= to * 0.98; n += 1) texts.push(n * step);
  while (ticks.children.length > texts.length) ticks.lastChild.remove();
  texts.forEach((at, index) => {
    const tick = ticks.children[index] ?? ticks.appendChild(make("span"));
    tick.style.left = `${100 * (at - from) / length}%`;
    setText(tick, at < 60 ? `${+at.toFixed(1)} s` : at % 60 === 0 || at >= 600 ? `${Math.round(at / 60)} min` : `${Math.floor(at / 60)}:${String(Math.round(at % 60)).padStart(2, "0")}`);
  });
}

const rows = new Map();

function paintServices(p) {
  const find = byId("find").value.trim().toLowerCase();
  // What was taken down is of no interest any more.
  const gone = !past && mode === "down" && p.command === "down";
  const all = gone ? [] : [...p.replicas.values()];
  byId("empty").hidden = all.length > 0;
  byId("legend").hidden = byId("axis").hidden = !all.length;
  setText(byId("empty"), mode === null ? "Waiting for the first word." : gone ? "Nothing is there. Runs that are recorded are below." : "Nothing is known of the project yet.");
  const span = range();
  if (all.length) paintAxis(span);
  const wanted = all.filter((r) => !find || r.key.toLowerCase().includes(find) || (r.wave ?? "").toLowerCase().includes(find));
  const layout = layoutOf(p, wanted);
  const key = layout.map(([name, members]) => `${name}:${members.map((r) => r.key)}`).join("|") + p.run;
  const box = byId("services");
  if (box.dataset.key !== key) {
    box.dataset.key = key;
    for (const known of [...rows.keys()]) if (!p.replicas.has(known)) { close(known); rows.delete(known); }
    box.replaceChildren(...layout.flatMap(([name, members]) => [
      name === null ? null : make("h3", { class: "wave" }, name, make("span")),
      make("ul", { class: "group", "aria-label": name === null ? "Services" : `Services of ${name}` }, ...members.map((r) => rowOf(r.key))),
    ]).filter(Boolean));
  }
  for (const replica of wanted) paintRow(p, replica, span);
}

// By wave, in the order of the file; in none first, as they start first.
function layoutOf(p, replicas) {
  if (!p.waves.length) return [[null, replicas]];
  const without = replicas.filter((r) => !p.waves.some((w) => w.name === r.wave));
  const groups = p.waves.map((w) => [w.name, replicas.filter((r) => r.wave === w.name)]);
  return [["in no wave", without], ...groups].filter(([, members]) => members.length);
}

function rowOf(key) {
  if (rows.has(key)) return rows.get(key).item;
  const parts = {
    name: make("span", { class: "name" }), state: make("span", { class: "state" }),
    track: make("span", { class: "track", "aria-hidden": "true" }), took: make("span", { class: "took" }),
    why: make("span", { class: "why" }),
  };
  const button = make("button", { type: "button", "aria-expanded": "false", onclick: () => toggle(key) },
    parts.name, parts.state, parts.track, parts.took, parts.why);
  const item = make("li", { class: "row" }, button);
  rows.set(key, { ...parts, item, button, detail: null });
  return item;
}

function paintRow(p, replica, span) {
  const row = rows.get(replica.key);
  const [kind, sign] = KINDS[replica.state] ?? ["wait", "·"];
  row.item.dataset.kind = kind;
  setText(row.name, labelOf(p, replica));
  if (!replica.critical) row.name.append(make("small", {}, " optional"));
  row.state.dataset.kind = kind;
  setText(row.state, `${sign} ${WORDS[replica.state] ?? replica.state}`);
  const why = reason(p, replica);
  row.why.hidden = !why;
  setText(row.why, why);
  const took = replica.began !== null && replica.readyAt !== null ? replica.readyAt - replica.began : null;
  setText(row.took, took !== null ? seconds(took) : replica.began !== null && kind !== "off" ? seconds(Math.max(0, now() - replica.began)) : "");
  row.took.title = "From its start until it was ready";
  paintTrack(row.track, replica, span);
  if (row.detail) paintDetail(p, replica, row.detail);
}

function reason(p, replica) {
  if (replica.state === "probing") {
    const stage = [...replica.stages].reverse().find((s) => s.from !== null && s.to === null);
    const index = stage ? replica.stages.indexOf(stage) + 1 : 0;
    const probe = replica.probe && !replica.probe.passed ? replica.probe.detail : "";
    const words = stage && (replica.stages.length > 1 || stage.name !== "ready") ? [`${stage.name}${replica.stages.length > 1 ? ` (${index} of ${replica.stages.length})` : ""}`] : [];
    return [...words, replica.progress, probe].filter(Boolean).join(" · ");
  }
  if (["pulling", "building"].includes(replica.state)) return [...p.images.values()].slice(-1)[0] ?? "";
  if (replica.state === "ready" || replica.state === "completed") return "";
  return replica.cause.replaceAll("`", "");
}

function paintTrack(track, replica, { from, to }) {
  const length = to - from;
  const bars = [];
  replica.bars.forEach((one, index) => {
    const end = replica.bars[index + 1]?.from ?? Math.max(now(), to > now() && !goesOn() ? to : 0);
    if (end < from || one.from > to) return;
    bars.push({ ...one, from: Math.max(one.from, from), end: Math.min(end, to), last: index === replica.bars.length - 1 });
  });
  while (track.children.length > bars.length) track.lastChild.remove();
  bars.forEach((one, index) => {
    const piece = track.children[index] ?? track.appendChild(make("i"));
    const [kind] = KINDS[one.state] ?? ["wait"];
    const even = kind === "probe" && replica.stages.findIndex((s) => s.name === one.stage) % 2 === 1 ? " even" : "";
    const moving = one.last && goesOn() && ["make", "start", "probe"].includes(kind) ? " now" : "";
    const style = `seg ${kind}${even}${moving}`;
    if (piece.className !== style) piece.className = style;
    piece.style.left = `${100 * (one.from - from) / length}%`;
    piece.style.width = `${100 * Math.max(0, one.end - one.from) / length}%`;
    piece.title = `${WORDS[one.state] ?? one.state}${one.stage ? ` ${one.stage}` : ""}: ${seconds(Math.max(0, one.end - one.from))}, from ${seconds(one.from)} on`;
  });
}

// ---- one service in full

function toggle(key) {
  if (open.has(key)) return close(key);
  const row = rows.get(key);
  const id = `detail-${key}`;
  row.detail = detailOf(key, id);
  row.item.append(row.detail.box);
  row.button.setAttribute("aria-expanded", "true");
  row.button.setAttribute("aria-controls", id);
  const ending = new AbortController();
  open.set(key, ending);
  paintSoon();
  if (!past) readLogs(shown().replicas.get(key), row.detail, ending.signal);
}

function close(key) {
  open.get(key)?.abort();
  open.delete(key);
  const row = rows.get(key);
  row?.detail?.box.remove();
  if (row) row.detail = null;
  row?.button.setAttribute("aria-expanded", "false");
}

function detailOf(key, id) {
  const facts = make("dl");
  const log = make("pre", { role: "log", "aria-live": "off", tabindex: "0", "aria-label": `Log of ${key}` });
  const words = make("span", { class: "quiet" }, past ? "Logs are shown of what goes on now." : "");
  const restart = make("button", { type: "button", hidden: true }, "Restart");
  restart.addEventListener("click", async () => {
    restart.disabled = true;
    const service = shown().replicas.get(key)?.service;
    const answer = await ask(`api/v1/services/${encodeURIComponent(service)}/restart`, { method: "POST" }).catch(() => null);
    const told = answer?.ok ? `${service} is being restarted` : (await answer?.json().catch(() => null))?.detail ?? "It could not be asked for.";
    setText(words, told);
    say(told);
    restart.disabled = false;
  });
  const logs = make("div", {}, make("div", { class: "logs-head" }, make("strong", {}, "Log"), restart, words), past ? null : log);
  return { box: make("div", { class: "detail", id, role: "region", "aria-label": `About ${key}` }, facts, logs), facts, log, words, restart };
}

function paintDetail(p, replica, detail) {
  detail.restart.hidden = !canRestart || past !== null;
  const stages = replica.stages.map((stage) => {
    const took = stage.from === null ? "not yet" : `${seconds((stage.to ?? now()) - stage.from)}${stage.to === null ? " so far" : ""}`;
    const how = { degraded: ", degraded", failed: ", failed" }[stage.status] ?? "";
    return `${stage.name}: ${took}${how}`;
  });
  const probe = replica.probe;
  const facts = [
    ["State", `${WORDS[replica.state] ?? replica.state}${replica.cause ? `: ${replica.cause}` : ""}`],
    ["Since", `${seconds(Math.max(0, now() - replica.since))}`],
    ["Wave", replica.wave ?? "none"],
    ["Critical", replica.critical ? "yes: its failure fails the project" : "no: its failure degrades the project"],
    ["Waited", replica.began !== null ? seconds(replica.began) : null],
    ["Stages", stages.length ? stages : null],
    ["Last check", probe ? `${probe.check}: ${probe.passed ? "passed" : probe.detail} (${(probe.took * 1000).toFixed(1)} ms)` : null],
    ["Container", replica.container?.slice(0, 12)],
  ].filter(([, value]) => value);
  const key = JSON.stringify(facts);
  if (detail.facts.dataset.key === key) return;
  detail.facts.dataset.key = key;
  detail.facts.replaceChildren(...facts.flatMap(([name, value]) => [make("dt", {}, name),
    make("dd", {}, ...(Array.isArray(value) ? [make("ol", {}, ...value.map((text) => make("li", {}, text)))] : [value]))]));
}

// eslint-disable-next-line no-control-regex
const CONTROL = /\u001b\[[0-9;?]*[A-Za-z]|[\u0000-\u0008\u000b-\u001f]/g;

async function readLogs(replica, detail, signal) {
  let last = "";
  const add = (line) => {
    const { log } = detail;
    const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 24;
    log.append(make("span", line.stderr ? { class: "stderr" } : {}, `${line.text.replace(CONTROL, "")}\n`));
    while (log.childNodes.length > 2000) log.firstChild.remove();
    if (atEnd) log.scrollTop = log.scrollHeight;
  };
  const name = `${replica.service}-${replica.number}`;
  for (let tries = 0; !signal.aborted; tries += 1) {
    try {
      await readEvents(`api/v1/services/${encodeURIComponent(replica.service)}/logs`, {
        signal,
        last: () => last,
        onOpen: () => { tries = 0; setText(detail.words, ""); },
        on: (kind, line, id) => {
          if (id) last = id;
          if (kind === "line" && line.container === name) add(line);
        },
      });
    } catch (error) {
      if (signal.aborted) return;
      setText(detail.words, error.message);
    }
    await pause(Math.min(5000, 1000 * (tries + 1)));
  }
}

// ---- runs that are recorded

let loading = false;
async function loadRuns() {
  if (loading) return;
  loading = true;
  try {
    // What has just ended is written a moment later.
    await pause(300);
    paintRuns((await json("api/v1/runs?limit=30")).runs);
  } catch {
    byId("runs-section").hidden = true;
  } finally {
    loading = false;
  }
}

function paintRuns(runs) {
  runs = runs.filter((run) => run.command !== "serve");
  byId("runs-section").hidden = !runs.length;
  const ups = runs.filter((run) => run.command === "up" && run.ready_at !== null);
  const longest = Math.max(...ups.map((run) => run.ready_at), 0.1);
  const sorted = ups.map((run) => run.ready_at).sort((a, b) => a - b);
  setText(byId("runs-words"), ups.length > 1
    ? `${plural(ups.length, "start-up")} until ready: between ${seconds(sorted[0])} and ${seconds(sorted[sorted.length - 1])}, half of them within ${seconds(sorted[Math.floor((sorted.length - 1) / 2)])}.` : "");
  const style = (outcome) => (/^(succeeded|running)/.test(outcome) ? "good" : /^(failed|interrupted)/.test(outcome) ? "bad" : "warn");
  byId("runs").replaceChildren(...runs.map((run) => {
    const when = run.time ? new Date(run.time) : null;
    const meter = run.ready_at === null || run.command !== "up" ? null
      : make("div", { class: "meter" }, make("i", { "aria-hidden": "true" }), make("span", {}, seconds(run.ready_at)));
    if (meter) meter.firstChild.style.width = `${70 * run.ready_at / longest}%`;
    return make("tr", {},
      make("td", {}, when ? make("time", { datetime: run.time, title: when.toLocaleString() }, ago(when)) : ""),
      make("td", {}, run.command),
      make("td", {}, make("span", { class: style(run.outcome) }, run.outcome)),
      make("td", { class: "time" }, meter),
      make("td", {}, make("button", { type: "button", "aria-label": `Look at ${run.command}, ${when ? ago(when) : run.run}`, onclick: () => look(run) }, "Look")));
  }));
}

function ago(when) {
  const s = Math.max(0, (Date.now() + skew - when) / 1000);
  if (s < 90) return `${Math.round(s)} s ago`;
  if (s < 5400) return `${Math.round(s / 60)} min ago`;
  if (s < 129600) return `${Math.round(s / 3600)} h ago`;
  return when.toLocaleDateString();
}

async function look(run) {
  const answer = await ask(`api/v1/runs/${encodeURIComponent(run.run)}/events`);
  if (!answer.ok) return say("That run is not recorded any more");
  const p = emptyPicture();
  for (const line of (await answer.text()).split("\n").filter(Boolean)) fold(p, JSON.parse(line));
  for (const key of [...open.keys()]) close(key);
  past = p;
  byId("past").hidden = false;
  const words = `You look at a run of the past: docker orch ${run.command}, ${new Date(run.time).toLocaleString()}, ${run.outcome}.`;
  setText(byId("past-words"), words);
  // A link carries no token: only this machine can follow it.
  const link = byId("past-timeline");
  link.href = `api/v1/runs/${encodeURIComponent(run.run)}/timeline`;
  link.hidden = !["localhost", "127.0.0.1", "[::1]"].includes(location.hostname) || run.ready_at === null;
  paint();
  byId("past").scrollIntoView({ block: "nearest" });
  byId("past-close").focus();
}

byId("past-close").addEventListener("click", () => {
  for (const key of [...open.keys()]) close(key);
  past = null;
  byId("past").hidden = true;
  paint();
  byId("services-title").focus();
});

// ---- the rest

byId("find").addEventListener("input", paintSoon);
byId("range").addEventListener("change", paintSoon);
addEventListener("resize", paintSoon);

const THEMES = ["system", "light", "dark"];
function theme(name) {
  if (name === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  setText(byId("theme"), `Theme: ${name}`);
  localStorage.setItem("theme", name);
}
theme(THEMES.includes(localStorage.getItem("theme")) ? localStorage.getItem("theme") : "system");
byId("theme").addEventListener("click", () => {
  theme(THEMES[(THEMES.indexOf(localStorage.getItem("theme")) + 1) % THEMES.length]);
});

follow();
