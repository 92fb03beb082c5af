// One run: its curve, its attempts over time, what its log said last, and its run.json.
import {fileLink, get, text} from "./api.js";
import {Chart, ramp} from "./chart.js";
import {clock, duration, fact, h, loss, mark, note, scientific, short, state} from "./dom.js";
import {seriesLabel} from "./curves.js";
import {LiveSweep, shareOf, tokensOf} from "./live.js";

const kWords = {PENDING: "waiting", LEASED: "running", RUN_SUCCEEDED: "done", RUN_FAILED: "failed", RUN_CANCELLED: "cancelled"};
const outcome = (attempt) => attempt.ended_unix_us === "0" ? "running" : attempt.exit_reason === "SUCCEEDED" ? "done"
  : ["PREEMPTED", "CANCELLED_BY_USER", "LIMIT", "STOPPED_EARLY"].includes(attempt.exit_reason) ? "cancelled" : "failed";
const ending = (attempt) => attempt.ended_unix_us === "0" ? (attempt.state === "LEASED" ? "runs" : attempt.state.toLowerCase().replace("_", " "))
  : attempt.exit_reason === "EXIT_REASON_UNSPECIFIED" ? "ended" : attempt.exit_reason;

// Runs that train no model by its loss: their points stand at steps, and these say most of them.
const kOtherStages = ["policy", "evaluate"];
const kTelling = ["s_ern", "return", "token_accuracy_h1"];

const runs = (attempt) => attempt.state === "LEASED";

// A bar an attempt, on the axis of time.
function timeline(attempts, width) {
  const now = Date.now() * 1000;
  const from = Math.min(...attempts.map((attempt) => Number(attempt.started_unix_us)));
  const to = Math.max(from + 1e6, ...attempts.map((attempt) => Number(attempt.ended_unix_us) || now));
  const left = 44, row = 24, space = Math.max(200, width) - left - 8;
  const x = (time) => left + space * (time - from) / (to - from);
  const height = attempts.length * row + 26;
  const parts = attempts.flatMap((attempt, i) => {
    const start = x(Number(attempt.started_unix_us)), end = Math.max(start + 3, x(Number(attempt.ended_unix_us) || now));
    const words = `${ending(attempt)}, ${duration(((Number(attempt.ended_unix_us) || now) - Number(attempt.started_unix_us)) / 1e6)} on ${attempt.host}, from step ${attempt.start_step}`;
    const beside = end - start < 9 * words.length;
    const inside = start > left + space / 2 && beside;
    return [
      h("svg:text", {x: 2, y: i * row + 15}, `#${attempt.attempt}`),
      h("svg:rect", {x: start, y: i * row + 4, width: end - start, height: row - 8, rx: 3, class: `fill-${outcome(attempt)}`, "fill-opacity": 0.75}, h("svg:title", {}, words)),
      h("svg:text", {x: inside ? start - 5 : beside ? end + 5 : start + 6, y: i * row + 16, "text-anchor": inside ? "end" : "start"}, words)];
  });
  for (let i = 0; i <= 4; ++i) {
    const at = left + space * i / 4;
    parts.push(h("svg:line", {x1: at, x2: at, y1: 0, y2: height - 20, class: "axis"}),
               h("svg:text", {x: at, y: height - 6, class: "axis-text", "text-anchor": i === 0 ? "start" : i === 4 ? "end" : "middle"}, i === 0 ? clock(from) : `+${duration((to - from) * i / 4 / 1e6)}`));
  }
  return h("svg", {class: "timeline", width: Math.max(200, width), height, role: "img", "aria-label": "Attempts over time"}, parts);
}

export async function show(root, signal, id) {
  document.title = `Run ${id} · Allometry`;
  const head = h("div"), attempts = h("div"), log = h("div"), holder = h("div"), pick = h("div", {class: "bar"});
  let answer = null, series = "heldout", chart = null, names = [];
  root.append(head, h("h2", {}, "Curve"), pick, holder, h("h2", {}, "Attempts"), attempts, h("h2", {}, "The end of its log"), log);

  async function readCurve() {
    const bySteps = kOtherStages.includes(answer.run.stage);
    const query = {name: answer.sweep, run: id, x: bySteps ? "steps" : "flops", log: bySteps ? 0 : 1, pixels: Math.max(200, Math.round(holder.clientWidth * devicePixelRatio))};
    const wanted = series === "heldout" ? ["heldout", "train"] : [series];
    const curves = await Promise.all(wanted.map((one) => get("curves", {...query, series: one}, signal)));
    names = curves[0].series.length ? curves[0].series : names;
    // Policies and evaluations have no held-out loss.
    if (names.length > 0 && !wanted.some((one) => names.includes(one))) {
      series = kTelling.find((one) => names.includes(one)) ?? names[0];
      chart = null;
      return readCurve();
    }
    pick.replaceChildren(h("label", {}, "Series", (() => {
      const select = h("select", {onchange: () => { series = select.value; chart = null; readCurve(); }}, names.map((one) => h("option", {value: one, selected: one === series}, one === "heldout" ? "loss (held-out and training)" : one)));
      return select;
    })()), h("span", {class: "small"}, fileLink("CSV", "curves.csv", {...query, series})));
    const lines = curves.flatMap(({curves: [curve]}, i) => curve ? [{...curve, color: i === 0 ? ramp(0.35) : ramp(0.95), width: i === 0 ? 2.2 : 1, label: wanted[i], name: wanted[i] === "heldout" ? "held-out" : wanted[i] === "train" ? "training" : ""}] : []).reverse();
    if (lines.length === 0) {
      holder.replaceChildren(note("", "No point yet."));
      chart = null;
      return;
    }
    if (!chart) {
      holder.replaceChildren();
      chart = new Chart(holder, {xLabel: bySteps ? "Step" : "Training compute C (FLOPs)", yLabel: series === "heldout" ? "Loss (nats a token)" : seriesLabel(series), xLog: !bySteps, yLog: series === "heldout", height: 340,
        describe: (line, i) => `${line.label}\n${bySteps ? `step ${line.x[i]}` : `${scientific(line.x[i], 3)} FLOPs`}   ${loss(line.y[i])}`}, signal);
    }
    chart.set(lines, {keep: true});
    root.dataset.ready = String(lines.reduce((sum, line) => sum + line.points, 0));
  }

  function draw() {
    const run = answer.run;
    const word = kWords[run.state];
    const identity = run.spec.identity;
    const batch = Number(identity.batch_tokens), steps = Number(run.spec.steps), step = Number(run.step);
    const perToken = answer.flops_convention === "exact" ? run.flops_per_token_exact : run.flops_per_token_6n;
    const [first, ...rest] = run.reason.split("\n");
    head.replaceChildren(
      h("div", {class: "title"}, h("h1", {}, `Run ${id}: ${run.size}`), state(word, run.failure !== "EXIT_REASON_UNSPECIFIED" ? ` ${run.failure}` : ""),
        h("span", {}, "of sweep ", h("a", {href: `/sweep/${encodeURIComponent(answer.sweep)}`}, answer.sweep)),
        h("span", {class: "small"}, fileLink("run.json", "run.json", {id}))),
      run.reason ? note(word === "failed" ? "bad" : word === "waiting" ? "warn" : "", first, rest.length ? h("pre", {}, rest.join("\n")) : "") : "",
      h("div", {class: "facts"},
        fact("parameters N", short(Number(run.n_params))),
        fact("updates", `${step.toLocaleString()} of ${steps.toLocaleString()}`),
        fact("tokens D", `${short(step * batch)} of ${short(steps * batch)}`),
        fact("compute C", `${scientific(steps * batch * perToken)} FLOPs`),
        fact("held-out loss", run.last_heldout_loss ? `${loss(run.last_heldout_loss)} nats` : "–"),
        fact("tokens a second", run.tokens_per_second ? short(run.tokens_per_second) : "–"),
        fact("device time", duration(run.device_seconds)),
        fact("learning rate", Number(identity.learning_rate.toPrecision(4))), fact("seed", identity.seed), fact("schedule", identity.schedule),
        fact("memory of a rank", Number(run.memory_bytes) ? `${short(Number(run.memory_bytes))}B` : "–")));
    attempts.replaceChildren(...(answer.attempts.length === 0 ? [h("p", {class: "muted"}, "It was not started yet.")] : [
      timeline(answer.attempts, attempts.clientWidth),
      h("div", {class: "scroll"}, h("table", {}, h("thead", {}, h("tr", {}, ["Attempt", "Ended", "Host and devices", "Started", "Took", "Steps", "Computed with"].map((name, i) => h("th", {scope: "col", class: i > 4 ? "wide" : ""}, name)))),
        h("tbody", {}, answer.attempts.map((attempt) => h("tr", {}, h("td", {}, attempt.attempt), h("td", {}, mark(outcome(attempt), ending(attempt))),
          h("td", {}, `${attempt.host} ${attempt.slots}`), h("td", {}, clock(attempt.started_unix_us)),
          h("td", {}, duration(((Number(attempt.ended_unix_us) || Date.now() * 1000) - Number(attempt.started_unix_us)) / 1e6)),
          h("td", {class: "wide"}, `${attempt.start_step} to ${attempt.ended_unix_us === "0" ? step : attempt.exit_step}`),
          h("td", {class: "wide"}, attempt.numerics?.device ? `${attempt.numerics.ranks} × ${attempt.numerics.device_model || attempt.numerics.device}, ${attempt.numerics.step_backend}` : "–"))))))]));
    const last = answer.attempts[answer.attempts.length - 1];
    log.replaceChildren(last?.log_tail ? h("pre", {}, last.log_tail) : last && runs(last) ? h("p", {class: "muted"}, "Its worker is asked for the end of its log.") : last?.message ? h("pre", {}, last.message) : h("p", {class: "muted"}, "Nothing: the coordinator keeps the end of a log only where an attempt failed. The whole log lies in the run's folder on its worker."),
                        last?.start_note ? note("", last.start_note) : "");
  }

  async function read() {
    answer = await get("run", {id}, signal);
    draw();
    await readCurve();
  }
  await read();
  let due = false;
  // The first answer asks the worker for the log, and a later one has it; then with each look.
  let logLooks = 0;
  const wantsLog = () => { const last = answer.attempts[answer.attempts.length - 1]; return last && runs(last) && logLooks++ % (last.log_tail ? 3 : 1) === 0; };
  const live = new LiveSweep();
  const seen = () => { const run = live.runs.get(Number(id)); return run && `${run.step} ${run.state} ${run.attempt}`; };
  let before;
  live.follow(answer.sweep, () => { const now = seen(); if (now !== before) { due = before !== undefined; before = now; } }, signal).catch(() => {});
  const timer = setInterval(() => {
    if (document.hidden || !(due || wantsLog())) return;
    due = false;
    read().catch(() => {});
  }, 2000);
  signal.addEventListener("abort", () => clearInterval(timer));
}
