"""A trainer in PyTorch, after nanoGPT: a small transformer on bytes of a text that it makes itself.

    torchrun --nproc-per-node=2 nano_gpt.py      two ranks, gradients averaged over gloo
    python3 nano_gpt.py                          one

What a run needs of Allometry is in the lines with `run`.
"""

import os

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F

from allometry.trainer import Run

VOCABULARY = 32


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.heads = max(1, width // 16)
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x):
        batch, context, width = x.shape
        q, k, v = (part.view(batch, context, self.heads, -1).transpose(1, 2)
                   for part in self.attention(self.ln_1(x)).split(width, dim=2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.projection(y.transpose(1, 2).reshape(batch, context, width))
        return x + self.mlp(self.ln_2(x))


class GPT(nn.Module):
    def __init__(self, depth, width, context):
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, width)
        self.positions = nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, VOCABULARY, bias=False)

    def forward(self, ids):
        x = self.tokens(ids) + self.positions(torch.arange(ids.shape[1]))
        return self.head(self.norm(self.blocks(x)))


def sequences(seed, number, count, context):
    """Walks of a fixed random automaton with noise: every machine makes the same."""
    rules = torch.randint(VOCABULARY, (VOCABULARY, 4), generator=torch.Generator().manual_seed(7))
    generator = torch.Generator().manual_seed(seed * 1_000_003 + number)
    ids = torch.randint(VOCABULARY, (count, context + 1), generator=generator)
    choices = torch.randint(4, (count, context + 1), generator=generator)
    noise = torch.rand(count, context + 1, generator=generator) < 0.1
    for i in range(1, context + 1):
        ids[:, i] = torch.where(noise[:, i], ids[:, i], rules[ids[:, i - 1], choices[:, i]])
    return ids[:, :-1], ids[:, 1:]


def loss_of(model, ids, targets):
    return F.cross_entropy(model(ids).flatten(0, 1), targets.flatten())


def main():
    torch.set_num_threads(1)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        dist.init_process_group("gloo")
    context = 32
    run = Run.from_environment()
    torch.manual_seed(run.seed)
    model = GPT(run.args["depth"], run.args["width"], context)
    count = sum(p.numel() for p in model.parameters())
    assert count == run.size["params"], f"the model has {count} parameters"
    optimizer = torch.optim.AdamW(model.parameters(), lr=run.learning_rate, betas=(0.9, 0.95))
    if run.resume_from:
        saved = torch.load(run.resume_from)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
    per_rank = run.batch_tokens // context // run.world_size
    heldout = sequences(2**30, 0, 32, context)
    for step in run.steps:
        for group in optimizer.param_groups:
            group["lr"] = run.learning_rate_at(step)
        ids, targets = sequences(run.seed, step, per_rank * run.world_size, context)
        own = slice(run.rank * per_rank, (run.rank + 1) * per_rank)
        loss = loss_of(model, ids[own], targets[own])
        optimizer.zero_grad()
        loss.backward()
        mean = loss.detach()
        if run.world_size > 1:
            for parameter in model.parameters():
                dist.all_reduce(parameter.grad)
                parameter.grad /= run.world_size
            dist.all_reduce(mean)
            mean /= run.world_size
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        run.log(step, train=mean)
        if step in run.evaluation_steps:
            with torch.no_grad():
                run.log(step, heldout=loss_of(model, *heldout))
        stop = run.should_stop()
        if run.rank == 0 and (stop or run.should_checkpoint(step)):
            with run.checkpoint(step, ".pt") as path:
                torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, path)
        if stop:
            run.stop(step)
    run.finish()


main()
