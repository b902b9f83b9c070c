"""The work of `athanor bench train` in PyTorch: the same sizes, tokens, block (LayerNorm, tanh-GELU, learned
positions, tied embeddings, no dropout), clipping and AdamW, float32. The shapes encoder and xlnet are
transformers' own classes (train_transformers.py). Tokens are those that are not padding.

    python bench/peers/train_torch.py --shape S --seconds 10 --threads 2 [--compile] [--rows]

Prints one JSON object. For PyTorch's best, set MALLOC_MMAP_THRESHOLD_, MALLOC_TRIM_THRESHOLD_ and
MALLOC_TOP_PAD_ to large numbers in the environment, as bench/compare.py does.
"""

import argparse
import json
import resource
import statistics
import time

import torch
from synthetic import token
from torch import nn
from torch.nn import functional

SHAPES = {"S": (4096, 256, 6, 4, 256, 8), "M": (8192, 512, 8, 8, 512, 4)}
BATCHES = 8


def tokens(step, vocabulary, time_, batch):
    count = batch * (time_ + 1)
    rows = torch.from_numpy(token((step % BATCHES) * count, count, vocabulary).reshape(batch, time_ + 1))
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


class Causal:
    """The block above, next tokens."""

    def __init__(self, shape):
        self.sizes = SHAPES[shape]
        self.model = GPT(*self.sizes[:5])

    def batch(self, step):
        vocabulary, _, _, _, time_, batch = self.sizes
        return tokens(step, vocabulary, time_, batch), batch * time_

    def loss(self, model, batch):
        return model(*batch)


def work(shape, rows):
    if shape in SHAPES:
        return Causal(shape)
    # Slow to import: only where it is needed.
    import train_transformers

    return {"encoder": train_transformers.Encoder, "xlnet": train_transformers.XLNet}[shape](rows)


def describe(batch, count):
    """What app/bench/src/train/mod.rs checks of its second batch."""
    labels = batch["labels"].flatten()
    places = (labels != -100).nonzero().squeeze(1)
    sums = [count, len(places), batch["input_ids"].sum(), labels[places].sum(), places.sum()]
    print(*map(int, sums), batch.get("perm_mask", torch.zeros(1)).sum().item())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=[*SHAPES, "encoder", "xlnet"], default="S")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--rows", action="store_true", help="encoder: logits of the targets only")
    parser.add_argument("--foreach", action="store_true", help="AdamW's foreach instead of its fused form")
    parser.add_argument("--describe", action="store_true", help="sums over the second batch, and no more")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    task = work(args.shape, args.rows)
    if args.describe:
        return describe(*task.batch(1))
    model = task.model
    kind = {"foreach": True} if args.foreach else {"fused": True}
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, betas=(0.9, 0.95), weight_decay=0.1, **kind)
    forward = torch.compile(task.loss) if args.compile else task.loss
    losses, times, began = [], [], None
    while len(times) < 5 or time.perf_counter() - began < args.seconds:
        batch, count = task.batch(len(losses) % BATCHES)
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss = forward(model, batch)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        # The first two compile and fill memory.
        if len(losses) > 2:
            times.append((time.perf_counter() - start) / count)
        elif len(losses) == 2:
            began = time.perf_counter()
    print(
        json.dumps(
            {
                "tokens_per_second": 1 / statistics.median(times),
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
