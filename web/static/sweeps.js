// Every sweep of the coordinator.
import {fileLink, get} from "./api.js";
import {spark} from "./chart.js";
import {ago, duration, h, loss, note, progress, short} from "./dom.js";

export async function show(root, signal) {
  document.title = "Sweeps · Allometry";
  const search = h("input", {type: "search", placeholder: "Search name or data", "aria-label": "Search sweeps",
                             value: new URLSearchParams(location.search).get("search") ?? "", oninput: () => draw()});
  const body = h("tbody");
  const empty = h("div");
  root.append(
    h("div", {class: "title"}, h("h1", {}, "Sweeps"), search, h("span", {class: "small"}, fileLink("CSV", "sweeps.csv"))),
    empty,
    h("div", {class: "scroll"}, h("table", {},
      h("thead", {}, h("tr", {}, ["Sweep", "Progress", "Runs", "Time left", "Best loss (nats)", "Least loss over FLOPs", "Device time", "Age", "Data"].map((name, i) =>
        h("th", {scope: "col", class: i >= 5 ? "wide" : ""}, name)))),
      body)));

  let sweeps = [];
  const curves = new Map();  // by name: what the spark line needs, and at which progress it was read
  function row(sweep) {
    const unfinished = sweep.runs - sweep.runs_succeeded - sweep.runs_failed - sweep.runs_cancelled;
    const link = `/sweep/${encodeURIComponent(sweep.name)}`;
    const curve = curves.get(sweep.name)?.frontier;
    const eta = unfinished === 0 ? "ended" : curves.get(sweep.name)?.eta_s;
    return h("tr", {},
      h("td", {}, h("a", {href: link}, sweep.name)),
      h("td", {}, progress(sweep.runs, [["done", sweep.runs_succeeded], ["running", sweep.runs_leased], ["failed", sweep.runs_failed], ["cancelled", sweep.runs_cancelled]])),
      h("td", {class: "small"}, `${sweep.runs_succeeded} of ${sweep.runs}`,
        sweep.runs_leased > 0 && `, ${sweep.runs_leased} running`, sweep.runs_failed > 0 && h("b", {}, `, ${sweep.runs_failed} failed`)),
      h("td", {}, typeof eta === "number" ? duration(eta) : eta ?? "not known"),
      h("td", {class: "number"}, curve?.y.length ? loss(curve.y[curve.y.length - 1]) : "–"),
      h("td", {class: "wide"}, curve ? spark(curve.x, curve.y) : "–"),
      h("td", {class: "wide"}, duration(sweep.device_seconds)),
      h("td", {class: "wide"}, ago(sweep.created_unix_us)),
      h("td", {class: "wide"}, sweep.dataset));
  }
  function draw() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = sweeps.filter((sweep) => words.every((word) => [sweep.name, sweep.dataset].some((text) => text.toLowerCase().includes(word))));
    body.replaceChildren(...found.map(row));
    empty.replaceChildren(...(sweeps.length === 0 ? [note("", "No sweep yet. Submit one with:  allo submit FILE.yaml")]
      : found.length === 0 ? [note("", `No sweep matches '${search.value}'; there are ${short(sweeps.length)}.`)] : []));
  }
  // Two at a time, the newest first, and again only where something happened.
  async function readCurves() {
    const queue = sweeps.slice();
    const work = async () => {
      for (let sweep; (sweep = queue.shift()) && !signal.aborted;) {
        const unfinished = sweep.runs > sweep.runs_succeeded + sweep.runs_failed + sweep.runs_cancelled;
        const state = unfinished ? NaN : sweep.cells_done;
        if (curves.get(sweep.name)?.state === state) continue;
        try {
          const [{frontier}, whole] = await Promise.all([
            get("curves", {name: sweep.name, pixels: 64, log: 1}, signal),
            unfinished && sweep.runs <= 2000 ? get("sweep", {name: sweep.name}, signal) : null]);
          curves.set(sweep.name, {frontier, state, eta_s: whole?.eta_s});
          draw();
        } catch (error) {
          if (signal.aborted) return;
        }
      }
    };
    await Promise.all([work(), work()]);
  }

  async function read() {
    sweeps = (await get("sweeps", {}, signal)).sweeps.reverse();
    draw();
  }
  await read();
  readCurves();
  let tick = 0;
  const timer = setInterval(async () => {
    if (document.hidden) return;
    await read().catch(() => {});
    if (++tick % 4 === 0) readCurves();
  }, 3000);
  signal.addEventListener("abort", () => clearInterval(timer));
}
