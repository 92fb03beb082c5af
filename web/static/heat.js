// Size by budget: one field for all runs of one cell of the grid.
import {ground} from "./chart.js";
import {h, loss, scientific, short} from "./dom.js";

const kMostColumns = 48;

// Fields by size and budget, from a LiveSweep. Of several runs (seeds, learning rates) the mean loss
// is shown, and the state of the one that needs most attention.
export function fieldsOf(live) {
  const budgets = new Map();
  const fields = new Map();
  const sizes = new Map();
  const cells = [...live.cells.values()].filter((cell) => cell.stage === "" && live.runs.has(cell.run_id));
  const distinct = new Set(cells.map((cell) => cell.asked));
  const binned = distinct.size > kMostColumns;
  for (const cell of cells) {
    const run = live.runs.get(cell.run_id);
    const budget = binned ? 10 ** (Math.round(Math.log10(cell.asked) * 4) / 4) : cell.asked;
    budgets.set(budget, cell.asked_flops);
    sizes.set(run.size, run.params);
    const key = `${run.size} ${budget}`;
    let field = fields.get(key);
    if (!field) fields.set(key, field = {key, size: run.size, budget, cells: [], runs: new Set(), losses: []});
    field.cells.push(cell);
    field.runs.add(run.run_id);
    if (cell.loss !== null) field.losses.push(cell.loss);
  }
  for (const field of fields.values()) {
    const runs = [...field.runs].map((id) => live.runs.get(id));
    const open = field.cells.filter((cell) => cell.loss === null).map((cell) => live.runs.get(cell.run_id));
    field.failed = open.find((run) => run.state === "failed");
    field.state = field.failed ? "failed" : open.some((run) => run.state === "running") ? "running" : open.length === 0 ? "done" : open[0].state;
    field.loss = field.losses.length > 0 ? field.losses.reduce((sum, value) => sum + value, 0) / field.losses.length : null;
    field.count = runs.length;
    const running = open.filter((run) => run.state === "running");
    field.share = running.length > 0 ? Math.max(...running.map((run) => Math.min(1, run.step / field.cells.find((cell) => cell.run_id === run.run_id).step))) : null;
  }
  return {fields, binned, flops: [...budgets.values()][0],
          sizes: [...sizes].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0])), budgets: [...budgets.keys()].sort((a, b) => a - b)};
}

export function heatMap({fields, sizes, budgets, flops, binned}, chosen, choose) {
  const losses = [...fields.values()].map((field) => field.loss).filter((value) => value !== null);
  const least = Math.log(Math.min(...losses)), most = Math.log(Math.max(...losses));
  const button = (field) => {
    if (!field) return "";
    const word = field.state === "failed" ? "✕ failed" : field.state === "running" ? `▶ ${Math.floor(100 * (field.share ?? 0))} %`
      : field.state === "cancelled" ? "cancelled" : field.loss === null ? "·" : loss(field.loss, 3);
    const failure = field.failed ? `\nrun ${field.failed.run_id}: ${field.failed.failure} ${field.failed.reason.split("\n")[0]}` : "";
    const title = `${field.size} at ${flops ? scientific(field.budget) + " FLOPs" : short(field.budget) + " tokens"}: ` +
      `${field.losses.length} of ${field.cells.length} done` + (field.loss !== null ? `, loss ${loss(field.loss)} nats` : "") + failure;
    const element = h("button", {type: "button", class: field.state, title, "aria-label": title, "aria-pressed": String(chosen === field.key),
                                 onclick: () => choose(field)}, word + (field.count > 1 ? ` ×${field.count}` : ""));
    if (field.state === "done" && field.loss !== null) {
      const [color, ink] = ground(most > least ? (Math.log(field.loss) - least) / (most - least) : 0);
      element.style.background = color;
      element.style.color = ink;
    }
    return element;
  };
  const heads = budgets.map((budget) => h("th", {scope: "col"}, flops ? scientific(budget) : short(budget)));
  const scale = losses.length > 1 ? h("div", {class: "legend"}, h("span", {}, `loss ${loss(Math.exp(least), 3)}`),
    (() => { const bar = h("span", {class: "ramp", role: "img", "aria-label": "dark is a low loss"}); bar.style.background = `linear-gradient(to right, ${[0, .25, .5, .75, 1].map((share) => ground(share)[0]).join(",")})`; return bar; })(),
    h("span", {}, `${loss(Math.exp(most), 3)} nats a token`), h("span", {class: "state running"}, "running"), h("span", {class: "state failed"}, "failed"), h("span", {}, "· waiting")) : null;
  return h("div", {}, scale,
    h("div", {class: "scroll"}, h("table", {class: "heat"},
      h("thead", {}, h("tr", {}, h("th", {scope: "col"}, "size"), h("th", {scope: "colgroup", colspan: budgets.length}, `budget (${flops ? "FLOPs" : "tokens"}${binned ? ", rounded" : ""}) →`)),
        h("tr", {}, h("th"), heads)),
      h("tbody", {}, sizes.map(([size]) => h("tr", {}, h("th", {scope: "row"}, size), budgets.map((budget) => h("td", {}, button(fields.get(`${size} ${budget}`)))))))))) ;
}
