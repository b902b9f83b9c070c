"""Puts what `athanor compare` found of time to quality into bench/RESULTS.md.

    athanor compare recipes/time-to-quality.toml --set comparison.folder=FOLDER
    python3 bench/time_to_quality.py runs/time-to-quality

Hours for one seed, so seeds may come from several machines: each stays in bench/time_to_quality.jsonl, a line a
seed with every model's held-out losses, until it is measured anew. A seed's models ran on one machine; their time
is their steps times their median step.
"""

import argparse
import datetime
import json
import pathlib
import re
import statistics
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
KEPT = ROOT / "bench/time_to_quality.jsonl"
RESULTS = ROOT / "bench/RESULTS.md"
SECTION = re.compile(r"\n## Time to quality\n.*?(?=\n## |\Z)", flags=re.S)


def processor():
    info = pathlib.Path("/proc/cpuinfo").read_text()
    names = re.findall(r"^model name\s*: (.+)$", info, flags=re.M)
    wide = "AVX-512" if "avx512f" in info else "AVX2" if "avx2" in info else "portable code"
    return f"{names[0] if names else 'unknown'} with {wide}"


def first_no_worse(curve, aim):
    """The seconds and steps of the first evaluation with at most this loss."""
    return next(((seconds, step) for seconds, loss, step in curve if loss <= aim), (None, None))


def lines_of(run):
    """A line for each seed that the yardstick and another model have."""
    try:
        found = json.loads((run / "comparison.json").read_text())
    except (OSError, ValueError) as error:
        sys.exit(f"{run}/comparison.json: {error}; name the folder of an `athanor compare` that has ended")
    by_name = {model["name"]: model for model in found["models"]}
    if found.get("reach") not in by_name:
        sys.exit(f"{run}/comparison.json: no `reach`; run a comparison with `comparison.reach`, as recipes/time-to-quality.toml")
    for i, seed in enumerate(found["seeds"]):
        curves = {name: model["curves"][i] for name, model in by_name.items() if i < len(model["curves"])}
        yield {
            "seed": seed,
            "date": str(datetime.date.today()),
            "processor": processor(),
            "reach": found["reach"],
            "tokens": {name: by_name[name]["tokens"]["values"][i] for name in curves},
            "curves": curves,
        }


def section(kept):
    rows, shares = [], {}
    for line in kept:
        aim_seconds, aim, aim_steps = line["curves"][line["reach"]][-1]
        rows.append(
            f"| {line['seed']} | {line['processor']}, {line['date']} | {line['reach']} | {aim:.3f} | {aim_steps:,.0f} | "
            f"{aim_seconds / 60:.1f} | 1 |"
        )
        for name, curve in line["curves"].items():
            if name == line["reach"]:
                continue
            seconds, steps = first_no_worse(curve, aim)
            if seconds is None:
                rows.append(f"| | | {name} | {curve[-1][1]:.3f} | not reached | | |")
                continue
            shares.setdefault(name, []).append(seconds / aim_seconds)
            rows.append(f"| | | {name} | {curve[-1][1]:.3f} | {steps:,.0f} | {seconds / 60:.1f} | {seconds / aim_seconds:.2f} |")
    means = "; ".join(
        f"{name}: {statistics.mean(all_of):.2f} ({min(all_of):.2f} to {max(all_of):.2f}, {len(all_of)} of {len(kept)} seeds)"
        for name, all_of in shares.items()
    )
    return f"""
## Time to quality

recipes/time-to-quality.toml: until the held-out loss is that of the first model's end. Written by
`bench/time_to_quality.py`. Share of its time: {means or 'none came so far'}.

| seed | where, when | model | last held-out loss | steps until then | minutes | share |
|---|---|---|---|---|---|---|
{chr(10).join(rows)}

Minutes are steps times the run's median step; evaluations and interruptions are not in them.
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=pathlib.Path, help="the comparison's folder; this must be the machine it ran on")
    new = {line["seed"]: line for line in lines_of(parser.parse_args().run)}
    old = [json.loads(line) for line in KEPT.read_text().splitlines()] if KEPT.exists() else []
    kept = sorted([line for line in old if line["seed"] not in new] + list(new.values()), key=lambda line: line["seed"])
    KEPT.write_text("".join(json.dumps(line) + "\n" for line in kept))
    text = RESULTS.read_text()
    RESULTS.write_text(SECTION.sub("", text).rstrip("\n") + "\n" + section(kept))
    print(section(kept))


if __name__ == "__main__":
    main()
