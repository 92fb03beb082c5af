// The workers: what each can run, what is free, and why a host gets nothing.
import {get, getSettings, post} from "./api.js";
import {Chart, ramp} from "./chart.js";
import {h, mark, note, scientific, short} from "./dom.js";

export async function show(root, signal) {
  document.title = "Workers · Allometry";
  const {allow_changes} = await getSettings();
  const summary = h("p"), body = h("tbody"), empty = h("div"), pace = h("div"), message = h("p", {role: "status"});
  root.append(h("div", {class: "title"}, h("h1", {}, "Workers"), summary), empty, message,
    h("div", {class: "scroll"}, h("table", {}, h("thead", {}, h("tr", {}, ["Host", "State", "Slots", "Free", "Memory a slot", "Data", "Version", allow_changes ? "" : null].filter((name) => name !== null).map((name, i) => h("th", {scope: "col", class: i > 3 && name ? "wide" : ""}, name)))), body)),
    h("h2", {}, "Pace"), h("p", {class: "muted small"}, "FLOPs a second of one device, as runs of each size were seen to train since the coordinator started."), pace);
  let chart = null;

  async function drain(worker) {
    const drained = worker.drained === "";
    const reason = drained ? prompt(`Why does ${worker.host} get no new runs?`, "drained on the page") : "";
    if (reason === null) return;
    try {
      await post("drain", {host: worker.host, drained, reason});
      await read();
    } catch (error) {
      message.textContent = error.message;
    }
  }

  function row(worker) {
    const free = new Map(worker.free_slots.map((slot) => [`${slot.host} ${slot.device}`, slot]));
    const hosts = [...new Set(worker.slots.map((slot) => slot.host))];
    return h("tr", {},
      h("td", {}, hosts.length > 1 ? `${worker.host} (${hosts.length} hosts)` : worker.host),
      h("td", {class: "wrap"}, worker.drained ? mark("failed", `${worker.slots.length ? "gets no runs" : "away"}: ${worker.drained}`) : worker.free_slots.length === worker.slots.length ? mark("waiting", "idle") : mark("running", "working")),
      h("td", {}, h("div", {class: "slots", role: "img", "aria-label": `${worker.slots.length - free.size} of ${worker.slots.length} slots busy`},
        worker.slots.slice(0, 256).map((slot) => h("span", {class: `slot ${free.has(`${slot.host} ${slot.device}`) ? "free" : ""}`, title: `${slot.host} ${slot.device}: ${free.has(`${slot.host} ${slot.device}`) ? "free" : "busy"}`})))),
      h("td", {}, `${free.size} of ${worker.slots.length}`),
      h("td", {class: "wide"}, Number(worker.slots[0]?.memory_bytes) ? `${short(Number(worker.slots[0].memory_bytes))}B` : "–"),
      h("td", {class: "wide wrap"}, worker.datasets.map((dataset) => dataset.name).join(", ") || "–"),
      h("td", {class: "wide"}, worker.version),
      allow_changes && h("td", {}, h("button", {type: "button", onclick: () => drain(worker)}, worker.drained ? "Give it runs" : "Drain")));
  }

  async function read() {
    const answer = await get("workers", {}, signal);
    const slots = answer.workers.flatMap((worker) => worker.slots).length, free = answer.workers.flatMap((worker) => worker.free_slots).length;
    summary.textContent = `${answer.workers.length} connected or drained, ${slots - free} of ${slots} slots busy`;
    empty.replaceChildren(...(answer.workers.length === 0 ? [note("warn", "No worker is connected. Start one with:  allo worker --state-dir DIR --run-root DIR --data-dir DIR")] : []));
    body.replaceChildren(...answer.workers.map(row));
    const points = answer.pace.slice().sort((a, b) => a.params - b.params);
    if (points.length === 0) {
      pace.replaceChildren(h("p", {class: "muted"}, "Nothing was measured yet."));
      chart = null;
    } else {
      if (!chart) {
        pace.replaceChildren();
        chart = new Chart(pace, {xLabel: "Parameters N", yLabel: "FLOPs a second", xLog: true, yLog: true, height: 280,
          describe: (line, i) => `${short(line.x[i])} parameters: ${scientific(line.y[i], 3)} FLOPs a second`}, signal);
      }
      chart.set([{x: points.map((one) => one.params), y: points.map((one) => one.flops_per_s), color: ramp(0.4), dots: true, width: 2}], {keep: true});
    }
    root.dataset.ready = String(answer.workers.length);
  }
  await read();
  const timer = setInterval(() => { if (!document.hidden) read().catch(() => {}); }, 2000);
  signal.addEventListener("abort", () => clearInterval(timer));
}
