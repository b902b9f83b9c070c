"""Athanor's training step against PyTorch's, in turn on the same machine; writes bench/RESULTS.md.

    cargo build --release
    .venv/bin/python bench/compare.py [--rounds 3] [--seconds 10] [--threads 2] [--shapes S M]

PyTorch runs eager and compiled, with malloc told to keep its memory; the better of the two is its figure.
"""

import argparse
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "4294967296", "MALLOC_TOP_PAD_": "268435456"}


def run(command, **environment):
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--seconds", type=float, default=10)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--shapes", nargs="+", default=["S", "M"])
args = parser.parse_args()
common = ["--seconds", str(args.seconds), "--threads", str(args.threads)]
peer = [sys.executable, ROOT / "bench/peers/train_torch.py"]
lines, last, version = [], {}, ""
for shape in args.shapes:
    found = {"athanor": [], "eager": [], "compile": []}
    for _ in range(args.rounds):
        last = run([ROOT / "target/release/athanor", "bench", "train", "--shape", shape, "--json", *common])
        found["athanor"].append(last)
        found["eager"].append(run([*peer, "--shape", shape, *common], **MALLOC))
        found["compile"].append(run([*peer, "--shape", shape, "--compile", *common], **MALLOC))
        version = found["eager"][-1]["torch"]
        print(shape, {name: round(rows[-1]["tokens_per_second"]) for name, rows in found.items()}, flush=True)
    rate = {n: statistics.median(r["tokens_per_second"] for r in rows) for n, rows in found.items()}
    memory = {n: statistics.median(r["peak_memory_bytes"] for r in rows) / 1e9 for n, rows in found.items()}
    pairs = [
        a["tokens_per_second"] / max(e["tokens_per_second"], c["tokens_per_second"])
        for a, e, c in zip(found["athanor"], found["eager"], found["compile"])
    ]
    least = min(memory["eager"], memory["compile"])
    lines.append(
        f"| {shape} | {rate['athanor']:,.0f} | {rate['eager']:,.0f} | {rate['compile']:,.0f} | {statistics.median(pairs):.2f} "
        f"({min(pairs):.2f} to {max(pairs):.2f}) | {memory['athanor']:.2f} | {least:.2f} | {memory['athanor'] / least:.2f} |"
    )
text = f"""# Results

Written by `bench/compare.py`; do not edit. {datetime.date.today()}, {last['processor']}, {args.threads} threads, torch {version}.
Multiply-add peak {last['peak_flops_per_second'] / 1e9:.0f} GFLOP/s, copies {last['copy_bytes_per_second'] / 1e9:.0f} GB/s. Medians of {args.rounds} rounds of
{args.seconds:g} s, in turn; the ratio is that to the better of PyTorch's two, round by round.

## Training step (GPT-2's block, f32, AdamW)

| shape | Athanor tokens/s | PyTorch eager | PyTorch compiled | ratio | Athanor GB | PyTorch GB (the lesser) | ratio |
|---|---|---|---|---|---|---|---|
"""
(ROOT / "bench/RESULTS.md").write_text(text + "\n".join(lines) + "\n")
print((ROOT / "bench/RESULTS.md").read_text())
