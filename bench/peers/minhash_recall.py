"""Of the pairs that exact comparison finds to be similar, how many does the step `minhash` put together?

    python bench/peers/minhash_recall.py docs.jsonl --athanor target/release/athanor [--perturb N]

Takes documents, adds N that are others with a share of their words changed (0 to 9 %, by a seeded
generator), computes the Jaccard similarity of all pairs' sets of 5-word shingles (as the step defines words:
lower case, digits as 0, no punctuation, an ideograph a word) through an inverted index, and asks the binary which documents it
drops. A pair above the threshold counts as found if the two are in one component: here, if at most one of
the two is kept, which is what the user sees. Prints recall by similarity.
"""

import argparse
import collections
import json
import os
import pathlib
import random
import re
import subprocess
import tempfile
import unicodedata

parser = argparse.ArgumentParser()
parser.add_argument("docs")
parser.add_argument("--athanor", required=True)
parser.add_argument("--perturb", type=int, default=3000)
parser.add_argument("--most", type=int, default=10**9)
parser.add_argument("--words", type=int, default=30, help="leave out shorter documents")
parser.add_argument("--threshold", type=float, default=0.85)
args = parser.parse_args()

docs = [json.loads(line)["text"] for line in open(args.docs)][: args.most]
IDEOGRAPH = re.compile("([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af])")


def normal(text):
    """The step's words: datatrove's normalisation, an ideograph a word."""
    text = "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn")
    text = re.sub(r"\d+", "0", text.lower())
    return IDEOGRAPH.sub(r" \1 ", re.sub(r"[^\w]|_", " ", text)).split()


docs = [d for d in docs if len(normal(d)) >= args.words]
own = len(docs)
rng = random.Random(7)
vocabulary = [w for d in docs[:500] for w in d.split(" ")]
for n in range(args.perturb):
    words = rng.choice(docs[: len(docs) - n]).split(" ")
    share = rng.random() * 0.09
    docs.append(" ".join(rng.choice(vocabulary) if rng.random() < share else w for w in words))

sets = []
index = collections.defaultdict(list)
for n, text in enumerate(docs):
    words = normal(text)
    sets.append(frozenset(hash(tuple(words[i : i + 5])) for i in range(max(1, len(words) - 4))))
# Prefix filtering: two sets with a similarity of t share one of their (1 - t)·n + 1 rarest elements.
frequency = collections.Counter(s for shingles in sets for s in shingles)
pairs = {}
for n, shingles in enumerate(sets):
    rare = sorted(shingles, key=lambda s: (frequency[s], s))
    seen = set()
    for s in rare[: int((1 - args.threshold) * len(rare)) + 1]:
        for m in index[s]:
            if m not in seen:
                seen.add(m)
                both = len(shingles & sets[m])
                jaccard = both / (len(shingles) + len(sets[m]) - both)
                if jaccard > args.threshold:
                    pairs[m, n] = jaccard
        index[s].append(n)

with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "docs.jsonl"
    with open(path, "w") as out:
        for n, text in enumerate(docs):
            out.write(json.dumps({"id": str(n), "text": text}) + "\n")
    recipe = pathlib.Path(folder) / "recipe.toml"
    recipe.write_text(
        f"[run]\nname = \"peer\"\n[corpus]\nsteps = [\"minhash\"]\nheldout_per_thousand = 0\nwrite_texts = true\n"
        f"[corpus.tokenizer]\nvocab_size = 262\nmax_bytes = 1000000\n[[corpus.sources]]\nname = \"docs\"\npath = {json.dumps(str(path))}\n"
    )
    run = os.path.join(folder, "run")
    subprocess.run([args.athanor, "corpus", str(recipe), "--out", run], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    kept = {int(json.loads(line)["id"]) for line in open(os.path.join(run, "corpus", "texts.jsonl"))}
    account = json.load(open(os.path.join(run, "corpus", "account.json")))

# Natural pairs alone, and all.
for what, most in [("as they came", own), ("with the changed ones", len(docs))]:
    found = collections.Counter()
    all_of = collections.Counter()
    for (a, b), jaccard in pairs.items():
        if max(a, b) < most:
            bin = min(int(jaccard * 20), 19) if jaccard < 1 else 20
            all_of[bin] += 1
            found[bin] += not (a in kept and b in kept)
    for bin in sorted(all_of):
        print(f"Jaccard from {bin / 20:.2f}: {found[bin]} of {all_of[bin]} pairs")
    total = sum(all_of.values())
    print(f"{most} documents {what}, {total} pairs above {args.threshold}: recall {sum(found.values()) / max(total, 1):.4f}")
print(account["steps"][0]["notes"]["clusters"], "components,", len(docs) - len(kept), "documents dropped")
