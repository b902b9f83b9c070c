"""Holds the filters against datatrove's: the same documents, the same rules, who keeps what.

    python bench/peers/datatrove_filters.py prepare --jsonl FILE:FIELD:CHARACTERS ... --folder DIR ... --out docs.jsonl
    python bench/peers/datatrove_filters.py judge docs.jsonl answers.jsonl
    python bench/peers/datatrove_filters.py compare docs.jsonl answers.jsonl --athanor target/release/athanor [--json out.json]
    python bench/peers/datatrove_filters.py time docs.jsonl --athanor target/release/athanor

`prepare` cuts long texts at empty lines into pieces of about CHARACTERS (0: whole) and keeps `--most` of
them, by a seeded shuffle. `judge` asks datatrove, each filter alone; `compare` asks the binary, counts
agreement and prints differences with datatrove's reason. `time` measures the filters
one after the other in one pipeline, user CPU seconds of the process and its children, several times in
turn. Needs datatrove==0.10.1 and spacy 3.8 (its English tokenizer).
"""

import argparse
import gzip
import json
import os
import pathlib
import random
import resource
import subprocess
import sys
import tempfile
import time

FILTERS = ["gopher_quality", "gopher_repetition", "c4", "fineweb"]


def cut(text, size):
    if not size or len(text) <= size * 1.5:
        yield text
        return
    piece = []
    length = 0
    for paragraph in text.split("\n\n"):
        piece.append(paragraph)
        length += len(paragraph)
        if length >= size:
            yield "\n\n".join(piece)
            piece, length = [], 0
    if piece:
        yield "\n\n".join(piece)


def prepare(args):
    seen = {}

    def add(name, text):
        if text.strip():
            seen.setdefault(text, name)

    for spec in args.jsonl:
        path, field, size = spec.rsplit(":", 2)
        opened = gzip.open if path.endswith(".gz") else open
        with opened(path, "rt") as f:
            for line in f:
                for piece in cut(json.loads(line)[field], int(size)):
                    add(pathlib.Path(path).name, piece)
    for folder in args.folder:
        for path in sorted(pathlib.Path(folder).rglob("*")):
            if path.suffix in (".md", ".rst", ".txt", ".py") and path.is_file() and path.stat().st_size < 200_000:
                try:
                    text = path.read_bytes().decode("utf-8")
                except UnicodeDecodeError:
                    continue
                for piece in cut(text, 4000):
                    add("packages", piece)
    items = list(seen.items())
    random.Random(1).shuffle(items)
    with open(args.out, "w") as out:
        for n, (text, name) in enumerate(items[: args.most or None]):
            out.write(json.dumps({"id": str(n), "from": name, "text": text}, ensure_ascii=False) + "\n")
    print(min(len(items), args.most or len(items)), "documents")


def theirs():
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )

    return dict(zip(FILTERS, [GopherQualityFilter(), GopherRepetitionFilter(), C4QualityFilter(), FineWebQualityFilter()]))


def documents(path):
    from datatrove.data import Document

    with open(path) as f:
        for line in f:
            record = json.loads(line)
            yield Document(text=record["text"], id=record["id"])


def ours(athanor, docs, steps, texts=True, threads=0):
    """Runs the corpus stage; the kept documents' texts and the account."""
    with tempfile.TemporaryDirectory() as folder:
        recipe = pathlib.Path(folder) / "recipe.toml"
        rules = "".join(f"[corpus.settings.{s}]\nrules = \"english\"\n" for s in steps)
        recipe.write_text(
            f"[run]\nname = \"peer\"\n[corpus]\nsteps = {json.dumps(steps)}\nheldout_per_thousand = 0\n"
            f"write_texts = {str(texts).lower()}\n[corpus.tokenizer]\nvocab_size = 262\nmax_bytes = 100000\n{rules}"
            f"[[corpus.sources]]\nname = \"docs\"\npath = {json.dumps(os.path.abspath(docs))}\n"
        )
        run = os.path.join(folder, "run")
        command = [athanor, "corpus", str(recipe), "--out", run]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        account = json.load(open(os.path.join(run, "corpus", "account.json")))
        kept = {}
        if texts:
            with open(os.path.join(run, "corpus", "texts.jsonl")) as f:
                for line in f:
                    record = json.loads(line)
                    kept[record["id"]] = record["text"]
        return kept, account


def judge(args):
    """What datatrove says of each document, kept in a file: it takes long."""
    filters = theirs()
    with open(args.answers, "w") as out:
        for document in documents(args.docs):
            before, answers = document.text, {}
            for name in FILTERS:
                document.text = before
                try:
                    answer = filters[name].filter(document)
                except ZeroDivisionError:
                    answer = (False, "ZeroDivisionError")
                keep, reason = answer if isinstance(answer, tuple) else (answer, "kept")
                changed = document.text if name == "c4" and keep else None
                answers[name] = [bool(keep), reason, changed]
            out.write(json.dumps({"id": document.id, "begins": before[:80], "answers": answers}) + "\n")


def compare(args):
    result = {}
    for name in FILTERS:
        kept, _ = ours(args.athanor, args.docs, [name])
        same = differs = texts = theirs_kept = 0
        for line in open(args.answers):
            record = json.loads(line)
            keep, reason, changed = record["answers"][name]
            theirs_kept += keep
            mine = kept.get(record["id"])
            if keep == (mine is not None):
                same += 1
                texts += bool(changed is not None and changed != mine)
            else:
                differs += 1
                if differs <= args.show:
                    verdict = "kept" if mine is not None else "dropped"
                    print(f"  {name} {record['id']}: datatrove {reason}; ours {verdict}: {record['begins']!r}")
        share = same / (same + differs)
        result[name] = {"documents": same + differs, "agree": share, "differ": differs, "kept by datatrove": theirs_kept, "texts that differ": texts}
        print(name, result[name])
    if args.json:
        json.dump(result, open(args.json, "w"), indent=1)
    sys.exit(any(r["agree"] < 0.995 for r in result.values()))


def cpu(who):
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def measure(args):
    filters = list(theirs().values())
    n = sum(1 for _ in documents(args.docs))
    for _ in range(args.runs):
        start, wall = cpu(resource.RUSAGE_CHILDREN), time.time()
        ours(args.athanor, args.docs, FILTERS, texts=False)
        mine = cpu(resource.RUSAGE_CHILDREN) - start
        print(f"athanor {n / mine:.0f} documents a CPU second, {time.time() - wall:.2f} s wall, {mine:.2f} s CPU (tokenizer of 262 and shards included)")
        start, wall = cpu(resource.RUSAGE_SELF), time.time()
        for document in documents(args.docs):
            for f in filters:
                answer = f.filter(document)
                if answer is not True:
                    break
        other = cpu(resource.RUSAGE_SELF) - start
        print(f"datatrove {n / other:.0f} documents a CPU second, {time.time() - wall:.2f} s wall, {other:.2f} s CPU; ratio of CPU {other / mine:.1f}")


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
sub = parser.add_subparsers(required=True)
p = sub.add_parser("prepare")
p.add_argument("--jsonl", nargs="*", default=[])
p.add_argument("--folder", nargs="*", default=[])
p.add_argument("--out", required=True)
p.add_argument("--most", type=int, default=0)
p.set_defaults(run=prepare)
p = sub.add_parser("judge")
p.add_argument("docs")
p.add_argument("answers")
p.set_defaults(run=judge)
p = sub.add_parser("compare")
p.add_argument("docs")
p.add_argument("answers")
p.add_argument("--athanor", required=True)
p.add_argument("--json")
p.add_argument("--show", type=int, default=20)
p.set_defaults(run=compare)
p = sub.add_parser("time")
p.add_argument("docs")
p.add_argument("--athanor", required=True)
p.add_argument("--runs", type=int, default=3)
p.set_defaults(run=measure)
args = parser.parse_args()
args.run(args)
