// Two sweeps over each other: their frontiers and curves, and what differs in their files.
import {get, text} from "./api.js";
import {Chart} from "./chart.js";
import {h, loss, note, scientific, short} from "./dom.js";

const kColors = {light: ["#0a5fb4", "#c4500a"], dark: ["#6cb4ff", "#ff9a5c"]};

// Lines of two texts, as diff has them: ["=", line], ["-", line], ["+", line].
export function difference(before, after) {
  const a = before.split("\n"), b = after.split("\n");
  if (a.length * b.length > 4e6) return [...a.map((line) => ["-", line]), ...b.map((line) => ["+", line])];
  const longest = Array.from({length: a.length + 1}, () => new Uint32Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; --i) {
    for (let j = b.length - 1; j >= 0; --j) {
      longest[i][j] = a[i] === b[j] ? longest[i + 1][j + 1] + 1 : Math.max(longest[i + 1][j], longest[i][j + 1]);
    }
  }
  const lines = [];
  let i = 0, j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) { lines.push(["=", a[i++]]); ++j; }
    else if (j >= b.length || (i < a.length && longest[i + 1][j] >= longest[i][j + 1])) lines.push(["-", a[i++]]);
    else lines.push(["+", b[j++]]);
  }
  return lines;
}

// By how much the second's least loss lies under the first's where both have one, in nats.
function apart(a, b) {
  const at = (frontier, x) => {
    let y = null;
    for (let i = 0; i < frontier.x.length && frontier.x[i] <= x; ++i) y = frontier.y[i];
    return y;
  };
  const from = Math.max(a.x[0], b.x[0]), to = Math.min(a.x[a.x.length - 1], b.x[b.x.length - 1]);
  if (!(to >= from)) return null;
  return {flops: to, a: at(a, to), b: at(b, to)};
}

const kQuantities = {a: "exponent a of N*", b: "exponent b of D*", alpha: "alpha", beta: "beta", E: "floor E (nats)", params: "N*", tokens: "D*", loss: "L* (nats)", compute: "compute multiplier"};

// Whether the laws of both differ, with the interval of each difference.
function lawsTable({verdict, rows, notes}) {
  const digits = (value) => value === null ? "–" : Math.abs(value) >= 1e4 ? short(value) : Number(value.toPrecision(4)).toString();
  const within = (one) => one.estimate === null ? "not determined" : one.lower === null ? digits(one.estimate) : `${digits(one.estimate)}  [${digits(one.lower)}, ${digits(one.upper)}]`;
  return [note(rows.some((row) => row.differ) ? "warn" : "", h("b", {}, verdict), notes.length ? "\n" + notes.join("\n") : ""),
    rows.length > 0 && h("div", {class: "scroll"}, h("table", {},
      h("thead", {}, h("tr", {}, ["Quantity", "Method", "At C (FLOPs)", "First", "Second", "Difference or ratio, 95 %", "Differ"].map((name) => h("th", {scope: "col"}, name)))),
      h("tbody", {}, rows.map((row) => h("tr", {class: row.not_usable ? "muted" : ""}, h("th", {scope: "row"}, kQuantities[row.quantity] ?? row.quantity), h("td", {}, row.method), h("td", {}, row.flops === null ? "–" : scientific(row.flops)),
        h("td", {}, within(row.first)), h("td", {}, within(row.second)), h("td", {}, row.ratio ? `× ${within(row.ratio)}` : within(row.difference)),
        h("td", {class: "wrap"}, row.not_usable ?? (row.differ === null ? "not known" : row.differ ? "yes" : "no")))))))].filter(Boolean);
}

export async function show(root, signal) {
  document.title = "Compare · Allometry";
  const parameters = new URLSearchParams(location.search);
  const {sweeps} = await get("sweeps", {}, signal);
  const names = sweeps.map((sweep) => sweep.name).reverse();
  const chosen = {a: parameters.get("a") ?? names[0], b: parameters.get("b") ?? names.find((name) => name !== (parameters.get("a") ?? names[0]))};
  const body = h("div");
  let drawing = 0;
  const pick = (key, label) => {
    const select = h("select", {onchange: () => { chosen[key] = select.value; history.replaceState(null, "", `/compare?${new URLSearchParams(chosen)}`); draw(); }},
                     names.map((name) => h("option", {value: name, selected: name === chosen[key]}, name)));
    return h("label", {}, label, select);
  };
  root.append(h("div", {class: "title"}, h("h1", {}, "Compare two sweeps")), h("div", {class: "bar"}, pick("a", "first"), pick("b", "second")), body);

  async function draw() {
    body.replaceChildren(h("p", {class: "busy"}, "Reading …"));
    if (!chosen.a || !chosen.b) {
      body.replaceChildren(note("", "There is no second sweep to compare with yet."));
      root.dataset.ready = "0";
      return;
    }
    const now = ++drawing;
    const read = (name) => Promise.all([get("curves", {name, log: 1, pixels: 700}, signal), text("source.yaml", {name}, signal)]);
    let answers;
    try {
      answers = await Promise.all([read(chosen.a), read(chosen.b)]);
    } catch (error) {
      if (!signal.aborted) body.replaceChildren(note("bad", error.message));
      return;
    }
    if (now !== drawing) return;  // others were chosen meanwhile
    const [[a, fileA], [b, fileB]] = answers;
    const [first, second] = kColors[document.documentElement.dataset.theme === "dark" || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches) ? "dark" : "light"];
    body.replaceChildren();
    const difference_ = a.frontier.x.length && b.frontier.x.length ? apart(a.frontier, b.frontier) : null;
    if (difference_?.a && difference_?.b) {
      const lower = difference_.b < difference_.a;
      body.append(note("", `At ${scientific(difference_.flops)} FLOPs, the most that both have: least loss ${loss(difference_.a)} in ${chosen.a}, ${loss(difference_.b)} in ${chosen.b}, which is ${Math.abs(difference_.b - difference_.a).toFixed(4)} nats ${lower ? "lower" : "higher"}. This compares single runs and has no interval; the laws below have.`));
    }
    const holder = h("div");
    const key = (color, name) => { const swatch = h("span", {class: "swatch"}); swatch.style.background = color; return h("span", {class: "legend"}, swatch, name); };
    body.append(h("div", {class: "legend"}, key(first, chosen.a), key(second, chosen.b), h("span", {class: "muted"}, "thin: each run; thick: the least loss of any run by each point")), holder);
    const chart = new Chart(holder, {xLabel: "Training compute C (FLOPs)", yLabel: "Held-out loss (nats a token)", xLog: true, yLog: true, height: 460,
      describe: (line, i) => `${line.label}\n${scientific(line.x[i], 3)} FLOPs   loss ${loss(line.y[i])}`,
      open: (line) => line.run_id && dispatchEvent(new CustomEvent("go", {detail: `/run/${line.run_id}`}))}, signal);
    const lines = [];
    for (const [answer, color, name] of [[a, first, chosen.a], [b, second, chosen.b]]) {
      for (const curve of answer.curves) lines.push({...curve, color, width: 0.8, label: `${name}: ${curve.size}, run ${curve.run_id}`});
    }
    for (const [answer, color, name] of [[a, first, chosen.a], [b, second, chosen.b]]) {
      if (answer.frontier.x.length) lines.push({x: answer.frontier.x, y: answer.frontier.y, color, width: 3, name, label: `least loss of ${name}`});
    }
    chart.set(lines);
    const lines_ = difference(fileA, fileB);
    const laws = h("div", {}, h("p", {class: "muted", role: "status"}, "Fitting both …"));
    body.append(h("h2", {}, "Do their laws differ?"), laws,
      h("h2", {}, "What differs in the sweep files"),
      lines_.every(([kind]) => kind === "=") ? h("p", {}, "Nothing: the files are the same.")
        : h("pre", {}, lines_.map(([kind, line]) => h("span", {class: {"-": "removed", "+": "added"}[kind]}, `${kind === "=" ? " " : kind} ${line}${kind === "=" ? "\n" : ""}`))));
    root.dataset.ready = "1";
    try {
      const answer = await get("compare", chosen, signal);
      laws.replaceChildren(...(answer.refused ? [note("", answer.refused)] : lawsTable(answer)));
    } catch (error) {
      if (!signal.aborted) laws.replaceChildren(note("warn", error.message));
    }
  }
  await draw();
}
