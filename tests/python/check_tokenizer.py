"""Does Python give a saved tokenizer the same ids as Athanor?

    python tests/python/check_tokenizer.py TOKENIZER_DIR --athanor target/release/athanor FILE...

TOKENIZER_DIR is what `athanor tokenizer` writes (RUN/corpus/tokenizer) or a model folder. Each
non-empty line of the FILEs (text, or JSON lines with a field "text", gzip or not) is encoded by
`athanor tokenize` and by Python's tokenizers and transformers (AutoTokenizer); all ids have to be
equal. With special tokens around them, single lines and pairs, only the first 50 lines are compared,
against the post-processor of tokenizer.json. Exits 1 at the first difference.
"""

import argparse
import gzip
import json
import os
import pathlib
import subprocess
import sys
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import tokenizers
import transformers

# A text that says what special tokens say: to us it is text, to transformers it is not.
NASTY = ("[CLS]", "[SEP]", "[MASK]", "[PAD]", "[UNK]", "<")


def lines(path, limit):
    opened = gzip.open(path, "rt") if str(path).endswith(".gz") else open(path, encoding="utf-8")
    found = []
    with opened as file:
        for line in file:
            if path.name.endswith((".jsonl", ".jsonl.gz")):
                texts = json.loads(line)["text"].splitlines()
            else:
                texts = [line]
            found += [t.strip() for t in texts if t.strip() and not any(n in t for n in NASTY)]
            if len(found) >= limit:
                return found[:limit]
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tokenizer", type=pathlib.Path)
    parser.add_argument("files", type=pathlib.Path, nargs="+")
    parser.add_argument("--athanor", required=True, help="the binary")
    parser.add_argument("--limit", type=int, default=5000, help="lines of each file")
    arguments = parser.parse_args()
    texts = [t for path in arguments.files for t in lines(path, arguments.limit)]
    plain = tokenizers.Tokenizer.from_file(str(arguments.tokenizer / "tokenizer.json"))
    auto = transformers.AutoTokenizer.from_pretrained(arguments.tokenizer)
    print(f"{type(auto).__name__}, {len(auto):,} tokens, special: {auto.special_tokens_map}")

    with tempfile.TemporaryDirectory() as scratch:
        path = pathlib.Path(scratch) / "lines.txt"
        path.write_text("\n".join(texts) + "\n", encoding="utf-8")
        command = [arguments.athanor, "tokenize", str(arguments.tokenizer), "--lines", str(path)]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"athanor tokenize exited {done.returncode}\n{done.stderr}")
    ours = [json.loads(line) for line in done.stdout.splitlines()]
    if len(ours) != len(texts):
        sys.exit(f"{len(ours)} lines came back of {len(texts)}")
    tokens = 0
    for text, ids in zip(texts, ours):
        for name, theirs in [
            ("tokenizers", plain.encode(text, add_special_tokens=False).ids),
            ("transformers", auto(text, add_special_tokens=False)["input_ids"]),
        ]:
            if ids != theirs:
                sys.exit(f"{name} DIFFERS at {text!r}\nours   {ids}\ntheirs {theirs}")
        tokens += len(ids)
    for text, other in zip(texts[:50], texts[1:51]):
        for pair in (None, other):
            whole = plain.encode(text, pair)
            theirs = auto(text, pair)
            types = theirs.get("token_type_ids", whole.type_ids)
            if (whole.ids, whole.type_ids) != (theirs["input_ids"], types):
                sys.exit(f"special tokens DIFFER at {text!r}: {whole.ids} {theirs['input_ids']}")
    for role in ("cls_token", "sep_token", "mask_token", "pad_token", "unk_token"):
        token = getattr(auto, role)
        if token is not None and plain.token_to_id(token) != getattr(auto, role + "_id"):
            sys.exit(f"{role} {token!r} has another id")
    print(f"same: {len(texts):,} lines, {tokens:,} ids")


if __name__ == "__main__":
    main()
