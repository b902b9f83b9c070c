"""Puts the table of a comparison into the READMEs, between `<!-- comparison -->` and `<!-- /comparison -->`.

    athanor compare recipes/comparison.toml
    python3 docs/refresh_comparison.py runs/comparison
"""

import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parent.parent
table = (pathlib.Path(sys.argv[1]) / "comparison.md").read_text()
for name in ["README.md", "README.zh-CN.md"]:
    path = root / name
    text, places = re.subn(
        r"(<!-- comparison -->\n).*?(<!-- /comparison -->)", lambda m: m[1] + table + m[2], path.read_text(), flags=re.S
    )
    path.write_text(text)
    print(name, places, "places")
