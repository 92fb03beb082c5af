// A sweep in the browser: as it was first sent, with every change since.
import {followSweep} from "./api.js";

// Every field by name: objects of one shape are made several times as fast.
const runOf = (of, i) => ({
  run_id: of.run_id[i], params: of.params[i], seed: of.seed[i], attempt: of.attempt[i], step: of.step[i], first_step: of.first_step[i],
  steps: of.steps[i], batch_tokens: of.batch_tokens[i], learning_rate: of.learning_rate[i], flops_per_token: of.flops_per_token[i],
  device_seconds: of.device_seconds[i], train_loss: of.train_loss[i], heldout_loss: of.heldout_loss[i], tokens_per_second: of.tokens_per_second[i],
  size: of.size[i], stage: of.stage[i], state: of.state[i], failure: of.failure[i], reason: of.reason[i], host: of.host[i]});
const cellOf = (of, i) => ({
  cell_id: of.cell_id[i], run_id: of.run_id[i], tokens: of.tokens[i], step: of.step[i], asked: of.asked[i], asked_flops: of.asked_flops[i],
  flops: of.flops[i], loss: of.loss[i], stage: of.stage[i]});

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
    for (let i = 0; i < message.runs.run_id.length; ++i) this.runs.set(message.runs.run_id[i], runOf(message.runs, i));
    for (let i = 0; i < message.cells.cell_id.length; ++i) this.cells.set(message.cells.cell_id[i], cellOf(message.cells, i));
  }

  // FLOPs done and to do in all.
  compute() {
    let done = 0, total = 0;
    for (const run of this.runs.values()) {
      const perStep = run.batch_tokens * run.flops_per_token;
      total += Math.max(0, run.steps - run.first_step) * perStep;
      done += Math.min(Math.max(0, run.step - run.first_step), Math.max(0, run.steps - run.first_step)) * perStep;
    }
    return {done, total};
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
