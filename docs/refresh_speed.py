"""Puts the ratios of bench/RESULTS.md, and of bench/RESULTS-AVX2.md if there is one, into docs/speed.md, between
`<!-- speed -->` and `<!-- /speed -->`. app/cli/tests/documents.rs compares the table with those files.

    python3 bench/compare.py
    python3 docs/refresh_speed.py
"""

import pathlib
import re

root = pathlib.Path(__file__).resolve().parent.parent
# Rows of the tables in RESULTS.md, and what docs/speed.md calls them.
ROWS = {
    "S": "GPT-2 of 5.9 M parameters, training step",
    "M": "GPT-2 of 29.7 M",
    "M, `train.recompute`": "the same, `train.recompute`",
    "encoder, PyTorch with the targets' logits only": "BERT of 28.6 M, rows of 32 to 128",
    "xlnet": "XLNet of 29.3 M, two streams",
    "batch 1": "writing, a llama of 29.9 M, 1 text",
    "batch 8": "8 texts",
    "batch 32": "32 texts",
    "int8 batch 1": "`--weights int8`, 1 text",
    "int8 batch 8": "8 texts",
    "int8 batch 32": "32 texts",
}
HEADS = ("tokens/s", "times PyTorch's", "memory")


def rows_of(text):
    """Speed, ratio of speeds and ratio of memories by row; writing has no memory."""
    found = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] in ROWS and len(cells) in (6, 8):
            ratio = cells[4 if len(cells) == 8 else 3].split(" ")[0]
            found.setdefault(cells[0], (cells[1], ratio, cells[7] if len(cells) == 8 else ""))
    return found


tables = []
for name in ["RESULTS.md", "RESULTS-AVX2.md"]:
    path = root / "bench" / name
    if path.exists():
        text = path.read_text()
        date, processor = re.search(r"do not edit\. (\S+), (.+?), \d+ threads", text).groups()
        peak = re.search(r"Multiply-add peak (\d+) GFLOP/s", text)[1]
        tables.append((f"[{processor}, {peak} GFLOP/s, {date}](../bench/{name})", rows_of(text)))

lines = ["| |" + "".join(f" {where}: {HEADS[0]} | {HEADS[1]} | {HEADS[2]} |" for where, _ in tables)]
lines.append("|---|" + "---:|---:|---:|" * len(tables))
for row, label in ROWS.items():
    if any(row in found for _, found in tables):
        cells = [cell for _, found in tables for cell in found.get(row, ("", "", ""))]
        lines.append(f"| {label} | {' | '.join(cells)} |")
path = root / "docs/speed.md"
text, places = re.subn(
    r"(<!-- speed -->\n).*?(<!-- /speed -->)", lambda m: m[1] + "\n".join(lines) + "\n" + m[2], path.read_text(), flags=re.S
)
path.write_text(text)
print("docs/speed.md", places, "places")
