"""A model folder exported as GGUF: does llama.cpp write the same text?

    pip install llama-cpp-python==0.3.36
    python tests/python/check_gguf_export.py target/release/athanor MODEL_DIR…

Each folder is exported as f32, f16 and q8_0. llama.cpp (keys and values cached as f32) reads the
prompts and must find Athanor's tokens; then it writes 64 tokens greedily from the same ids. f32 must
be identical; f16 and q8_0 are compared with the folder that `athanor import` makes of the exported
file, which has the same rounded weights, though llama.cpp also rounds activations for q8_0.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import numpy
from llama_cpp import Llama
from safetensors.numpy import load_file, save_file

PROMPTS = ["Once upon a time", "The people of the city", "春", "I think that 1984 is"]
TOKENS = 64


def main():
    athanor, *folders = sys.argv[1:]
    work = pathlib.Path(tempfile.mkdtemp())
    run = lambda *command: subprocess.run([athanor, *map(str, command)], check=True, capture_output=True, text=True).stdout
    failed = False
    for folder in folders:
        for kind in ["f32", "f16", "q8_0"]:
            file, copy = work / f"model-{kind}.gguf", work / f"copy-{kind}"
            print(run("export", folder, "--output", file, "--type", kind, "--force").strip().replace(str(work), folder))
            run("import", file, "--output", copy, "--force")
            llama = Llama(str(file), n_ctx=0, verbose=False, type_k=0, type_v=0, n_threads=2, logits_all=False)
            for prompt in PROMPTS:
                ids = [t["id"] for t in json.loads(run("tokenize", folder, "--text", prompt, "--json"))["tokens"]]
                theirs = llama.tokenize(prompt.encode(), add_bos=False, special=False)
                assert theirs == ids, (prompt, ids, theirs)
                source = folder if kind == "f32" else copy
                bos = llama.token_bos()
                start = ([bos] if bos >= 0 else []) + ids
                llama.reset()
                found = []
                for token in llama.generate(start, temp=0.0, top_k=1, repeat_penalty=1.0):
                    found.append(token)
                    if len(found) == TOKENS:
                        break
                # The greedy text is this one if and only if each token is the likeliest after those
                # before it; so the end of a text, where `generate` stops, need not end the comparison.
                save_file({"input_ids": numpy.array([start + found])}, work / "in.safetensors")
                run("forward", source, "--input", work / "in.safetensors", "--output", work / "out.safetensors")
                logits = load_file(work / "out.safetensors")["logits"][0]
                ours = logits[len(start) - 1 : -1].argmax(-1).tolist()
                same = next((i for i, (a, b) in enumerate(zip(ours, found)) if a != b), TOKENS)
                answer = run("generate", source, "--prompt", prompt, "--raw", "--temperature", "0", "--max-tokens", TOKENS, "--json")
                written = json.loads(answer)["completions"][0]["tokens"]
                good = same == TOKENS and written == found[: len(written)]
                failed |= not good and kind == "f32"
                text = llama.detokenize(found).decode(errors="replace")
                print(f"  {kind} {'same' if good else 'DIFFERS'} {same} of {TOKENS}: {prompt!r} {text[:60]!r}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
