// One sweep: its grid as a heat map, and its runs.
import {fileLink, getSettings, post} from "./api.js";
import {clock, duration, fact, h, loss, note, progress, scientific, short, state, tagList, userName} from "./dom.js";
import {fieldsOf, heatMap} from "./heat.js";
import {LiveSweep, shareOf, tokensOf} from "./live.js";
import {Table} from "./table.js";

export function tabs(name, here) {
  const base = `/sweep/${encodeURIComponent(name)}`;
  return h("nav", {class: "tabs", "aria-label": "Parts of the sweep"},
    [["Overview", base], ["Curves", `${base}/curves`], ["Fit", `${base}/fit`], ["Compare", `/compare?a=${encodeURIComponent(name)}`]].map(([label, href]) =>
      h("a", {href, "aria-current": label === here ? "page" : undefined}, label)));
}

function whyNothingRuns(live) {
  const runs = [...live.runs.values()];
  if (runs.some((run) => run.state === "running")) return null;
  const waiting = runs.filter((run) => run.state === "waiting");
  if (waiting.length === 0) return null;
  const counts = new Map();
  for (const run of waiting) counts.set(run.reason, (counts.get(run.reason) ?? 0) + 1);
  const [reason] = [...counts].sort((a, b) => b[1] - a[1])[0];
  return `Nothing runs: ${reason.replace(/^waiting: /, "") || "runs wait for a worker"}`;
}

export async function show(root, signal, name) {
  document.title = `${name} · Allometry`;
  const head = h("div"), said = h("div"), map = h("div"), filter = h("div", {class: "bar"}), actions = h("div", {class: "bar"}), left = h("div");
  root.append(h("div", {class: "title"}, h("h1", {}, name),
      h("span", {class: "small"}, fileLink("sweep file (YAML)", "source.yaml", {name}), " · ", fileLink("runs (CSV)", "runs.csv", {name}), " · ",
        fileLink("observations (CSV)", "export.csv", {name, what: "observations"}), " · ", fileLink("all points (CSV)", "export.csv", {name, what: "points"}))),
    tabs(name, "Overview"), said, head, h("h2", {}, "Loss by size and budget"), map, h("h2", {}, "Runs"), actions, filter);
  const live = new LiveSweep();
  let field = null, stateFilter = "", order = "";

  const columns = [
    {name: "Run", number: true, value: (run) => run.run_id, show: (run) => h("a", {href: `/run/${run.run_id}`}, run.run_id)},
    {name: "State", value: (run) => run.state, show: (run) => state(run.state, run.failure ? ` ${run.failure}` : "")},
    {name: "Size", title: "as the sweep file names it; sorts by parameters", value: (run) => run.params, show: (run) => run.size},
    {name: "Params", number: true, wide: true, value: (run) => run.params, show: (run) => short(run.params)},
    {name: "Progress", number: true, value: shareOf, show: (run) => `${Math.floor(100 * shareOf(run))} %`},
    {name: "Tokens", number: true, wide: true, title: "seen so far, of all", value: tokensOf, show: (run) => `${short(tokensOf(run))} of ${short(run.steps * run.batch_tokens)}`},
    {name: "FLOPs", number: true, wide: true, title: "of the whole run", value: (run) => run.steps * run.batch_tokens * run.flops_per_token, show: (run) => scientific(run.steps * run.batch_tokens * run.flops_per_token)},
    {name: "Held-out loss", number: true, title: "the newest, nats a token", value: (run) => run.heldout_loss, show: (run) => loss(run.heldout_loss)},
    {name: "Train loss", number: true, wide: true, title: "the newest, nats a token", value: (run) => run.train_loss, show: (run) => loss(run.train_loss)},
    {name: "Tokens/s", number: true, wide: true, value: (run) => run.state === "running" ? run.tokens_per_second : null, show: (run) => run.state === "running" ? short(run.tokens_per_second) : "–"},
    {name: "Rate", number: true, wide: true, title: "peak learning rate", value: (run) => run.learning_rate, show: (run) => String(Number(run.learning_rate.toPrecision(3)))},
    {name: "Seed", number: true, wide: true, value: (run) => run.seed, show: (run) => String(run.seed)},
    {name: "Host", wide: true, value: (run) => run.host, show: (run) => run.host || "–"},
    {name: "Why", wide: true, title: "why it waits, or how it ended", value: (run) => run.reason, show: (run) => run.reason.split("\n")[0] || "–"},
  ];
  const table = new Table(root, columns, {label: "Runs", key: (run) => run.run_id, sort: "Run", ifEmpty: "no run matches",
    open: (run) => dispatchEvent(new CustomEvent("go", {detail: `/run/${run.run_id}`}))});
  root.append(left);

  const states = h("select", {"aria-label": "State", onchange: () => { stateFilter = states.value; draw(); }},
    ["all states", "running", "failed", "waiting", "done", "cancelled"].map((word) => h("option", {value: word === "all states" ? "" : word}, word)));
  const chosen = h("span");
  filter.append(h("label", {}, "Show", states), chosen);

  const settings = await getSettings();
  const message = h("span", {role: "status"});
  if (settings.allow_changes) {
    const act = (label, path, question) => h("button", {type: "button", onclick: async () => {
      const ids = filtered().map((run) => run.run_id);
      if (!confirm(`${question} (${ids.length} runs shown)`)) return;
      try {
        const [[what, count]] = Object.entries(await post(path, {name, run_ids: ids.length === live.runs.size ? [] : ids}));
        message.textContent = `${count} runs ${what}`;
      } catch (error) {
        message.textContent = error.message;
      }
    }}, label);
    actions.append(act("Retry", "retry", "Retry failed and cancelled runs?"), act("Preempt", "preempt", "Stop running runs with a checkpoint? They go on later."),
                   act("Cancel", "cancel", "Cancel runs?"), message);
  }

  // Tags, note and archive; drawn again where one of them changed, so that a text that is being
  // written stays.
  let labels = "";
  async function label(change) {
    try {
      await post("label", {name, ...change});
    } catch (error) {
      message.textContent = error.message;
      said.append(message);
    }
  }
  function drawLabels() {
    const {tags, note: text, archived} = live.sweep;
    const fresh = JSON.stringify([tags, text, archived]);
    if (fresh === labels) return;
    labels = fresh;
    if (!settings.allow_changes) {
      said.replaceChildren(h("div", {class: "said"}, archived && h("span", {class: "muted"}, "archived"), tagList(tags), h("span", {class: "text"}, text)));
      return;
    }
    const tag = h("input", {type: "text", size: 12, maxlength: 40, placeholder: "new tag", "aria-label": "New tag"});
    const written = h("input", {type: "text", size: 40, maxlength: 4000, value: text, placeholder: "note", "aria-label": "Note"});
    said.replaceChildren(h("div", {class: "said"},
      tagList(tags, (gone) => label({remove_tags: [gone]}), "Take off"),
      h("form", {onsubmit: (event) => { event.preventDefault(); if (tag.value) label({add_tags: tag.value.split(/\s+/).filter(Boolean)}); }}, tag, " ", h("button", {}, "Add tag")),
      h("form", {onsubmit: (event) => { event.preventDefault(); label({note: written.value}); }}, written, " ", h("button", {}, "Save note")),
      h("button", {type: "button", onclick: () => label({archived: !archived})}, archived ? "Take out of the archive" : "Archive")));
  }

  const filtered = () => [...live.runs.values()].filter((run) => (field === null || field.runs.has(run.run_id)) && (stateFilter === "" || run.state === stateFilter));

  function draw() {
    const sweep = live.sweep, compute = live.compute();
    drawLabels();
    const why = whyNothingRuns(live);
    const ended = [...live.runs.values()].every((run) => run.state !== "running" && run.state !== "waiting");
    const finished = [...live.cells.values()].filter((cell) => cell.loss !== null);
    const best = finished.length > 0 ? finished.reduce((a, b) => b.loss < a.loss ? b : a) : null;
    head.replaceChildren(
      h("div", {class: "facts"},
        fact("runs done", h("span", {}, `${sweep.runs_succeeded} of ${sweep.runs}`)),
        fact("progress", progress(sweep.runs, [["done", sweep.runs_succeeded], ["running", sweep.runs_leased], ["failed", sweep.runs_failed], ["cancelled", sweep.runs_cancelled]])),
        fact("compute done", compute.total > 0 ? `${Math.floor(100 * compute.done / compute.total)} % of ${scientific(compute.total)} FLOPs` : "–"),
        fact("time left", ended ? "ended" : live.eta_s === null ? "not known yet" : duration(live.eta_s)),
        fact("best held-out loss", best ? h("a", {href: `/run/${best.run_id}`}, `${loss(best.loss)} nats`) : "–"),
        fact("device time", duration(sweep.device_seconds)),
        fact("submitted", h("span", {title: sweep.user_is_claimed ? "the user's name as the client says it" : undefined}, `${userName(sweep)}, ${clock(sweep.created_unix_us)}`)),
        fact("data", sweep.dataset)),
      why ? note("warn", why) : "",
      sweep.runs_failed > 0 ? note("bad", `${sweep.runs_failed} of ${sweep.runs} runs failed. `, h("button", {type: "button", onclick: () => { states.value = stateFilter = "failed"; draw(); table.box.scrollIntoView(); }}, "Show them")) : "",
      (sweep.stages ?? []).map((stage) => note("", `${stage.name}: ${stage.rule}\n${stage.lines.join("\n")}`)));
    const grid = fieldsOf(live);
    if (field) field = grid.fields.get(field.key) ?? null;
    // A finished map that is the same again is not drawn again: a button keeps the focus.
    const fresh = JSON.stringify([[...grid.fields.values()].map((one) => [one.key, one.state, one.loss, one.share && Math.floor(one.share * 100)]), field?.key]);
    if (fresh !== order) {
      order = fresh;
      const focused = map.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label")?.split(":")[0] : null;
      map.replaceChildren(grid.fields.size > 0 ? heatMap(grid, field?.key, (one) => { field = field?.key === one.key ? null : one; draw(); }) : h("p", {class: "muted"}, "No cell of the grid yet."));
      if (focused) [...map.querySelectorAll("button")].find((button) => button.getAttribute("aria-label").startsWith(focused + ":"))?.focus();
    }
    const rows = filtered();
    chosen.replaceChildren(field ? h("button", {type: "button", onclick: () => { field = null; draw(); }}, `size ${field.size}, budget ${grid.flops ? scientific(field.budget) : short(field.budget)}  ✕`) : "",
                           h("span", {class: "muted"}, ` ${rows.length} of ${live.runs.size} runs`));
    table.set(rows);
    left.replaceChildren(...(sweep.left_out ?? []).map((reason) => h("p", {class: "muted small"}, `left out: ${reason}`)));
    root.dataset.ready = String(live.runs.size);
  }
  await live.follow(name, draw, signal);
}
