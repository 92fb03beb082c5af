// A sweep in the browser: as it was first sent, with every change since.
import {followSweep} from "./api.js";

function rowsOf(columns) {
  const names = Object.keys(columns);
  const rows = new Array(columns[names[0]].length);
  for (let i = 0; i < rows.length; ++i) {
    const row = {};
    for (const name of names) row[name] = columns[name][i];
    rows[i] = row;
  }
  return rows;
}

export class LiveSweep {
  runs = new Map();   // by run_id
  cells = new Map();  // by cell_id
  sweep = null;

  take(message) {
    if (message.whole) {
      this.runs.clear();
      this.cells.clear();
    }
    this.sweep = message.sweep;
    this.eta_s = message.eta_s;
    this.flops_done = message.flops_done;
    this.flops_total = message.flops_total;
    for (const run of rowsOf(message.runs)) this.runs.set(run.run_id, run);
    for (const cell of rowsOf(message.cells)) this.cells.set(cell.cell_id, cell);
  }

  // Calls changed() after the first message and then at most a few times a second. Resolves with the
  // first, rejects where there is no such sweep.
  follow(name, changed, signal) {
    let waiting = null;
    return new Promise((resolve, reject) => {
      followSweep(name, (message) => {
        const first = this.sweep === null;
        this.take(message);
        if (first) {
          resolve();
          changed();
        } else if (waiting === null) {
          waiting = setTimeout(() => { waiting = null; if (!signal.aborted) changed(); }, 300);
        }
      }, (error) => { if (this.sweep === null) reject(error); }, signal);
    });
  }
}

export const tokensOf = (run) => run.step * run.batch_tokens;
export const shareOf = (run) => run.steps > run.first_step ? Math.min(1, Math.max(0, run.step - run.first_step) / (run.steps - run.first_step)) : 1;
