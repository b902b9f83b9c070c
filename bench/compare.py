"""Athanor's training step against PyTorch's, and its writing against transformers' and llama.cpp's, in turn on the
same machine; writes bench/RESULTS.md.

    cargo build --release
    .venv/bin/python bench/compare.py [--rounds 3] [--seconds 10] [--threads 2] [--shapes S M encoder xlnet decode]

PyTorch runs eager and compiled, with malloc set to keep its memory; the better of the two is its figure, the
lesser of the two its memory. llama.cpp is measured where --llama names a Python that has llama-cpp-python. Each round's figures go to bench/rounds.jsonl (ignored by git). A shape that is not
asked for keeps what it has there, and with --add those that are asked for do, too: long comparisons can be made
in pieces. --out writes to another file, as for another machine, with its rounds beside it (.jsonl).
"""

import argparse
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

from time_to_quality import SECTION

ROOT = pathlib.Path(__file__).resolve().parent.parent
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "4294967296", "MALLOC_TOP_PAD_": "268435456"}
SHAPES = {
    "S": "GPT-2's block, 6 layers of 256, 8 rows of 256, vocabulary 4,096",
    "M": "GPT-2's block, 8 layers of 512, 4 rows of 512, vocabulary 8,192",
    "encoder": "BERT, 4 layers of 512, 16 rows of 32 to 128 padded to 128, vocabulary 30,522, masked LM",
    "xlnet": "XLNet, 4 layers of 512, 16 rows of 128, vocabulary 30,522, permutation LM, two streams",
}
BATCHES = ["decode batch 1", "decode batch 8", "decode batch 32"]
INT8 = ["decode int8 batch 1", "decode int8 batch 8", "decode int8 batch 32"]


def busy():
    """Processor seconds that were not idle since the system began."""
    user, nice, system, _, _, *rest = map(int, open("/proc/stat").readline().split()[1:9])
    return (user + nice + system + sum(rest)) / os.sysconf("SC_CLK_TCK")


def run(command, **environment):
    """The lines that a program prints, each with `others`: the share of all processors that other programs took."""
    before, began = (busy(), sum(os.times()[2:4])), time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}:\n{done.stderr[-2000:]}")
    took = busy() - before[0] - (sum(os.times()[2:4]) - before[1])
    others = max(0.0, took / (time.perf_counter() - began) / os.cpu_count())
    return [{**json.loads(line), "others": round(others, 3)} for line in done.stdout.splitlines()]


def compare(shape, args):
    """One line of ROUNDS for each round."""
    common = ["--shape", shape, "--seconds", str(args.seconds), "--threads", str(args.threads)]
    peer = [sys.executable, ROOT / "bench/peers/train_torch.py", *common]
    ways = {"eager": [], "compiled": ["--compile"]}
    if shape == "encoder":
        ways |= {"eager, targets": ["--rows"], "compiled, targets": ["--rows", "--compile"]}
    for _ in range(args.rounds):
        ours = [ROOT / "target/release/athanor", "bench", "train", "--json", *common]
        found = {"athanor": run(ours)[-1]}
        if shape in ["S", "M"]:
            ours[ours.index(shape)] = f"{shape}-recompute"
            found["recompute"] = run(ours)[-1]
        for name, extra in ways.items():
            found[name] = run([*peer, *extra], **MALLOC)[-1]
        keep(shape, found, args)


def compare_decode(args):
    """The same for writing text, a line for each batch."""
    common = ["--seconds", str(3 * args.seconds), "--threads", str(args.threads)]
    ways = {
        "athanor": [ROOT / "target/release/athanor", "bench", "decode", "--json"],
        "transformers": [sys.executable, ROOT / "bench/peers/decode_transformers.py"],
    }
    if args.llama:
        ways["llama.cpp"] = [args.llama, ROOT / "bench/peers/decode_llama_cpp.py"]
        ways["llama.cpp Q8_0"] = [args.llama, ROOT / "bench/peers/decode_llama_cpp.py", "--type", "q8_0"]
    for _ in range(args.rounds):
        found = {name: {line["name"]: line for line in run([*way, *common])} for name, way in ways.items()}
        for batch in BATCHES:
            keep(batch, {name: lines[batch] for name, lines in found.items() if batch in lines}, args)
        # Others than llama.cpp write with f32 only: int8 against that.
        for int8, batch in zip(INT8, BATCHES):
            lines = {"athanor": found["athanor"][int8], "transformers": found["transformers"][batch]}
            if args.llama:
                lines["llama.cpp"] = found["llama.cpp Q8_0"][int8]
            keep(int8, lines, args)


def keep(shape, found, args):
    print(shape, {n: (round(r["tokens_per_second"]), r["others"]) for n, r in found.items()}, flush=True)
    if max(r["others"] for r in found.values()) > args.others:
        print("other programs took too much: round thrown away", flush=True)
        return
    with open(ROUNDS, "a") as file:
        line = {"shape": shape, "seconds": args.seconds, "threads": args.threads, "found": found}
        file.write(json.dumps(line) + "\n")


def row(shape, label, rounds, ways, us="athanor"):
    """A line of the table: ours against the better of `ways`, round by round."""
    rate = {n: statistics.median(r[n]["tokens_per_second"] for r in rounds) for n in [us, *ways]}
    memory = {n: statistics.median(r[n]["peak_memory_bytes"] for r in rounds) / 1e9 for n in [us, *ways]}
    pairs = [r[us]["tokens_per_second"] / max(r[w]["tokens_per_second"] for w in ways) for r in rounds]
    least = min(memory[w] for w in ways)
    eager, compiled = (rate[w] for w in ways)
    return (
        f"| {shape}{label} | {rate[us]:,.0f} | {eager:,.0f} | {compiled:,.0f} | {statistics.median(pairs):.2f} "
        f"({min(pairs):.2f} to {max(pairs):.2f}) | {memory[us]:.2f} | {least:.2f} | {memory[us] / least:.2f} |"
    )


def decode_row(batch, rounds):
    """A line of the table of writing: ours, and against each of the others, round by round."""
    rates = lambda name: [r[name]["tokens_per_second"] for r in rounds if name in r]
    cells = [f"{batch.removeprefix('decode ')} | {statistics.median(rates('athanor')):,.0f}"]
    for peer in ["transformers", "llama.cpp"]:
        pairs = [r["athanor"]["tokens_per_second"] / r[peer]["tokens_per_second"] for r in rounds if peer in r]
        if pairs:
            ratio = f"{statistics.median(pairs):.2f} ({min(pairs):.2f} to {max(pairs):.2f})"
            cells.append(f"{statistics.median(rates(peer)):,.0f} | {ratio}")
        else:
            cells.append("not measured | ")
    return f"| {' | '.join(cells)} |"


def write():
    by_shape, last, settings = {}, {}, {}
    for line in map(json.loads, ROUNDS.read_text().splitlines()):
        by_shape.setdefault(line["shape"], []).append(line["found"])
        last, settings = line["found"], line
    versions = {}
    for result in (r for rounds in by_shape.values() for found in rounds for r in found.values()):
        versions |= {name: result[name] for name in ["torch", "transformers", "llama_cpp"] if name in result}
    lines = []
    decode = [decode_row(batch, by_shape[batch]) for batch in [*BATCHES, *INT8] if batch in by_shape]
    writing = f"""
## Writing text (greedy, keys and values cached)

A llama of 30 million parameters: 8 layers of 512, vocabulary 8,192, prompts of 32 tokens, 96 new ones, the
prompts' reading included. Lines with int8 are `--weights int8` and its cache in bf16, against transformers in f32 and
llama.cpp with weights in Q8_0 and its cache in f16.

| | Athanor tokens/s | transformers | ratio | llama.cpp | ratio |
|---|---|---|---|---|---|
{chr(10).join(decode)}
""" if decode else ""
    for shape in (s for s in SHAPES if s in by_shape):
        rounds = by_shape[shape]
        lines.append(row(shape, "", rounds, ["eager", "compiled"]))
        if shape in ["S", "M"]:
            lines.append(row(shape, ", `train.recompute`", rounds, ["eager", "compiled"], "recompute"))
        if shape == "encoder":
            lines.append(row(shape, ", PyTorch with the targets' logits only", rounds, ["eager, targets", "compiled, targets"]))
    others = max(r["others"] for rounds in by_shape.values() for found in rounds for r in found.values())
    counts = ", ".join(f"{shape} {len(by_shape[shape])}" for shape in by_shape)
    losses = "\n".join(
        f"| {shape} | {SHAPES[shape]} | "
        + " | ".join(f"{r[w]['loss_first']:.3f} → {r[w]['loss_last']:.3f} ({r[w]['steps']})" for w in ["athanor", "eager"])
        + " |"
        for shape, r in ((s, by_shape[s][-1]) for s in SHAPES if s in by_shape)
    )
    ours = last["athanor"]
    text = f"""# Results

Written by `bench/compare.py`; do not edit. {datetime.date.today()}, {ours['processor']}, {settings['threads']} threads, {', '.join(f'{name} {version}' for name, version in versions.items())}.
Multiply-add peak {ours['peak_flops_per_second'] / 1e9:.0f} GFLOP/s, copies {ours['copy_bytes_per_second'] / 1e9:.0f} GB/s. Medians of rounds of
{settings['seconds']:g} s ({counts}), in turn, while other programs took at most {100 * others:.0f} % of the
processors; the ratio is that to the better of PyTorch's two, round by round. Memory is the most that a process
held: Python's with its libraries, ours without the arrays that the bandwidth was measured with.

## Training step (forward, backward, clipping, AdamW; f32, no dropout)

Tokens are those that are not padding.

| shape | Athanor tokens/s | PyTorch eager | PyTorch compiled | ratio | Athanor GB | PyTorch GB (the lesser) | ratio |
|---|---|---|---|---|---|---|---|
{chr(10).join(lines)}

BertForMaskedLM computes logits at every place; the second line of the encoder is PyTorch with those of the
targets only, written by hand. Athanor always does that, and computes nothing at padding, which PyTorch does
in both lines. XLNetLMHeadModel computes the targets' logits only; its rows have no padding.

| shape | what it is | Athanor's loss, first → last (steps) | PyTorch's |
|---|---|---|---|
{losses}

Weights are random and not the same on both sides, batches are; PyTorch makes fewer steps in the same time.
{writing}"""
    # What bench/time_to_quality.py wrote there stays.
    kept = SECTION.search(RESULTS.read_text() if RESULTS.exists() else "")
    text += kept[0] if kept else ""
    RESULTS.write_text(text)
    print(text)


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--seconds", type=float, default=10)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--shapes", nargs="+", default=[*SHAPES, "decode"], choices=[*SHAPES, "decode"])
parser.add_argument("--others", type=float, default=0.05, help="share of the processors that other programs may take")
parser.add_argument("--llama", help="a Python that has llama-cpp-python and gguf")
parser.add_argument("--add", action="store_true", help="keep earlier rounds of these shapes")
parser.add_argument("--out", type=pathlib.Path, default=ROOT / "bench/RESULTS.md")
args = parser.parse_args()
RESULTS = args.out
ROUNDS = ROOT / "bench/rounds.jsonl" if args.out == parser.get_default("out") else args.out.with_suffix(".jsonl")
if ROUNDS.exists() and not args.add:
    # A shape that is measured anew loses its old rounds.
    anew = [*args.shapes, *([*BATCHES, *INT8] if "decode" in args.shapes else [])]
    old = [line for line in ROUNDS.read_text().splitlines() if json.loads(line)["shape"] not in anew]
    ROUNDS.write_text("".join(line + "\n" for line in old))
for shape in args.shapes:
    compare_decode(args) if shape == "decode" else compare(shape, args)
if ROUNDS.exists() and ROUNDS.read_text():
    write()
