"""The quickstart's grid by a nanoGPT-style loop: eager PyTorch, one process a core.

ladder_eager.py PLAN.json DATASET_DIR (cells | trunks) PROCESSES

PLAN.json is `allo plan --json` of the sweep, so both halves train the same cells. "cells" trains a
run for each cell from its first update, as a loop over configurations does; "trunks" trains the
constant part of each size once and copies it where a cell's decay begins. Longest first, whichever process is free. Less is done
than by our programs: no curves, no checkpoints, and the held-out loss only where a cell ends.
Prints a line "SIZE STEP LOSS" for each cell.
"""

import copy
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


def build(run, vocabulary):
    torch.manual_seed(run["seed"])
    model = Gpt(run["layers"], run["heads"], run["width"], CONTEXT, vocabulary)
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
        betas=(0.9, 0.95),
    )
    return model, optimizer


def update(model, optimizer, rate, random, train_data):
    for group in optimizer.param_groups:
        group["lr"] = rate
    starts = random.integers(len(train_data) - CONTEXT - 1, size=BATCH)
    loss = model(*windows(train_data, starts))
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def train(branches, train_data, heldout, vocabulary):
    """The trunk at a constant rate to each branch's start, and from there a copy that decays to
    zero; the held-out loss at each branch's end. One branch: a run of its own."""
    run = branches[0]
    rate = run["learning_rate"]
    random = np.random.default_rng(run["seed"])
    model, optimizer = build(run, vocabulary)
    at = 0
    losses = []
    for branch in branches:
        start, end = branch["from_step"], branch["steps"]
        for step in range(at + 1, start + 1):
            update(model, optimizer, rate * min(1, step / WARMUP), random, train_data)
        at = start
        own, own_optimizer = model, optimizer
        if branch is not branches[-1]:
            own, own_optimizer = build(run, vocabulary)
            own.load_state_dict(model.state_dict())
            own_optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        for step in range(start + 1, end + 1):
            decay = (end - step) / (end - start)
            update(own, own_optimizer, rate * min(1, step / WARMUP) * decay, random, train_data)
        with torch.no_grad():
            losses.append((end, own(*heldout).item()))
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
    for branches in iter(jobs.get, None):
        for step, loss in train(branches, train_data, heldout, vocabulary):
            results.put(f"{branches[0]['size']} {step} {loss:.4f}")


def main():
    plan_file, dataset, mode, processes = sys.argv[1:]
    with open(plan_file) as file:
        plan = json.load(file)
    # Every cell is the end of a branch; its trunk is no run of its own here.
    branches = sorted((run for run in plan["runs"] if run["cells"] > 0), key=lambda r: r["steps"])
    if mode == "trunks":
        sizes = {run["size"] for run in branches}
        todo = [[run for run in branches if run["size"] == size] for size in sorted(sizes)]
    else:
        todo = [[run] for run in branches]
    # FLOPs of a model as small as these are not its time: updates are.
    todo.sort(key=lambda job: -job[-1]["steps"] * job[0]["layers"])
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
