"""Athanor's pretraining once more in plain PyTorch: is the loss curve the same?

    python bench/peers/pretrain_torch.py train RUN --csv torch.csv
    python bench/peers/pretrain_torch.py compare RUN torch.csv
    python bench/peers/pretrain_torch.py check tests/fixtures/hf/llama-gqa-tied

`train` reads RUN/recipe.toml ([pretrain], [pretrain.train]), the seed in RUN/manifest.json, the
shards in RUN/corpus and the first weights in RUN/pretrain/init (a Hugging Face folder), takes the
same windows in the same order, and writes step,loss,learning_rate,grad_norm for every step.
`compare` puts that beside RUN/pretrain/metrics.jsonl: the relative difference at each 50th step,
exit 1 if any is above 1 %. `check` compares the model below with a fixture's logits and gradients.

Float32, no compilation, no dropout; the model is written out here, so that nothing but PyTorch's
own operators is between the two curves.
"""

import argparse
import csv
import json
import math
import pathlib
import sys
import time
import tomllib

import numpy
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

# ---------------------------------------------------------------------------------------- models


class RMSNorm(nn.Module):
    """y = g * x / sqrt(mean(x²) + eps) (Zhang & Sennrich 2019)."""

    def __init__(self, size, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x):
        return self.weight * (x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps))


def rotate(x, positions, theta):
    """Rotary embedding on [B, H, T, D] at positions [B, T], halves paired as transformers pairs them
    (Su et al. 2021)."""
    size = x.shape[-1]
    frequency = 1.0 / theta ** (torch.arange(0, size, 2, dtype=torch.float32, device=x.device) / size)
    angle = positions[:, None, :, None].float() * frequency
    cos, sin = torch.cat([angle.cos()] * 2, -1), torch.cat([angle.sin()] * 2, -1)
    left, right = x.chunk(2, -1)
    return x * cos + torch.cat([-right, left], -1) * sin


class LlamaLayer(nn.Module):
    def __init__(self, c):
        super().__init__()
        hidden, size = c["hidden_size"], c["head_dim"]
        self.heads, self.kv_heads, self.size, self.theta = c["heads"], c["kv_heads"], size, c["rope_theta"]
        self.input_layernorm = RMSNorm(hidden, c["eps"])
        self.post_attention_layernorm = RMSNorm(hidden, c["eps"])
        self.q_proj = nn.Linear(hidden, self.heads * size, bias=c["attention_bias"])
        self.k_proj = nn.Linear(hidden, self.kv_heads * size, bias=c["attention_bias"])
        self.v_proj = nn.Linear(hidden, self.kv_heads * size, bias=c["attention_bias"])
        self.o_proj = nn.Linear(self.heads * size, hidden, bias=c["attention_out_bias"])
        self.q_norm = RMSNorm(size, c["eps"]) if c["qk_norm"] else nn.Identity()
        self.k_norm = RMSNorm(size, c["eps"]) if c["qk_norm"] else nn.Identity()
        self.gate_proj = nn.Linear(hidden, c["intermediate_size"], bias=c["mlp_bias"])
        self.up_proj = nn.Linear(hidden, c["intermediate_size"], bias=c["mlp_bias"])
        self.down_proj = nn.Linear(c["intermediate_size"], hidden, bias=c["mlp_bias"])

    def forward(self, x, positions, mask):
        batch, steps, _ = x.shape
        h = self.input_layernorm(x)
        q = self.q_norm(self.q_proj(h).view(batch, steps, self.heads, self.size)).transpose(1, 2)
        k = self.k_norm(self.k_proj(h).view(batch, steps, self.kv_heads, self.size)).transpose(1, 2)
        v = self.v_proj(h).view(batch, steps, self.kv_heads, self.size).transpose(1, 2)
        q, k = rotate(q, positions, self.theta), rotate(k, positions, self.theta)
        repeat = self.heads // self.kv_heads
        k, v = k.repeat_interleave(repeat, 1), v.repeat_interleave(repeat, 1)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
        x = x + self.o_proj(attended.transpose(1, 2).reshape(batch, steps, -1))
        h = self.post_attention_layernorm(x)
        return x + self.down_proj(F.silu(self.gate_proj(h)) * self.up_proj(h))


class Llama(nn.Module):
    """Llama (Touvron et al. 2023); with QK norm, Qwen3."""

    def __init__(self, c):
        super().__init__()
        self.embed_tokens = nn.Embedding(c["vocab_size"], c["hidden_size"])
        self.layers = nn.ModuleList(LlamaLayer(c) for _ in range(c["layers"]))
        self.norm = RMSNorm(c["hidden_size"], c["eps"])
        self.lm_head = nn.Linear(c["hidden_size"], c["vocab_size"], bias=False)
        if c["tied"]:
            self.lm_head.weight = self.embed_tokens.weight

    def forward(self, ids, positions, mask=None):
        x = self.embed_tokens(ids)
        for layer in self.layers:
            x = layer(x, positions, mask)
        return self.lm_head(self.norm(x))

    @staticmethod
    def local_name(name):
        """Ours for the name in model.safetensors, and whether the matrix is stored transposed."""
        return name.removeprefix("model.").replace(".self_attn.", ".").replace(".mlp.", "."), False


class GPT2Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        hidden = c["hidden_size"]
        self.heads = c["heads"]
        self.ln_1 = nn.LayerNorm(hidden, c["eps"])
        self.ln_2 = nn.LayerNorm(hidden, c["eps"])
        self.attn_c_attn = nn.Linear(hidden, 3 * hidden)
        self.attn_c_proj = nn.Linear(hidden, hidden)
        self.mlp_c_fc = nn.Linear(hidden, c["intermediate_size"])
        self.mlp_c_proj = nn.Linear(c["intermediate_size"], hidden)

    def forward(self, x, mask):
        batch, steps, hidden = x.shape
        q, k, v = self.attn_c_attn(self.ln_1(x)).split(hidden, -1)
        q, k, v = (part.view(batch, steps, self.heads, hidden // self.heads).transpose(1, 2) for part in (q, k, v))
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
        x = x + self.attn_c_proj(attended.transpose(1, 2).reshape(batch, steps, hidden))
        return x + self.mlp_c_proj(F.gelu(self.mlp_c_fc(self.ln_2(x)), approximate="tanh"))


class GPT2(nn.Module):
    """GPT-2 (Radford et al. 2019). Matrices are [out, in] here; the file's are [in, out]."""

    def __init__(self, c):
        super().__init__()
        self.wte = nn.Embedding(c["vocab_size"], c["hidden_size"])
        self.wpe = nn.Embedding(c["context"], c["hidden_size"])
        self.h = nn.ModuleList(GPT2Layer(c) for _ in range(c["layers"]))
        self.ln_f = nn.LayerNorm(c["hidden_size"], c["eps"])
        self.lm_head = nn.Linear(c["hidden_size"], c["vocab_size"], bias=False)
        if c["tied"]:
            self.lm_head.weight = self.wte.weight

    def forward(self, ids, positions, mask=None):
        x = self.wte(ids) + self.wpe(positions)
        for layer in self.h:
            x = layer(x, mask)
        return self.lm_head(self.ln_f(x))

    @staticmethod
    def local_name(name):
        name = name.removeprefix("transformer.")
        transposed = name.startswith("h.") and ".ln_" not in name and name.endswith("weight")
        return name.replace(".attn.", ".attn_").replace(".mlp.", ".mlp_"), transposed


def read_config(folder):
    """The keys that the models above use, from a Hugging Face config.json."""
    c = json.loads((folder / "config.json").read_text())
    if c["model_type"] == "gpt2":
        return {
            "family": "gpt2",
            "vocab_size": c["vocab_size"],
            "hidden_size": c["n_embd"],
            "layers": c["n_layer"],
            "heads": c["n_head"],
            "intermediate_size": c.get("n_inner") or 4 * c["n_embd"],
            "context": c["n_positions"],
            "eps": c.get("layer_norm_epsilon", 1e-5),
            "tied": c.get("tie_word_embeddings", True),
        }
    if c["model_type"] not in ("llama", "qwen3"):
        sys.exit(f"{folder}/config.json: this peer knows gpt2, llama and qwen3, not {c['model_type']}")
    qwen3 = c["model_type"] == "qwen3"
    rope = c.get("rope_parameters") or c.get("rope_scaling") or {}
    if rope.get("rope_type", "default") != "default":
        sys.exit(f"{folder}/config.json: this peer knows plain rotary positions, not {rope['rope_type']}")
    return {
        "family": c["model_type"],
        "vocab_size": c["vocab_size"],
        "hidden_size": c["hidden_size"],
        "layers": c["num_hidden_layers"],
        "heads": c["num_attention_heads"],
        "kv_heads": c.get("num_key_value_heads") or c["num_attention_heads"],
        "head_dim": c.get("head_dim") or (128 if qwen3 else c["hidden_size"] // c["num_attention_heads"]),
        "intermediate_size": c["intermediate_size"],
        "context": c.get("max_position_embeddings", 2048),
        "eps": c.get("rms_norm_eps", 1e-6),
        "rope_theta": rope.get("rope_theta", c.get("rope_theta", 10000.0)),
        "attention_bias": c.get("attention_bias", False),
        "attention_out_bias": c.get("attention_bias", False),
        "mlp_bias": c.get("mlp_bias", False) and not qwen3,
        "qk_norm": qwen3,
        "tied": c.get("tie_word_embeddings", False),
    }


def load_model(folder):
    """The model with the folder's weights, and {name in model.safetensors: (parameter, transposed)}."""
    config = read_config(folder)
    model = (GPT2 if config["family"] == "gpt2" else Llama)(config)
    ours = dict(model.named_parameters())
    names = {}
    for name, array in load_file(folder / "model.safetensors").items():
        local, transposed = model.local_name(name)
        if local == "lm_head.weight" and config["tied"]:
            continue
        parameter = ours.pop(local)
        with torch.no_grad():
            parameter.copy_(array.T if transposed else array)
        names[name] = (parameter, transposed)
    if ours:
        sys.exit(f"{folder}/model.safetensors: has no {', '.join(ours)}")
    return model, config, names


# ------------------------------------------------------------------------------------------ data

MASK = (1 << 64) - 1


def splitmix64(x):
    """Steele, Lea & Flood 2014, on uint64 arrays (the finaliser, after adding the golden gamma)."""
    x = x + numpy.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    return x ^ (x >> numpy.uint64(31))


def shuffle(n, seed, epoch):
    """core/data's Shuffle: position -> index, by a sort of splitmix64(seed, epoch, index)."""
    with numpy.errstate(over="ignore"):
        start = splitmix64(splitmix64(numpy.uint64(seed & MASK)) ^ numpy.uint64(epoch))
        keys = splitmix64(start ^ numpy.arange(n, dtype=numpy.uint64))
    return numpy.argsort(keys, kind="stable")


class Windows:
    """The train split as one row of tokens: window i has the inputs from i * context on, and at each
    place the token that follows as its target."""

    def __init__(self, corpus, context, seed, document_mask):
        index = json.loads((corpus / "index.json").read_text())
        dtype = {"u16": "<u2", "u32": "<u4"}[index["dtype"]]
        shards = [shard["file"] for shard in index["shards"] if shard["split"] == "train"]
        self.tokens = numpy.concatenate([numpy.fromfile(corpus / file, dtype=dtype) for file in shards])
        self.context, self.seed = context, seed
        self.end_of_document = index["end_of_document"] if document_mask else None
        self.count = (len(self.tokens) - 1) // context
        self.epoch, self.position, self.order = -1, self.count, None

    def take(self, batch):
        """Inputs, targets and positions [B, T], and the attention mask or None for a causal one."""
        rows = []
        for _ in range(batch):
            if self.position == self.count:
                self.epoch, self.position = self.epoch + 1, 0
                self.order = shuffle(self.count, self.seed, self.epoch)
            start = int(self.order[self.position]) * self.context
            rows.append(self.tokens[start : start + self.context + 1].astype(numpy.int64))
            self.position += 1
        rows = torch.from_numpy(numpy.stack(rows))
        inputs, targets = rows[:, :-1], rows[:, 1:]
        place = torch.arange(self.context).expand(batch, -1)
        if self.end_of_document is None:
            return inputs, targets, place, None
        # The token that closes a document begins the next one, as an input.
        begins = inputs == self.end_of_document
        begins[:, 0] = True
        document = begins.cumsum(1)
        positions = place - torch.where(begins, place, 0).cummax(1).values
        causal = torch.ones(self.context, self.context, dtype=torch.bool).tril()
        mask = causal & (document[:, :, None] == document[:, None, :])
        return inputs, targets, positions, mask[:, None]


# ------------------------------------------------------------------------- optimiser and schedule


def flat(train):
    """[pretrain.train] of a run's recipe with the keys of its tables beside the others."""
    optimizer, schedule = train["optimizer"], train["schedule"]
    keys = {k: v for k, v in train.items() if not isinstance(v, dict)}
    keys |= optimizer["adamw"] | optimizer["muon"] | {"weight_decay": optimizer["weight_decay"], "optimizer": optimizer["name"]}
    keys |= schedule["wsd"] | {"schedule": schedule["name"]}
    return keys | {k: schedule[k] for k in ["warmup_steps", "final_share"]}


def learning_rate(step, t):
    """The rate of step 0, 1, … as in core/training: linear warm-up, then cosine, linear, wsd
    (warm-up, stable, decay) or constant."""
    peak, steps = t["learning_rate"], t["steps"]
    last, warmup = peak * t["final_share"], min(t["warmup_steps"], steps)
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)

    def share(start):
        return min(1.0, max(0, step - start) / max(1, steps - start - 1))

    if t["schedule"] == "cosine":
        return peak + (last - peak) * (0.5 - 0.5 * math.cos(math.pi * share(warmup)))
    if t["schedule"] == "linear":
        return peak + (last - peak) * share(warmup)
    if t["schedule"] == "wsd":
        decay = math.floor(steps * t["decay_share"] + 0.5)
        return peak + (last - peak) * share(max(steps - decay, warmup))
    if t["schedule"] == "constant":
        return peak
    sys.exit(f"recipe.toml: pretrain.train.schedule.name: this peer does not know {t['schedule']!r}")


def newton_schulz(g, steps=5, eps=1e-7):
    """The nearest orthogonal matrix, roughly: singular values drawn to 1 (Jordan et al. 2024)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g.T if g.shape[0] > g.shape[1] else g
    x = x / (x.norm() + eps)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if g.shape[0] > g.shape[1] else x


class Muon(torch.optim.Optimizer):
    """Momentum orthogonalised by Newton-Schulz, for the 2-D matrices of the layers, [out, in].

    https://kellerjordan.github.io/posts/muon/, in float32, where the original takes bfloat16. The
    update's size is Athanor's, 0.2 sqrt(max(rows, cols)) (Liu et al. 2025, eq. 4), or with scale
    "keller" the original's, sqrt(max(1, rows / cols)).
    """

    def __init__(self, parameters, momentum, weight_decay, scale):
        super().__init__(parameters, dict(lr=0.0, momentum=momentum, weight_decay=weight_decay))
        self.scale = scale

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                buffer = state.setdefault("momentum", torch.zeros_like(p))
                buffer.mul_(group["momentum"]).add_(p.grad)
                update = newton_schulz(p.grad + group["momentum"] * buffer)
                p.mul_(1.0 - group["lr"] * group["weight_decay"])
                rows, cols = p.shape
                size = max(1.0, rows / cols) ** 0.5 if self.scale == "keller" else 0.2 * max(rows, cols) ** 0.5
                p.add_(update, alpha=-group["lr"] * size)


def make_optimizers(names, t, muon_scale):
    """Decay on everything with two dimensions, embeddings too; none on norms and biases."""
    decayed, plain, hidden = [], [], []
    for name, (p, _) in names.items():
        in_layers = "layers." in name or "h." in name
        if t["optimizer"] == "muon" and p.dim() == 2 and in_layers:
            hidden.append(p)
        else:
            (decayed if p.dim() >= 2 else plain).append(p)
    groups = [{"params": decayed, "weight_decay": t["weight_decay"]}, {"params": plain, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    adam = torch.optim.AdamW(groups, lr=0.0, betas=(t["beta1"], t["beta2"]), eps=t["epsilon"])
    if t["optimizer"] == "muon":
        return [adam, Muon(hidden, t["momentum"], t["weight_decay"], muon_scale)]
    if t["optimizer"] != "adamw":
        sys.exit(f"recipe.toml: pretrain.train.optimizer.name: this peer does not know {t['optimizer']!r}")
    return [adam]


# -------------------------------------------------------------------------------------- commands


def train(arguments):
    run = arguments.run
    section = tomllib.loads((run / "recipe.toml").read_text())["pretrain"]
    t = flat(section["train"])
    if arguments.optimizer:
        t["optimizer"] = arguments.optimizer
    if t["dropout"] > 0:
        sys.exit("recipe.toml: pretrain.train.dropout: two random streams cannot agree; run with 0")
    seed = json.loads((run / "manifest.json").read_text())["seed"] if arguments.seed is None else arguments.seed
    torch.set_float32_matmul_precision("highest")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = arguments.device
    model, config, names = load_model(arguments.init or run / "pretrain" / "init")
    model.to(device).train()
    context = config["context"]
    windows = Windows(arguments.corpus or run / "corpus", context, seed, section["document_mask"])
    optimizers = make_optimizers(names, t, arguments.muon_scale)
    parameters = [p for p, _ in names.values()]
    print(
        f"{config['family']}, {sum(p.numel() for p in parameters):,} parameters, {len(windows.tokens):,} tokens, "
        f"{windows.count:,} windows of {context}, {t['steps']} steps, {torch.get_num_threads()} threads"
    )
    started = time.perf_counter()
    steps = min(t["steps"], arguments.steps or t["steps"])
    with open(arguments.csv, "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["step", "loss", "learning_rate", "grad_norm"])
        for step in range(steps):
            total = 0.0
            for _ in range(t["accumulate"]):
                inputs, targets, positions, mask = windows.take(t["batch_size"])
                mask = None if mask is None else mask.to(device)
                logits = model(inputs.to(device), positions.to(device), mask)
                loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten().to(device))
                (loss / t["accumulate"]).backward()
                total += loss.item() / t["accumulate"]
            limit = t["clip"] if t["clip"] > 0 else math.inf
            norm = torch.nn.utils.clip_grad_norm_(parameters, limit).item()
            rate = learning_rate(step, t)
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = rate
                optimizer.step()
            model.zero_grad(set_to_none=True)
            table.writerow([step + 1, f"{total:.6f}", f"{rate:.6g}", f"{norm:.6g}"])
            if (step + 1) % 50 == 0 or step == 0 or step + 1 == steps:
                file.flush()
                seen = (step + 1) * t["accumulate"] * t["batch_size"] * context
                print(f"step {step + 1}: loss {total:.4f}, {seen / (time.perf_counter() - started):,.0f} tokens/s")


def compare(arguments):
    with open(arguments.csv) as file:
        theirs = {int(row["step"]): float(row["loss"]) for row in csv.DictReader(file)}
    ours = {}
    with open(arguments.run / "pretrain" / "metrics.jsonl") as file:
        for line in file:
            try:
                metric = json.loads(line)
            except json.JSONDecodeError:
                continue  # a torn last line
            if metric.get("kind") == "train" and "loss" in metric:
                ours[metric["step"]] = metric["loss"]
    steps = [step for step in sorted(set(ours) & set(theirs)) if step % arguments.every == 0]
    if not steps:
        sys.exit(f"no step of {arguments.csv} that is a multiple of {arguments.every} is in metrics.jsonl")
    print(f"{'step':>8} {'athanor':>10} {'torch':>10} {'difference':>11}")
    worst = 0.0
    for step in steps:
        difference = abs(ours[step] - theirs[step]) / theirs[step]
        worst = max(worst, difference if math.isfinite(difference) else math.inf)
        print(f"{step:8} {ours[step]:10.5f} {theirs[step]:10.5f} {100 * difference:10.4f}%")
    good = worst <= arguments.limit
    print(f"{'same curve' if good else 'DIFFERENT'}: largest difference {100 * worst:.4f} % over {len(steps)} steps")
    sys.exit(0 if good else 1)


def check(arguments):
    """Logits and gradients of the model above against a fixture's."""
    model, _, names = load_model(arguments.fixture)
    given, expected = load_file(arguments.fixture / "in.safetensors"), load_file(arguments.fixture / "out.safetensors")
    if "attention_mask" in given or given["labels"].dim() != 2:
        sys.exit("this peer has neither padding nor a regression head: choose a plain language-model fixture")
    ids = given["input_ids"]
    logits = model(ids, torch.arange(ids.shape[1]).expand_as(ids))
    F.cross_entropy(logits[:, :-1].flatten(0, 1), given["labels"][:, 1:].flatten(), ignore_index=-100).backward()
    worst = (logits - expected["logits"]).abs().max().item()
    for name, (p, transposed) in names.items():
        gradient = p.grad.T if transposed else p.grad
        worst = max(worst, (gradient - expected[f"grad.{name}"]).abs().max().item())
    print(f"{arguments.fixture.name}: logits and gradients within {worst:.1e}")
    sys.exit(0 if worst < 1e-4 else 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("train", help="repeat a run's pretraining")
    command.add_argument("run", type=pathlib.Path)
    command.add_argument("--init", type=pathlib.Path, help="the first weights, if not RUN/pretrain/init")
    command.add_argument("--corpus", type=pathlib.Path, help="folder of shards, if not RUN/corpus")
    command.add_argument("--csv", required=True)
    command.add_argument("--steps", type=int, help="stop after so many (the schedule stays the recipe's)")
    command.add_argument("--optimizer", choices=["adamw", "muon"], help="instead of the recipe's")
    command.add_argument("--muon-scale", choices=["athanor", "keller"], default="athanor")
    command.add_argument("--seed", type=int, help="instead of RUN/manifest.json's")
    command.add_argument("--device", default="cpu")
    command.add_argument("--threads", type=int)
    command.set_defaults(call=train)
    command = commands.add_parser("compare", help="this curve and RUN/pretrain/metrics.jsonl")
    command.add_argument("run", type=pathlib.Path)
    command.add_argument("csv")
    command.add_argument("--every", type=int, default=50)
    command.add_argument("--limit", type=float, default=0.01)
    command.set_defaults(call=compare)
    command = commands.add_parser("check", help="the model here against a fixture")
    command.add_argument("fixture", type=pathlib.Path)
    command.set_defaults(call=check)
    arguments = parser.parse_args()
    arguments.call(arguments)


if __name__ == "__main__":
    main()
