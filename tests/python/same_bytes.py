"""The bytes that a binary trains: every stage and model family in a short form, one SHA-256 a model.

A change that should not move numbers shows the same hashes before and after:

    python3 tests/python/same_bytes.py --athanor OLD --recipes OLD_CHECKOUT/recipes --write before.json
    python3 tests/python/same_bytes.py --athanor target/release/athanor --against before.json

Hashes hold for one processor type: make both on the same machine. Needs Python's standard library only; takes
about a minute on two cores.
"""

import argparse
import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parents[2]

COMPARISON = """
[comparison]
seeds = [1]
set = ["pretrain.train.steps=6", "finetune.train.steps=4"]

[[comparison.models]]
name = "GPT"
recipe = "{recipes}/gpt.toml"

[[comparison.models]]
name = "BERT without NSP"
recipe = "{recipes}/bert.toml"
set = ["pretrain.masked_lm.input=\\"full_sentences\\""]

[[comparison.tasks]]
name = "sentiment"
recipe = "{recipes}/classify.toml"
"""


def hashes(folder):
    found = {}
    for path in sorted(folder.rglob("model/model.safetensors")):
        name = str(path.parent.parent.relative_to(folder))
        found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--athanor", required=True, type=pathlib.Path)
    parser.add_argument("--recipes", default=HERE / "recipes", type=pathlib.Path)
    parser.add_argument("--only", nargs="*", help="cases to run: demo bert xlnet electra classify tag compare")
    parser.add_argument("--write", type=pathlib.Path)
    parser.add_argument("--against", type=pathlib.Path)
    parser.add_argument("--keep", type=pathlib.Path, help="a folder for the runs, instead of a temporary one")
    options = parser.parse_args()
    athanor, recipes = options.athanor.resolve(), options.recipes.resolve()
    temporary = tempfile.TemporaryDirectory()
    folder = options.keep or pathlib.Path(temporary.name)
    folder.mkdir(parents=True, exist_ok=True)

    def run(name, *arguments):
        if options.only and name not in options.only:
            return
        started = time.time()
        done = subprocess.run([athanor, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            sys.exit(f"{name}: exit code {done.returncode}\n{done.stderr[-4000:]}")
        print(f"{name}: {time.time() - started:.1f} s", file=sys.stderr)

    run("demo", "demo", "--short", "--out", folder / "demo")
    for family in ["bert", "xlnet", "electra"]:
        run(family, "run", recipes / f"{family}.toml", "--out", folder / family, "--set", "pretrain.train.steps=8")
    for task in ["classify", "tag"]:
        model = f"finetune.model={json.dumps(str(folder / 'bert/pretrain/model'))}"
        run(task, "run", recipes / f"{task}.toml", "--out", folder / task, "--set", model, "--set", "finetune.train.steps=8")
    comparison = folder / "compare.toml"
    comparison.write_text(COMPARISON.format(recipes=recipes))
    run("compare", "compare", comparison, "--out", folder / "compare")

    found = hashes(folder)
    for name, value in found.items():
        print(f"{value}  {name}")
    if options.write:
        options.write.write_text(json.dumps(found, indent=1) + "\n")
    if options.against:
        before = json.loads(options.against.read_text())
        wrong = [n for n, h in found.items() if n not in before or before[n] != h]
        missing = [] if options.only else [n for n in before if n not in found]
        if wrong or missing:
            sys.exit(f"differ: {', '.join(wrong) or 'none'}; missing: {', '.join(missing) or 'none'}")
        print(f"all {len(found)} are the same")


if __name__ == "__main__":
    main()
