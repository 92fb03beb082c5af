// Loss against compute, tokens or steps: every run, coloured by size, with the frontier.
import {fileLink, get} from "./api.js";
import {Chart, ramp} from "./chart.js";
import {h, loss, note, scientific, short} from "./dom.js";
import {LiveSweep} from "./live.js";
import {tabs} from "./sweep.js";

const kAxes = {flops: "Training compute C (FLOPs)", tokens: "Tokens seen D", steps: "Updates"};

export const seriesLabel = (series) => series === "heldout" ? "Held-out loss (nats a token)" : series === "train" ? "Training loss (nats a token)" : series;

// Lines of one colour a size, dark to light from small to large.
export function colorsOf(curves) {
  const sizes = [...new Map(curves.map((curve) => [curve.size, curve.params]))].sort((a, b) => a[1] - b[1]);
  return new Map(sizes.map(([size], i) => [size, ramp(sizes.length > 1 ? i / (sizes.length - 1) : 0.4)]));
}

// Runs that differ in their seed alone, as a mean with a band from the lowest to the highest.
function bands(curves, log) {
  const groups = new Map();
  for (const curve of curves) {
    const key = `${curve.size} ${curve.learning_rate} ${curve.stage}`;
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(curve);
  }
  return [...groups.values()].map((group) => {
    if (group.length === 1) return group[0];
    const from = Math.max(...group.map((curve) => curve.x[0])), to = Math.min(...group.map((curve) => curve.x[curve.x.length - 1]));
    if (!(to > from)) return group[0];
    const x = [], y = [], lower = [], upper = [];
    const at = group.map(() => 0);
    const count = Math.min(400, Math.max(...group.map((curve) => curve.x.length)));
    for (let i = 0; i < count; ++i) {
      const share = count > 1 ? i / (count - 1) : 0;
      const value = log && from > 0 ? from * (to / from) ** share : from + (to - from) * share;
      const values = group.map((curve, g) => {
        while (at[g] + 2 < curve.x.length && curve.x[at[g] + 1] < value) ++at[g];
        const [x0, x1, y0, y1] = [curve.x[at[g]], curve.x[at[g] + 1] ?? curve.x[at[g]], curve.y[at[g]], curve.y[at[g] + 1] ?? curve.y[at[g]]];
        return x1 > x0 ? y0 + (y1 - y0) * Math.min(1, Math.max(0, (value - x0) / (x1 - x0))) : y0;
      });
      x.push(value);
      y.push(values.reduce((sum, one) => sum + one, 0) / values.length);
      lower.push(Math.min(...values));
      upper.push(Math.max(...values));
    }
    return {...group[0], x, y, lower, upper, seeds: group.length};
  });
}

export async function show(root, signal, name) {
  document.title = `Curves of ${name} · Allometry`;
  const parameters = new URLSearchParams(location.search);
  const settings = {x: parameters.get("x") ?? "flops", series: parameters.get("series") ?? "heldout",
                    logX: parameters.get("log_x") !== "0", logY: parameters.get("log_y") !== "0", band: parameters.get("seeds") !== "each"};
  const hidden = new Set();
  const link = h("span", {class: "small"}), legend = h("div", {class: "legend", role: "group", "aria-label": "Sizes"}), holder = h("div"), words = h("p", {class: "small muted"});

  const choice = (label, key, options) => {
    const select = h("select", {onchange: () => { settings[key] = select.value; remember(); read(true); }}, Object.entries(options).map(([value, text]) => h("option", {value, selected: settings[key] === value}, text)));
    return h("label", {}, label, select);
  };
  const flag = (label, key, again) => {
    const button = h("button", {type: "button", "aria-pressed": String(settings[key]), onclick: () => {
      settings[key] = !settings[key];
      button.setAttribute("aria-pressed", String(settings[key]));
      remember();
      again ? read(true) : draw();
    }}, label);
    return button;
  };
  const series = h("label");
  root.append(h("div", {class: "title"}, h("h1", {}, name), link), tabs(name, "Curves"),
    h("div", {class: "bar"}, choice("Against", "x", {flops: "FLOPs", tokens: "tokens", steps: "updates"}), series, flag("log x", "logX", true), flag("log y", "logY", true), flag("seeds as a band", "band", false),
      h("button", {type: "button", onclick: () => chart?.zoomOut()}, "Show all")),
    legend, holder, words);

  // The address says what is shown.
  function remember() {
    const query = new URLSearchParams({x: settings.x, series: settings.series, log_x: settings.logX ? "1" : "0", log_y: settings.logY ? "1" : "0", seeds: settings.band ? "band" : "each"});
    history.replaceState(null, "", `${location.pathname}?${query}`);
  }
  let chart = null, answer = null, range = [0, 0];
  function makeChart() {
    holder.replaceChildren();
    chart = new Chart(holder, {
      xLabel: kAxes[settings.x], yLabel: seriesLabel(settings.series), xLog: settings.logX, yLog: settings.logY, height: Math.max(320, Math.min(620, innerHeight - 300)),
      describe: (line, i) => `${line.label}\n${settings.x === "steps" ? `update ${Math.round(line.x[i])}` : settings.x === "tokens" ? `${short(line.x[i])} tokens` : `${scientific(line.x[i], 3)} FLOPs`}   ${settings.series === "heldout" || settings.series === "train" ? "loss " : ""}${loss(line.y[i])}` +
        (line.lower ? `  (${loss(line.lower[i])} to ${loss(line.upper[i])})` : ""),
      open: (line) => line.run_id && dispatchEvent(new CustomEvent("go", {detail: `/run/${line.run_id}`})),
      zoomed: (from, to) => { range = [from, to]; read(false); },
    }, signal);
  }

  function draw(keep = true) {
    const colors = colorsOf(answer.curves);
    const shown = answer.curves.filter((curve) => !hidden.has(curve.size));
    const lines = (settings.band ? bands(shown, settings.logX) : shown).map((curve) => ({
      ...curve, color: colors.get(curve.size), width: curve.stage ? 1 : 1.6, dash: curve.stage ? [2, 3] : [],
      label: curve.seeds > 1 ? `${curve.size}: mean of ${curve.seeds} seeds` : `run ${curve.run_id}: ${curve.size}, seed ${curve.seed}, rate ${Number(curve.learning_rate.toPrecision(3))}${curve.stage ? `, ${curve.stage}` : ""} (${curve.state})`}));
    const last = new Map();
    for (const line of lines) if (!last.has(line.size) || last.get(line.size).x[last.get(line.size).x.length - 1] < line.x[line.x.length - 1]) last.set(line.size, line);
    for (const [size, line] of last) line.name = size;
    const loss_series = settings.series === "heldout" || settings.series === "train";
    if (loss_series && answer.frontier.x.length > 1) {
      lines.push({x: answer.frontier.x, y: answer.frontier.y, color: getComputedStyle(document.documentElement).getPropertyValue("--text").trim(), width: 2, dash: [7, 4], silent: true});
    }
    chart.set(lines, {keep});
    legend.replaceChildren(h("span", {class: "muted"}, "Parameters:"), ...[...colors].map(([size, color]) => {
      const swatch = h("span", {class: "swatch"});
      swatch.style.background = color;
      const button = h("button", {type: "button", "aria-pressed": String(!hidden.has(size)), title: "show or hide", onclick: () => { hidden.has(size) ? hidden.delete(size) : hidden.add(size); draw(); }}, swatch, size);
      return button;
    }), loss_series ? h("span", {class: "muted"}, "- - - least loss of any run by each point (frontier)") : "");
    const points = answer.curves.reduce((sum, curve) => sum + curve.points, 0);
    words.textContent = `${answer.curves.length} curves, ${points.toLocaleString()} points${answer.curves.reduce((sum, curve) => sum + curve.x.length, 0) < points ? ", thinned to the lowest and the highest in each column of pixels" : ""}. ` +
      "Drag to enlarge a part, double-click (or 0) for all; with the chart in focus the arrow keys go along a curve and from curve to curve, Enter opens the run.";
    root.dataset.ready = String(points);
  }

  let reading = null, again = false;
  async function read(anew) {
    if (anew) { range = [0, 0]; makeChart(); }
    if (reading) { again = true; return; }
    reading = true;
    try {
      do {
        again = false;
        const query = {name, series: settings.series, x: settings.x, pixels: Math.min(4000, Math.max(200, Math.round(holder.clientWidth * devicePixelRatio))), log: settings.logX ? 1 : 0, from: range[0] || "", to: range[1] || ""};
        answer = await get("curves", query, signal);
        link.replaceChildren(fileLink("curves as shown (CSV)", "curves.csv", query), " · ", fileLink("every point (CSV)", "export.csv", {name, what: "points"}));
      } while (again);
      const names = answer.series.includes(settings.series) ? answer.series : [settings.series, ...answer.series];
      if (series.childElementCount === 0) series.replaceChildren("Series", choice("", "series", Object.fromEntries(names.map((one) => [one, one]))).firstElementChild);
      if (answer.curves.length === 0) {
        root.dataset.ready = "0";
        words.textContent = "";
        holder.replaceChildren(note("", `No point of series '${settings.series}' yet.`));
        chart = null;
      } else {
        if (!chart) makeChart();
        draw();
      }
    } finally {
      reading = null;
    }
  }
  await read(true);
  // Live: read again after changes, at most every three seconds.
  let due = false;
  const live = new LiveSweep();
  live.follow(name, () => { due = true; }, signal).then(() => { due = false; }, () => {});
  const timer = setInterval(() => {
    if (!due || document.hidden) return;
    due = false;
    read(false).catch(() => {});
  }, 3000);
  signal.addEventListener("abort", () => clearInterval(timer));
}
