// Every sweep of the coordinator.
import {fileLink, get} from "./api.js";
import {spark} from "./chart.js";
import {ago, duration, h, loss, note, progress, short, tagList, userName} from "./dom.js";

export async function show(root, signal) {
  document.title = "Sweeps · Allometry";
  const search = h("input", {type: "search", placeholder: "Search name, user, tag, note", "aria-label": "Search sweeps",
                             value: new URLSearchParams(location.search).get("search") ?? "", oninput: () => draw()});
  const archived = h("input", {type: "checkbox", onchange: () => draw()});
  const body = h("tbody");
  const empty = h("div");
  root.append(
    h("div", {class: "title"}, h("h1", {}, "Sweeps"), search, h("label", {class: "small"}, archived, " archived ones too"), h("span", {class: "small"}, fileLink("CSV", "sweeps.csv"))),
    empty,
    h("div", {class: "scroll"}, h("table", {},
      h("thead", {}, h("tr", {}, ["Sweep", "Progress", "Runs", "Time left", "Best loss (nats)", "Least loss over FLOPs", "Device time", "Age", "User", "Data"].map((name, i) =>
        h("th", {scope: "col", class: i >= 5 ? "wide" : ""}, name)))),
      body)));

  let sweeps = [];
  const curves = new Map();  // by name: the spark line, and at which progress it was read
  function row(sweep) {
    const unfinished = sweep.runs - sweep.runs_succeeded - sweep.runs_failed - sweep.runs_cancelled;
    const link = `/sweep/${encodeURIComponent(sweep.name)}`;
    const curve = curves.get(sweep.name)?.frontier;
    const eta = sweep.being_deleted ? "being deleted" : unfinished === 0 ? "ended" : sweep.eta_s;
    return h("tr", {},
      h("td", {title: sweep.note || undefined}, h("a", {href: link}, sweep.name), sweep.archived && h("span", {class: "muted small"}, " archived"), " ",
        tagList(sweep.tags, (tag) => { search.value = tag; draw(); }, "Search")),
      h("td", {}, progress(sweep.runs, [["done", sweep.runs_succeeded], ["running", sweep.runs_leased], ["failed", sweep.runs_failed], ["cancelled", sweep.runs_cancelled]])),
      h("td", {class: "small"}, `${sweep.runs_succeeded} of ${sweep.runs}`,
        sweep.runs_leased > 0 && `, ${sweep.runs_leased} running`, sweep.runs_failed > 0 && h("b", {}, `, ${sweep.runs_failed} failed`)),
      h("td", {}, typeof eta === "number" ? duration(eta) : eta ?? "not known"),
      h("td", {class: "number"}, loss(sweep.best_loss)),
      h("td", {class: "wide"}, curve ? spark(curve.x, curve.y) : "–"),
      h("td", {class: "wide"}, duration(sweep.device_seconds)),
      h("td", {class: "wide"}, ago(sweep.created_unix_us)),
      h("td", {class: "wide", title: sweep.user_is_claimed ? "as the client says" : undefined}, userName(sweep)),
      h("td", {class: "wide"}, sweep.dataset));
  }
  function draw() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const listed = sweeps.filter((sweep) => archived.checked || !sweep.archived);
    const found = listed.filter((sweep) => words.every((word) => [sweep.name, sweep.dataset, sweep.user, sweep.note, ...sweep.tags].some((text) => text.toLowerCase().includes(word))));
    body.replaceChildren(...found.map(row));
    empty.replaceChildren(...(sweeps.length === 0 ? [note("", "No sweep yet. Submit one with:  allo submit FILE.yaml")]
      : listed.length === 0 ? [note("", `All ${short(sweeps.length)} sweeps are archived.`)]
      : found.length === 0 ? [note("", `No sweep matches '${search.value}'; there are ${short(listed.length)}.`)] : []));
  }
  // Two at a time, the newest first, and again only where something happened.
  async function readCurves() {
    const queue = sweeps.filter((sweep) => !sweep.being_deleted && (archived.checked || !sweep.archived));
    const work = async () => {
      for (let sweep; (sweep = queue.shift()) && !signal.aborted;) {
        const unfinished = sweep.runs > sweep.runs_succeeded + sweep.runs_failed + sweep.runs_cancelled;
        const state = unfinished ? NaN : sweep.cells_done;
        if (curves.get(sweep.name)?.state === state) continue;
        try {
          const {frontier} = await get("curves", {name: sweep.name, pixels: 64, log: 1}, signal);
          curves.set(sweep.name, {frontier, state});
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
