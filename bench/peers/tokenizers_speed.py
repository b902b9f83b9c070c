"""How fast Athanor and Hugging Face's tokenizers encode the same text with the same tokenizer.json.

    python bench/peers/tokenizers_speed.py FOLDER --athanor target/release/athanor [--threads 1 2] [--rounds 3]

FOLDER is made by `athanor bench tokenizer --keep FOLDER`: texts.jsonl and a folder for each kind of
tokenizer. First the ids of every line are compared (`athanor tokenize --lines`); then both encode the texts in
turn, round by round: ours as `athanor bench tokenizer`, theirs as `encode_batch_fast` (no offsets) and
`encode_batch`, in a process of their own with so many threads. The medians of the rounds are printed, and
their ratio. Byte-level BPE goes through tiktoken, too, where it is installed: the same pattern and merges.

Exits 1 where ids differ.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

KINDS = ["byte_bpe", "wordpiece", "unigram"]


def read(folder):
    with open(folder / "texts.jsonl", encoding="utf-8") as file:
        return [json.loads(line)["text"] for line in file]


def timed(work, seconds):
    """Median seconds of a call; once before, three at least."""
    work()
    times, began = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def tiktoken_of(path):
    """The same BPE in tiktoken; None where it is not installed."""
    try:
        import tiktoken
    except ImportError:
        return None
    whole = json.loads(path.read_text(encoding="utf-8"))
    # GPT-2's character for each byte: printable ones stand for themselves.
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    back = {chr(b): b for b in printable} | {chr(256 + n): b for n, b in enumerate(others)}
    special = {t["content"]: t["id"] for t in whole["added_tokens"]}
    ranks = {
        bytes(back[c] for c in token): i
        for token, i in whole["model"]["vocab"].items()
        if token not in special
    }
    pattern = whole["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"]
    return tiktoken.Encoding(
        "ours", pat_str=pattern, mergeable_ranks=ranks, special_tokens=special
    )


def peer(folder, seconds, threads):
    """What runs in a process of its own: bytes a second of each way to encode."""
    import tokenizers

    texts = read(folder)
    size = sum(len(t.encode()) for t in texts)
    found = {}
    for kind in KINDS:
        path = folder / kind / "tokenizer.json"
        plain = tokenizers.Tokenizer.from_file(str(path))
        plain.encode_special_tokens = True
        for name in ["encode_batch_fast", "encode_batch"]:
            call = getattr(plain, name)
            took = timed(lambda: call(texts, add_special_tokens=False), seconds)
            found[f"{kind} {name}"] = size / took
        other = tiktoken_of(path) if kind == "byte_bpe" else None
        if other is not None:
            took = timed(
                lambda: other.encode_ordinary_batch(texts, num_threads=threads), seconds
            )
            found[f"{kind} tiktoken"] = size / took
    print(json.dumps(found))


def compare(folder, athanor):
    """Ids of every line, by both."""
    import tokenizers

    lines = [line for text in read(folder) for line in text.split("\n") if line.strip()]
    for kind in KINDS:
        plain = tokenizers.Tokenizer.from_file(str(folder / kind / "tokenizer.json"))
        plain.encode_special_tokens = True
        theirs = [e.ids for e in plain.encode_batch_fast(lines, add_special_tokens=False)]
        with tempfile.TemporaryDirectory() as scratch:
            path = pathlib.Path(scratch) / "lines.txt"
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
            command = [athanor, "tokenize", str(folder / kind), "--lines", str(path)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        ours = [json.loads(line) for line in done.stdout.splitlines()]
        if len(ours) != len(theirs):
            sys.exit(f"{kind}: {len(ours)} lines came back of {len(theirs)}")
        for line, a, b in zip(lines, ours, theirs):
            if a != b:
                sys.exit(f"{kind} DIFFERS at {line!r}\nours   {a}\ntheirs {b}")
        print(f"{kind}: the same ids, {len(lines):,} lines, {sum(map(len, ours)):,} ids")
    other = tiktoken_of(folder / "byte_bpe" / "tokenizer.json")
    if other is None:
        print("tiktoken is not installed: left out")
        return
    plain = tokenizers.Tokenizer.from_file(str(folder / "byte_bpe" / "tokenizer.json"))
    differ = sum(
        plain.encode(line, add_special_tokens=False).ids != other.encode_ordinary(line)
        for line in lines
    )
    print(f"tiktoken: {differ} of {len(lines):,} lines with other ids")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--athanor", help="the binary")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each figure")
    parser.add_argument("--no-compare", action="store_true", help="speed alone")
    parser.add_argument("--peer", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        return peer(arguments.folder, arguments.seconds, arguments.peer)
    if not arguments.no_compare:
        compare(arguments.folder, arguments.athanor)
    for threads in arguments.threads:
        rounds = []
        for _ in range(arguments.rounds):
            environment = {
                **os.environ,
                "RAYON_NUM_THREADS": str(threads),
                "TOKENIZERS_PARALLELISM": "true" if threads > 1 else "false",
            }
            command = [sys.executable, __file__, str(arguments.folder), "--peer", str(threads)]
            command += ["--seconds", str(arguments.seconds)]
            done = subprocess.run(
                command, stdout=subprocess.PIPE, text=True, check=True, env=environment
            )
            found = json.loads(done.stdout.splitlines()[-1])
            # Nine figures, of which encoding on all threads is one for each kind.
            command = [arguments.athanor, "bench", "tokenizer", "--json"]
            command += ["--threads", str(threads), "--seconds", str(9 * arguments.seconds)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            for line in done.stdout.splitlines():
                row = json.loads(line)
                kind = row["name"].split()[0]
                found[f"{kind} athanor"] = row["encoded_bytes_per_second"]
            rounds.append(found)
        print(f"\n{threads} threads, MB/s, medians of {arguments.rounds} rounds")
        middle = {name: statistics.median(r[name] for r in rounds) for name in rounds[0]}
        for name, rate in middle.items():
            ours = middle[f"{name.split()[0]} athanor"]
            ratio = "" if name.endswith("athanor") else f"  ours {ours / rate:.2f} times"
            print(f"  {name:30} {rate / 1e6:8.1f}{ratio}")


if __name__ == "__main__":
    main()
