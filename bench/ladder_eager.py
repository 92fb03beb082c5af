"""The quickstart's grid by a nanoGPT-style loop: eager PyTorch, one process a core.

ladder_eager.py PLAN.json DATASET_DIR (cells | trunks) PROCESSES

PLAN.json is `allo plan --json` of the sweep, so both halves train the same cells. "cells" trains a
run for each cell from its first update, as a loop over configurations does; "trunks" trains each
size once and evaluates where a cell ends. Longest first, whichever process is free. Less is done
than by our programs: no curves, no checkpoints, and the held-out loss only where a cell ends.
Prints a line "SIZE STEP LOSS" for each cell.
"""

import glob
import json
import multiprocessing
import os
import sys

import numpy as np
import torch

from train_eager import Gpt

CONTEXT, BATCH, WARMUP, WINDOWS = 32, 32, 50, 1024  # of sweeps/quickstart.yaml


def tokens(dataset, split):
    shards = sorted(glob.glob(os.path.join(dataset, split + "-*.npy")))
    return np.concatenate([np.load(shard, mmap_mode="r") for shard in shards])


def windows(data, starts):
    rows = torch.from_numpy(data[starts[:, None] + np.arange(CONTEXT + 1)].astype(np.int64))
    return rows[:, :-1], rows[:, 1:].contiguous()


def train(run, steps, train_data, heldout, vocabulary):
    """Trains to the last of `steps`; the held-out loss at each of them."""
    torch.manual_seed(run["seed"])
    random = np.random.default_rng(run["seed"])
    model = Gpt(run["layers"], run["heads"], run["width"], CONTEXT, vocabulary)
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
        betas=(0.9, 0.95),
    )
    losses = []
    for step in range(1, max(steps) + 1):
        for group in optimizer.param_groups:
            group["lr"] = run["learning_rate"] * min(1, step / WARMUP)
        starts = random.integers(len(train_data) - CONTEXT - 1, size=BATCH)
        loss = model(*windows(train_data, starts))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step in steps:
            with torch.no_grad():
                losses.append((step, model(*heldout).item()))
    return losses


def work(jobs, dataset, results):
    try:
        train_all(jobs, dataset, results)
    finally:
        results.put(None)


def train_all(jobs, dataset, results):
    torch.set_num_threads(1)
    with open(os.path.join(dataset, "dataset.json")) as file:
        vocabulary = json.load(file)["vocabulary"]
    train_data, heldout_data = tokens(dataset, "train"), tokens(dataset, "heldout")
    starts = np.linspace(0, len(heldout_data) - CONTEXT - 1, WINDOWS).astype(np.int64)
    heldout = windows(heldout_data, starts)
    for run, steps in iter(jobs.get, None):
        for step, loss in train(run, steps, train_data, heldout, vocabulary):
            results.put(f"{run['size']} {step} {loss:.4f}")


def main():
    plan_file, dataset, mode, processes = sys.argv[1:]
    with open(plan_file) as file:
        plan = json.load(file)
    todo = []
    for run in plan["runs"]:
        steps = sorted(c["step"] for c in plan["cells"] if c["run_id"] == run["run_id"])
        todo += [(run, steps)] if mode == "trunks" else [(run, [step]) for step in steps]
    # FLOPs of a model as small as these are not its time: updates are.
    todo.sort(key=lambda job: -max(job[1]) * job[0]["layers"])
    context = multiprocessing.get_context("spawn")
    jobs, results = context.Queue(), context.Queue()
    workers = [
        context.Process(target=work, args=(jobs, dataset, results)) for _ in range(int(processes))
    ]
    for job in todo + [None] * len(workers):
        jobs.put(job)
    for worker in workers:
        worker.start()
    left = len(workers)
    while left > 0:
        line = results.get()
        if line is None:
            left -= 1
        else:
            print(line, flush=True)
    for worker in workers:
        worker.join()
    if any(worker.exitcode != 0 for worker in workers):
        sys.exit("a process ended before its runs did")


if __name__ == "__main__":
    main()
