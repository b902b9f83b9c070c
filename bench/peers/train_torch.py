"""The work of `athanor bench train` in PyTorch: the same sizes, tokens, block (LayerNorm, tanh-GELU, learned
positions, tied embeddings, no dropout), clipping and AdamW, float32.

    python bench/peers/train_torch.py --shape S --seconds 10 --threads 2 [--compile]

Prints one JSON object. For PyTorch's best, set MALLOC_MMAP_THRESHOLD_, MALLOC_TRIM_THRESHOLD_ and
MALLOC_TOP_PAD_ to large numbers in the environment, as bench/compare.py does.
"""

import argparse
import json
import resource
import statistics
import time

import numpy
import torch
from torch import nn
from torch.nn import functional

SHAPES = {"S": (4096, 256, 6, 4, 256, 8), "M": (8192, 512, 8, 8, 512, 4)}
BATCHES = 8


def splitmix64(x):
    with numpy.errstate(over="ignore"):
        z = x + numpy.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        return z ^ (z >> numpy.uint64(31))


def tokens(step, vocabulary, time_, batch):
    count = batch * (time_ + 1)
    first = (step % BATCHES) * count
    u = (splitmix64(numpy.arange(first, first + count, dtype=numpy.uint64)) >> numpy.uint64(11)) / 2.0**53
    rows = torch.from_numpy((vocabulary * u**3).astype(numpy.int64).reshape(batch, time_ + 1))
    return rows[:, :-1].contiguous(), rows[:, 1:].contiguous()


class Block(nn.Module):
    def __init__(self, hidden, heads):
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
        self.qkv, self.out = nn.Linear(hidden, 3 * hidden), nn.Linear(hidden, hidden)
        self.up, self.down = nn.Linear(hidden, 4 * hidden), nn.Linear(4 * hidden, hidden)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = (y.view(b, t, self.heads, -1).transpose(1, 2) for y in self.qkv(self.ln_1(x)).split(c, dim=2))
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(b, t, c))
        return x + self.down(functional.gelu(self.up(self.ln_2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, vocabulary, hidden, layers, heads, time_):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, hidden), nn.Embedding(time_, hidden)
        self.blocks = nn.ModuleList(Block(hidden, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(hidden)
        for p in self.parameters():
            if p.dim() == 2:
                nn.init.normal_(p, std=0.02)

    def forward(self, ids, targets):
        x = self.tokens(ids) + self.positions.weight[: ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        logits = self.norm(x) @ self.tokens.weight.T
        return functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="S")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    vocabulary, hidden, layers, heads, time_, batch = SHAPES[args.shape]
    model = GPT(vocabulary, hidden, layers, heads, time_)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    run = torch.compile(model) if args.compile else model
    losses, times, began = [], [], None
    while len(times) < 5 or time.perf_counter() - began < args.seconds:
        ids, targets = tokens(len(losses), vocabulary, time_, batch)
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss = run(ids, targets)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        # The first two compile and fill memory.
        if len(losses) > 2:
            times.append(time.perf_counter() - start)
        elif len(losses) == 2:
            began = time.perf_counter()
    print(
        json.dumps(
            {
                "tokens_per_second": batch * time_ / statistics.median(times),
                "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                "loss_first": losses[0],
                "loss_last": statistics.mean(losses[-BATCHES:]),
                "steps": len(losses),
                "torch": torch.__version__,
            }
        )
    )


if __name__ == "__main__":
    main()
