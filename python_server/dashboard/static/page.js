// The live page of runs. The server sends the whole state once, then what changed; only that is touched.

import { LogView } from "/log.js";
import { $, Rows, ago, clock, joules, make, none, number, picture, say, seconds, show } from "/view.js";

const SHOWN_ROUNDS = 50;
const SHOWN_EVENTS = 100;

const devices = new Rows($("devices").tBodies[0], ["", "text", "text", "", "", "", "", "", "text"]);
const energy = new Rows($("energy").tBodies[0], ["", "", "", "", "", "", "", "", "text", "text", "", "text"]);
const rounds = new Rows($("rounds").tBodies[0], []);
const logs = new LogView($("log-name"), $("log"), $("log-follow"));

let state = null; // of the run that is shown
let chosen = ""; // its id
let list = { runs: [], experiments: [], started: [] };
let known = null; // runs there were when one was started: the new one is shown as soon as it is there
let everyRound = false;
const streams = { list: null, run: null };

/* Streams */

function open(kind, path, apply) {
  streams[kind]?.close();
  const stream = new EventSource(path);
  streams[kind] = stream;
  stream.onopen = () => connected(true);
  stream.onmessage = (event) => apply(JSON.parse(event.data));
  stream.onerror = () => {
    const over = stream.readyState === EventSource.CLOSED;
    connected(false, over ? "the dashboard refuses; open the address that it printed" : undefined);
  };
  stream.addEventListener("end", () => {
    closeAll();
    connected(false, "the dashboard has ended; this is how things stood");
  });
}

function closeAll() {
  for (const kind of Object.keys(streams)) {
    streams[kind]?.close();
    streams[kind] = null;
  }
}

function connected(yes, why = "connection lost; trying again …") {
  $("connection").classList.toggle("lost", !yes);
  say($("connection"), yes ? "live" : why);
}

function follow() {
  open("list", "/api/runs", applyList);
  if (chosen) open("run", `/api/run?run=${encodeURIComponent(chosen)}`, applyRun);
}

/* The list of runs */

function applyList(told) {
  list = told;
  const links = told.runs.map((run) => {
    const link = make("a", { href: `#${encodeURIComponent(run.run)}` }, run.name);
    const how = run.problem ?? `${run.status}, round ${run.round ?? none} of ${run.rounds}`;
    link.append(make("small", {}, run.accuracy == null ? how : `${how}, accuracy ${number(run.accuracy, 3)}`));
    link.append(make("small", {}, run.run));
    if (run.run === chosen) link.setAttribute("aria-current", "page");
    return make("li", {}, link);
  });
  keepingFocus($("runs"), links);
  show($("no-runs"), !links.length);
  const buttons = told.experiments.map((name) => {
    const button = make("button", { type: "button" }, "Start");
    button.setAttribute("aria-label", `Start ${name}`);
    button.onclick = () => {
      known = new Set(list.runs.map((run) => run.run));
      act(button, "/api/start", { experiment: name });
    };
    return make("li", {}, name, " ", button);
  });
  keepingFocus($("experiments"), buttons);
  show($("start-box"), buttons.length > 0);
  const started = told.started.map((run) => {
    const how = run.code === null ? "going on" : run.code === 0 ? "done" : `ended with code ${run.code}`;
    return make("li", {}, make("b", {}, run.title), ` ${how}`, make("pre", {}, run.lines.join("\n")));
  });
  $("started").replaceChildren(...started);
  show($("started-box"), started.length > 0);
  const fresh = known && told.runs.find((run) => run.status === "running" && !known.has(run.run));
  if (fresh) {
    known = null;
    choose(fresh.run);
  } else if (!chosen && told.runs.length) {
    choose((told.runs.find((run) => run.status === "running") ?? told.runs[0]).run);
  }
  show($("nothing"), !chosen);
}

/** Replace a list's items; the keyboard's focus stays on the same place. */
function keepingFocus(parent, items) {
  const where = [...parent.children].findIndex((item) => item.contains(document.activeElement));
  parent.replaceChildren(...items);
  items[where]?.querySelector("a, button")?.focus();
}

function choose(name) {
  if (!name || name === chosen) return;
  chosen = name;
  state = null;
  everyRound = false;
  show($("refused"), false);
  for (const rows of [devices, energy, rounds]) rows.clear();
  $("events").replaceChildren();
  logs.start(name);
  const wanted = `#${encodeURIComponent(name)}`;
  if (location.hash !== wanted) history.replaceState(null, "", wanted);
  applyList(list);
  open("run", `/api/run?run=${encodeURIComponent(name)}`, applyRun);
}

/* One run */

function applyRun(change) {
  if (change.whole) {
    for (const rows of [devices, energy, rounds]) rows.clear();
    $("events").replaceChildren();
    state = { ...change, rounds: [], events: [], devices: {} };
  }
  const before = { ...state };
  for (const key of ["meta", "live", "logs", "reading", "predicted", "problem"]) {
    if (key in change) state[key] = change[key];
  }
  show($("problem"), Boolean(state.problem));
  say($("problem"), state.problem);
  show($("run"), !state.problem);
  if (state.problem) return;
  Object.assign(state.devices, change.devices ?? {});
  for (const [name, svg] of Object.entries(change.charts ?? {})) picture($(`chart-${name}`), svg);
  if (change.rounds?.length) addRounds(change.rounds);
  if (change.events?.length) addEvents(change.events);
  if (change.devices || change.reading !== undefined) drawEnergy(change.devices ?? {});
  const touched = new Set([...Object.keys(change.devices ?? {}), ...liveDevices(before.live), ...liveDevices(state.live)]);
  if (change.devices || change.live || change.meta) drawDevices(touched);
  if (change.meta) drawMeta();
  drawNow();
  if (change.logs) logs.draw(state.logs);
  tell(change, before);
}

const liveDevices = (live) => Object.keys(live?.asked ?? {});

function drawMeta() {
  const meta = state.meta;
  say($("name"), meta.name || chosen);
  document.title = `${meta.name || chosen} – pocketfleet`;
  say($("run-id"), chosen);
  say($("status"), meta.status);
  $("status").dataset.status = meta.status;
  show($("mode"), meta.mode === "simulated");
  show($("stop"), meta.running);
  show($("resume"), !meta.running && meta.status !== "finished");
  show($("report"), meta.report);
  $("report").href = `/report?run=${encodeURIComponent(chosen)}`;
}

function drawNow() {
  const { meta, live } = state;
  const last = state.rounds.at(-1);
  const planned = Number(meta.rounds) || 0;
  const done = last ? last.round : 0;
  let text;
  if (meta.status === "running") {
    const answered = Object.keys(live.answered ?? {}).length;
    const asked = liveDevices(live).length;
    if (live.stage === "waiting") text = `Waiting for devices: ${live.present} of ${live.needed} are there.`;
    else if (live.stage === "round" && answered < asked) {
      text = `Round ${live.round} of ${planned}: ${answered} of ${asked} devices answered, ${ago(live.at)} since they were asked.`;
    } else if (live.stage === "round") text = `Round ${live.round} of ${planned}: all answered; averaging and evaluating.`;
    else text = last ? `Round ${done} of ${planned} is done.` : "Starting.";
  } else if (meta.status === "killed") {
    text = `It stopped without a word after round ${last ? done : "–"} of ${planned}: killed, or the machine went down. “Go on” does the rest.`;
  } else {
    const when = meta.ended_at ? ` at ${clock(Number(meta.ended_at))}` : "";
    text = `It ${meta.status === "finished" ? "finished" : `was ${meta.status}`}${when}, after round ${done} of ${planned}.`;
    if (meta.status === "failed") text = text.replace("was failed", "failed");
  }
  say($("now"), text);
  const settled = live.stage === "round" && meta.status === "running" ? Object.keys(live.answered).length / Math.max(1, liveDevices(live).length) : 0;
  $("progress").max = Math.max(1, planned);
  $("progress").value = Math.min(planned, done + 0.95 * settled);
  say($("card-round"), last ? `${done}` : none);
  say($("card-rounds"), `of ${planned} rounds; ${Object.keys(state.devices).length} devices`);
  const evaluated = state.rounds.findLast((row) => row.accuracy !== null || row.client_accuracy !== null);
  const here = evaluated && evaluated.accuracy !== null;
  say($("card-accuracy"), number(evaluated && (here ? evaluated.accuracy : evaluated.client_accuracy), 3));
  say($("card-accuracy-of"), here || !evaluated ? "accuracy on the server's test data" : "accuracy on the clients' own data");
  say($("card-loss"), number(evaluated && (here ? evaluated.loss : evaluated.client_loss), 4));
  say($("card-time"), seconds(last?.wall_s));
  const foretold = state.predicted["round time"];
  say($("card-time-of"), foretold === undefined ? "the last round took" : `the last round took; predicted: ${seconds(foretold)}`);
}

function addRounds(told) {
  state.rounds.push(...told);
  const shown = everyRound ? told : told.slice(-SHOWN_ROUNDS);
  for (const row of shown) {
    rounds.set(row.round, [
      `${row.round}`, number(row.accuracy, 4), number(row.loss, 4), number(row.client_accuracy, 4), number(row.train_loss, 4),
      row.round ? `${row.used} / ${row.asked}` : none, seconds(row.wall_s), seconds(row.train_phase_s || null), seconds(row.aggregate_s || null),
      seconds(row.evaluate_s),
    ], true);
  }
  if (!everyRound) rounds.keepLast(SHOWN_ROUNDS);
  show($("all-rounds"), !everyRound && state.rounds.length > SHOWN_ROUNDS);
}

function addEvents(told) {
  state.events.push(...told);
  for (const event of told.slice(-SHOWN_EVENTS)) {
    $("events").prepend(make("li", {}, `${clock(event.at)} ${event.kind}: ${event.text}`));
  }
  while ($("events").children.length > SHOWN_EVENTS) $("events").lastChild.remove();
  show($("no-events"), !state.events.length);
}

const outcomeMark = (outcome) => (outcome === "ok" ? "good" : outcome === "partial" || outcome === "skipped" ? "" : "bad");

/** What a device does now, in words. */
function doing(id) {
  const { live, meta } = state;
  if (meta.status !== "running") return ["–", ""];
  if (live.stage === "round" && id in live.asked) {
    const told = live.answered[id];
    if (!told) return [`at work for ${ago(live.at)}`, ""];
    return [told[1] ? `${told[0]}: ${told[1]}` : `answered: ${told[0]}`, outcomeMark(told[0])];
  }
  return [live.stage === "round" ? "not asked" : "waits", ""];
}

function drawDevices(touched) {
  const ids = touched ?? Object.keys(state.devices);
  for (const id of ids) {
    // A device of the first round is not in the store yet.
    const device = state.devices[id] ?? { name: state.live.asked?.[id] ?? id, processor: "", last: null, outcomes: {}, energy: null };
    const last = device.last;
    const [now, mark] = doing(id);
    const title = `${device.name}, ${device.processor || "processor not known"}, ${id}`;
    devices.set(id, [
      [device.name, "", title],
      [now, mark, now],
      last ? [`${last.round}: ${last.outcome}`, outcomeMark(last.outcome), last.reason] : [none, "", ""],
      seconds(last?.replied_after_s),
      seconds(last?.train_s),
      device.battery == null ? none : `${Math.round(device.battery)} %`,
      device.temperature == null ? none : `${number(device.temperature, 1)} °C`,
      joules(device.energy?.gross_j),
      Object.entries(device.outcomes).map(([outcome, count]) => `${count} ${outcome}`).join(", ") || none,
    ]);
  }
  filter();
}

let filtered = false;

function filter() {
  const wanted = $("filter").value.trim().toLowerCase();
  const count = devices.rows.size;
  let shown = count;
  if (wanted || filtered) {
    shown = 0;
    for (const [id, row] of devices.rows) {
      const text = `${row.textContent} ${state.devices[id]?.processor ?? ""}`.toLowerCase();
      const fits = !wanted || text.includes(wanted);
      show(row, fits);
      shown += fits;
    }
  }
  filtered = Boolean(wanted);
  say($("shown"), wanted ? `${shown} of ${count} devices` : `${count} devices`);
}

function drawEnergy(changed) {
  for (const [id, device] of Object.entries(changed)) {
    const told = device.energy;
    if (!told) continue;
    const phases = ["download", "train", "evaluate", "upload", "wait"].map((phase) => joules(told.phases[phase]));
    const source = told.sources.join("; ") + (told.covers.length ? ` (covers: ${told.covers.join(", ")})` : "");
    energy.set(id, [
      device.name, ...phases, joules(told.gross_j), joules(told.net_j), told.methods.join(", ") || none,
      [source || none, "", source], told.excluded ? [`${told.excluded}`, "bad"] : "0", [told.flags.join("; ") || none, "", told.flags.join("; ")],
    ]);
  }
  const all = Object.values(state.devices).map((device) => device.energy).filter(Boolean);
  const methods = [...new Set(all.flatMap((told) => told.methods))].sort();
  const excluded = all.reduce((sum, told) => sum + told.excluded, 0);
  const by = state.reading ? "still being added up" : methods.length ? methods.join(" and ") : "no source";
  say($("card-energy"), all.length ? joules(all.reduce((sum, told) => sum + told.gross_j, 0)) : none);
  say($("card-energy-of"), `energy of all devices: ${by}${excluded ? `; ${excluded} figures excluded` : ""}`);
  say($("energy-by"), by);
}

/** Tell a screen reader what is worth it: a round that was committed, a change of status. */
function tell(change, before) {
  const last = change.rounds?.at(-1);
  if (change.whole) return;
  if (change.meta && before.meta?.status && change.meta.status !== before.meta.status) say($("said"), `The run is ${change.meta.status}.`);
  else if (last) {
    const accuracy = last.accuracy ?? last.client_accuracy;
    say($("said"), `Round ${last.round} done${accuracy === null ? "" : `, accuracy ${number(accuracy, 3)}`}.`);
  }
}

/* What a person does */

/** The run that the address names. */
function named() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return "";
  }
}

async function act(button, path, body) {
  button.disabled = true;
  try {
    const answer = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    const told = answer.ok ? {} : await answer.json().catch(() => ({ error: `refused (${answer.status})` }));
    say($("said"), told.error ? "" : "Asked.");
    say($("refused"), told.error ?? "");
    show($("refused"), Boolean(told.error));
  } catch {
    connected(false);
  } finally {
    button.disabled = false;
  }
}

$("stop").onclick = () => $("ask").showModal();
$("ask-no").onclick = () => $("ask").close();
$("ask-yes").onclick = () => {
  $("ask").close();
  act($("stop"), "/api/stop", { run: chosen });
};
$("resume").onclick = () => act($("resume"), "/api/resume", { run: chosen });
$("all-rounds").onclick = () => {
  everyRound = true;
  const told = state.rounds;
  state.rounds = [];
  rounds.clear();
  addRounds(told);
};
$("filter").oninput = filter;
window.addEventListener("hashchange", () => choose(named()));
// Browsers open six streams to a server at most; a page that nobody sees lets go of its own.
document.addEventListener("visibilitychange", () => (document.hidden ? closeAll() : follow()));
window.addEventListener("pagehide", closeAll);
setInterval(() => {
  if (!state || state.problem || state.meta.status !== "running") return;
  drawNow();
  if (state.live.stage === "round") drawDevices(liveDevices(state.live).filter((id) => !(id in state.live.answered)));
}, 1000);

if (window.matchMedia("(max-width: 800px)").matches) $("runs-box").open = false;
choose(named());
open("list", "/api/runs", applyList);
