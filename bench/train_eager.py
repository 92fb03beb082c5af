"""The update of bench/train.cc in plain PyTorch: nanoGPT's model and loop.

    train_eager.py [--device cpu|cuda] [--precision fp32|tf32|bf16] [--compile] [--updates N]

Reads lines "layers heads width context vocabulary batch seconds" from standard input and answers
each with its tokens per second: of CPU time, on one thread, or on a GPU of wall time. As nanoGPT
does on a GPU: bf16 by autocast, the fused AdamW, batches from pinned memory, torch.compile. With
--updates it does N updates in all instead of those of some seconds: what a short run takes.
"""

import argparse
import contextlib
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    def __init__(self, heads, width):
        super().__init__()
        self.heads = heads
        self.ln_1 = nn.LayerNorm(width)
        self.c_attn = nn.Linear(width, 3 * width)
        self.c_proj = nn.Linear(width, width)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def attention(self, x):
        batch, context, width = x.shape
        q, k, v = (
            part.view(batch, context, self.heads, width // self.heads).transpose(1, 2)
            for part in self.c_attn(x).split(width, dim=2)
        )
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(y.transpose(1, 2).contiguous().view(batch, context, width))

    def forward(self, x):
        x = x + self.attention(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class Gpt(nn.Module):
    def __init__(self, layers, heads, width, context, vocabulary):
        super().__init__()
        self.wte = nn.Embedding(vocabulary, width)
        self.wpe = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(heads, width) for _ in range(layers))
        self.ln_f = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.wte.weight
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif parameter.dim() >= 2:
                residual = name.endswith(("c_proj.weight", "mlp.2.weight"))
                nn.init.normal_(parameter, std=0.02 / (2 * layers) ** 0.5 if residual else 0.02)

    def forward(self, tokens, targets):
        x = self.wte(tokens) + self.wpe(torch.arange(tokens.size(1), device=tokens.device))
        for block in self.blocks:
            x = block(x)
        logits = self.head(self.ln_f(x))
        return F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))


def tokens_per_second(options, layers, heads, width, context, vocabulary, batch, seconds):
    torch.manual_seed(1)
    on_gpu = options.device == "cuda"
    model = Gpt(layers, heads, width, context, vocabulary).to(options.device)
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
        lr=1e-4,
        betas=(0.9, 0.95),
        fused=True if on_gpu else None,
    )
    data = torch.randint(vocabulary, (8, batch, context + 1))
    forward = torch.compile(model) if options.compile else model
    autocast = (
        torch.autocast(options.device, dtype=torch.bfloat16)
        if options.precision == "bf16"
        else contextlib.nullcontext()
    )

    def batch_of(step):
        rows = data[step % 8]
        inputs, targets = rows[:, :-1], rows[:, 1:].contiguous()
        if not on_gpu:
            return inputs, targets
        return tuple(t.contiguous().pin_memory().to("cuda", non_blocking=True) for t in (inputs, targets))

    def update(step):
        inputs, targets = batch_of(step)
        with autocast:
            loss = forward(inputs, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def now():
        if not on_gpu:
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()

    if options.updates:
        for step in range(options.updates):
            update(step)
        return 0
    for step in range(10 if on_gpu else 3):
        update(step)
    start, updates, elapsed = now(), 0, 0.0
    while elapsed < seconds:
        for _ in range(10 if on_gpu else 1):
            update(updates)
            updates += 1
        elapsed = now() - start
    return updates * batch * context / elapsed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", choices=["fp32", "tf32", "bf16"], default="fp32")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--updates", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.backends.cuda.matmul.allow_tf32 = options.precision != "fp32"
    for line in sys.stdin:
        *sizes, seconds = line.split()
        speed = tokens_per_second(options, *map(int, sizes), float(seconds))
        print(f"{speed:.0f}", flush=True)


if __name__ == "__main__":
    main()
