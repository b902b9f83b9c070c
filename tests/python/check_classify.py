"""Does transformers give a fine-tuned folder's labels the same probabilities as `athanor predict`?

    python tests/python/check_classify.py MODEL_DIR… --athanor target/release/athanor --data texts.jsonl.gz

Opens MODEL_DIR with AutoTokenizer and AutoModelForSequenceClassification or AutoModelForTokenClassification,
in float32 with eager attention, a text at a time; `athanor predict` reads them all at once, so that padding
is checked, too. Takes --texts texts (100), evenly from the file's `text` fields, cut at spaces to --words words
(20). Words stand with a space between them, a word's label is that of its first token. Prints the largest
difference of a probability and exits 1 if it is above --tolerance (1e-5).
"""

import argparse
import gzip
import json
import pathlib
import subprocess
import sys
import tempfile

import torch
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification, AutoTokenizer


def read_texts(path, count, words):
    opened = gzip.open(path, "rt", encoding="utf-8") if path.endswith(".gz") else open(path, encoding="utf-8")
    with opened as lines:
        texts = [" ".join(json.loads(line)["text"].split()[:words]) for line in lines]
    texts = [text for text in texts if text]
    return texts[:: max(1, len(texts) // count)][:count]


def words_of(text):
    """Beginning and end of each word."""
    at, found = 0, []
    for word in text.split(" "):
        found.append((at, at + len(word)))
        at += len(word) + 1
    return found


def reference(folder, texts):
    is_sequence = "SequenceClassification" in json.loads((folder / "config.json").read_text())["architectures"][0]
    kind = AutoModelForSequenceClassification if is_sequence else AutoModelForTokenClassification
    model = kind.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    names = model.config.id2label
    for text in texts:
        inputs = tokenizer(text, return_tensors="pt", return_offsets_mapping=True)
        offsets = inputs.pop("offset_mapping")[0].tolist()
        if model.config.model_type in ("gpt2", "llama"):
            inputs.pop("token_type_ids", None)
        with torch.no_grad():
            shares = model(**inputs).logits.softmax(-1)[0]
        if is_sequence:
            yield {names[i]: float(p) for i, p in enumerate(shares)}
            continue
        special = tokenizer.get_special_tokens_mask(inputs["input_ids"][0].tolist(), already_has_special_tokens=True)
        found = []
        for begin, end in words_of(text):
            inside = [i for i, (a, b) in enumerate(offsets) if not special[i] and begin <= max(a, b - 1) < end]
            best = shares[inside[0]].max(-1) if inside else None
            found.append((names[int(best.indices)], float(best.values)) if inside else None)
        yield found


def difference(found, expected):
    if isinstance(expected, dict):
        return max(abs(found["probabilities"][name] - share) for name, share in expected.items())
    worst = 0.0
    for word, best in zip(found["words"], expected, strict=True):
        if best is None:
            assert word["probability"] is None, word
        else:
            assert word["label"] == best[0], (word, best)
            worst = max(worst, abs(word["probability"] - best[1]))
    return worst


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", type=pathlib.Path)
    parser.add_argument("--athanor", required=True, help="the binary")
    parser.add_argument("--data", required=True, help="JSON lines with a field `text`")
    parser.add_argument("--texts", type=int, default=100)
    parser.add_argument("--words", type=int, default=20)
    parser.add_argument("--tolerance", type=float, default=1e-5)
    arguments = parser.parse_args()
    texts = read_texts(arguments.data, arguments.texts, arguments.words)
    failed = False
    for folder in arguments.models:
        with tempfile.TemporaryDirectory() as scratch:
            file = pathlib.Path(scratch) / "texts.jsonl"
            file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
            command = [arguments.athanor, "classify", str(folder), "--data", str(file), "--json", "--quiet"]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found = [json.loads(line) for line in output.splitlines()]
        assert len(found) == len(texts), (len(found), len(texts))
        worst = max(difference(a, b) for a, b in zip(found, reference(folder, texts)))
        good = worst <= arguments.tolerance
        failed |= not good
        print(f"{'same' if good else 'DIFFERENT'}: {folder}, {len(texts)} texts, largest difference {worst:.2e}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
