"""Does transformers compute the same logits from a model folder as `athanor forward` does?

    python tests/python/check_model.py MODEL_DIR --athanor target/release/athanor

Opens MODEL_DIR with transformers (the class that config.json's `architectures` names: a causal
language model or a sequence classifier), in float32 with eager attention, gives both the same ids
and prints the largest absolute difference of the logits. Ids are random, with and without padding;
where the folder has a tokenizer.json also a few texts through AutoTokenizer. Exits 1 if any
difference is above --tolerance (1e-4).
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

TEXTS = [
    "The furnace kept one steady heat through all four stages of the great work.",
    "I loved it!!! But why, oh why, was the sequel 20% worse?",
    "她在雨中等了很久，终于看见了远处的灯光。",
    "x",
]


def open_model(folder):
    architecture = json.loads((folder / "config.json").read_text())["architectures"][0]
    if architecture.endswith("ForSequenceClassification"):
        auto = AutoModelForSequenceClassification
    elif architecture.endswith(("ForCausalLM", "LMHeadModel")):
        auto = AutoModelForCausalLM
    else:
        sys.exit(f"{folder}/config.json: this check knows causal models and sequence classifiers, not {architecture}")
    model, loading = auto.from_pretrained(
        folder, attn_implementation="eager", dtype=torch.float32, output_loading_info=True
    )
    tied = {name for name in loading["missing_keys"] if name.endswith("lm_head.weight")}
    problems = {
        "missing": sorted(set(loading["missing_keys"]) - tied),
        "unexpected": sorted(loading["unexpected_keys"]),
        "of another shape": sorted(map(str, loading["mismatched_keys"])),
    }
    for what, names in problems.items():
        if names:
            sys.exit(f"{folder}/model.safetensors: {what}: {', '.join(names)}")
    return model.eval(), architecture


def first_of(*values):
    return next((value for value in values if value is not None), None)


def cases(folder, model, batch, length, seed):
    """Name and inputs of each comparison."""
    config = model.config
    generator = torch.Generator().manual_seed(seed)
    longest = first_of(getattr(config, "max_position_embeddings", None), getattr(config, "n_positions", None), length)
    length = min(length, longest)
    pad = config.pad_token_id
    ids = torch.randint(0, config.vocab_size, (batch, length), generator=generator)
    if pad is not None:
        ids[ids == pad] = (pad + 1) % config.vocab_size
    # Without a padding token transformers classifies single rows only.
    several = pad is not None or "SequenceClassification" not in type(model).__name__
    yield "random ids", {"input_ids": ids if several else ids[:1]}
    if several:
        lengths = torch.linspace(1, length, batch).long()
        mask = (torch.arange(length)[None, :] < lengths[:, None]).long()
        yield "padded ids", {"input_ids": ids.where(mask == 1, torch.tensor(pad or 0)), "attention_mask": mask}
    if (folder / "tokenizer.json").exists():
        tokenizer = AutoTokenizer.from_pretrained(folder)
        for text in TEXTS:
            ids = tokenizer(text, return_tensors="pt", truncation=True, max_length=longest)["input_ids"]
            if ids.shape[1] == 0:
                continue
            if ids.max() >= config.vocab_size:
                sys.exit(f"{folder}: tokenizer gave id {ids.max()}, the model has {config.vocab_size}")
            yield f"text {text[:20]!r}", {"input_ids": ids.long()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--athanor", required=True, help="the binary")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    parser.add_argument("--batch", type=int, default=3)
    parser.add_argument("--length", type=int, default=48)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    model, architecture = open_model(arguments.model)
    print(f"{architecture}, {sum(p.numel() for p in model.parameters()):,} parameters")

    worst = 0.0
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        for name, inputs in cases(arguments.model, model, arguments.batch, arguments.length, arguments.seed):
            with torch.no_grad():
                expected = model(**inputs, use_cache=False).logits
            save_file({key: array.contiguous() for key, array in inputs.items()}, scratch / "in.safetensors")
            command = [arguments.athanor, "forward", str(arguments.model)]
            command += ["--input", str(scratch / "in.safetensors"), "--output", str(scratch / "out.safetensors")]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode != 0:
                sys.exit(f"{name}: athanor forward exited {done.returncode}\n{done.stdout}{done.stderr}")
            found = load_file(scratch / "out.safetensors")["logits"]
            if found.shape != expected.shape:
                sys.exit(f"{name}: logits {list(found.shape)}, transformers has {list(expected.shape)}")
            difference = (found.double() - expected.double()).abs()
            if "attention_mask" in inputs and difference.dim() == 3:
                difference = difference[inputs["attention_mask"] == 1]
            # A NaN is a difference, whichever way it compares.
            largest = difference.max().item() if difference.isfinite().all() else float("inf")
            worst = max(worst, largest)
            print(f"{name}: {list(inputs['input_ids'].shape)} largest difference {largest:.2e}")
    good = worst <= arguments.tolerance
    print(f"{'same' if good else 'DIFFERENT'}: largest difference {worst:.2e}, tolerance {arguments.tolerance:.0e}")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
