"""A trainer in NumPy: a two-layer network that learns a fixed random function. A token is an example.

What a run needs of Allometry is in the lines with `run`. Deterministic: the data of update s depend
on the seed and s alone, so a run that was stopped and resumed gives the same bits.
"""

import numpy as np

from allometry.trainer import Run

INPUTS = 16


def target(x):
    weights = np.random.default_rng(12345).normal(size=(INPUTS, 24)) / np.sqrt(INPUTS)
    return np.tanh(x @ weights).sum(axis=1, keepdims=True) + 0.3 * np.sin(3 * x[:, :1])


def examples(seed, number, count):
    x = np.random.default_rng([seed, number]).normal(size=(count, INPUTS))
    return x, target(x)


def loss_of(weights, x, y):
    hidden = np.tanh(x @ weights["a"] + weights["b"])
    return float(np.mean((hidden @ weights["c"] + weights["d"] - y) ** 2))


def update(weights, x, y, rate):
    hidden = np.tanh(x @ weights["a"] + weights["b"])
    error = (hidden @ weights["c"] + weights["d"] - y) * (2 / len(x))
    back = (error @ weights["c"].T) * (1 - hidden**2)
    gradients = {"a": x.T @ back, "b": back.sum(0), "c": hidden.T @ error, "d": error.sum(0)}
    for name, gradient in gradients.items():
        weights[name] -= rate * gradient


def main():
    run = Run.from_environment()
    width = run.args["width"]
    random = np.random.default_rng(run.seed)
    weights = {"a": random.normal(size=(INPUTS, width)) / np.sqrt(INPUTS), "b": np.zeros(width),
               "c": random.normal(size=(width, 1)) / np.sqrt(width), "d": np.zeros(1)}
    assert sum(w.size for w in weights.values()) == run.size["params"]
    if run.resume_from:
        weights = dict(np.load(run.resume_from))
    heldout = examples(2**31, 0, 512)
    for step in run.steps:
        x, y = examples(run.seed, step, run.batch_tokens)
        update(weights, x, y, run.learning_rate_at(step))
        run.log(step, train=loss_of(weights, x, y))
        if step in run.evaluation_steps:
            run.log(step, heldout=loss_of(weights, *heldout))
        stop = run.should_stop()
        if stop or run.should_checkpoint(step):
            with run.checkpoint(step, ".npz") as path, open(path, "wb") as file:
                np.savez(file, **weights)
        if stop:
            run.stop(step)
    run.finish()


main()
