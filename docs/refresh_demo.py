"""Fills the places of the READMEs and of docs/demo.md that show a demo run: between `<!-- demo:NAME -->` and `<!-- /demo -->`
each `$ athanor …` line is run anew and its output put below it. `$ athanor demo` itself is not run: its
lines come from a log of it.

    cargo run --release -- demo 2> demo.log
    python3 docs/refresh_demo.py target/release/athanor demo.log
"""

import pathlib
import re
import shlex
import subprocess
import sys

binary, log = sys.argv[1], pathlib.Path(sys.argv[2]).read_text()
root = pathlib.Path(__file__).resolve().parent.parent


def output(command):
    if command == "athanor demo":
        # Only what each stage says at its end, not the progress between.
        keep = [line for line in log.splitlines() if line and not re.search(r"\d+/\d+ |left,|\d+ steps$|: bytes|^(real|user|sys)\t", line)]
        return "\n".join(keep)
    words = shlex.split(command)
    done = subprocess.run([binary, *words[1:]], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.rstrip()


def block(match):
    commands = [line[2:] for line in match[2].splitlines() if line.startswith("$ ")]
    body = "\n".join(f"$ {c}\n{output(c)}" for c in commands)
    return f"{match[1]}```console\n{body}\n```\n{match[3]}"


pattern = re.compile(r"(<!-- demo:\w+ -->\n)```console\n(.*?)```\n(<!-- /demo -->)", re.S)
for name in ["README.md", "README.zh-CN.md", "docs/demo.md"]:
    path = root / name
    path.write_text(pattern.sub(block, path.read_text()))
    print(name, len(pattern.findall(path.read_text())), "places")
