"""Puts the table of a comparison into docs/experiments, between `<!-- NAME -->` and `<!-- /NAME -->`; NAME is the folder's.

    athanor compare recipes/comparison.toml
    python3 docs/refresh_comparison.py runs/comparison
    athanor compare recipes/cleaning.toml --set comparison.folder=FOLDER
    python3 docs/refresh_comparison.py runs/cleaning
"""

import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parent.parent
run = pathlib.Path(sys.argv[1]).resolve()
table = (run / "comparison.md").read_text()
between = re.compile(rf"(<!-- {run.name} -->\n).*?(<!-- /{run.name} -->)", flags=re.S)
for path in sorted((root / "docs/experiments").glob("*.md")):
    text, places = between.subn(lambda m: m[1] + table + m[2], path.read_text())
    path.write_text(text)
    print(path.relative_to(root), places, "places")
