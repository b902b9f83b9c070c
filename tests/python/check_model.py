"""Does transformers compute the same logits from a model folder as `athanor forward` does?

    python tests/python/check_model.py MODEL_DIR… --athanor target/release/athanor [--save]

Opens MODEL_DIR with transformers (the class that config.json's `architectures` names, with any head),
in float32 with eager attention, gives both the same inputs and prints the largest absolute difference
of the outputs (logits, start and end logits, pooled states, last hidden states). Ids are random, with and
without padding and token types, for XLNet also with permutations, targets and memory; where the folder has
a tokenizer.json also a few texts through AutoTokenizer. With --save the folder is first copied by `athanor
import`, so that transformers opens what we wrote. Exits 1 if any difference is above --tolerance (1e-4).
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


# Weights of a head that stand elsewhere under another name, or take no part in it.
TIED = ("lm_head.weight", "predictions.decoder.weight", "predictions.decoder.bias", "lm_head.decoder.weight")
TIED += ("lm_head.decoder.bias", "lm_loss.weight", "generator_lm_head.weight", "predictions.bias", "lm_head.bias")
OUTPUTS = ("logits", "start_logits", "end_logits", "seq_relationship_logits", "pooler_output")


def open_model(folder):
    architecture = json.loads((folder / "config.json").read_text())["architectures"][0]
    model, loading = getattr(transformers, architecture).from_pretrained(
        folder, attn_implementation="eager", dtype=torch.float32, output_loading_info=True
    )
    problems = {
        "missing": sorted(name for name in loading["missing_keys"] if not name.endswith(TIED)),
        "unexpected": sorted(loading["unexpected_keys"]),
        "of another shape": sorted(map(str, loading["mismatched_keys"])),
    }
    for what, names in problems.items():
        if names:
            sys.exit(f"{folder}/model.safetensors: {what}: {', '.join(names)}")
    return model.eval(), architecture


def outputs_of(model, inputs):
    inputs = dict(inputs)
    mems = [inputs.pop(name) for name in sorted(inputs) if name.startswith("mems.")]
    inputs |= {"mems": mems} if mems else {}
    inputs |= {} if model.config.model_type == "xlnet" else {"use_cache": False}
    with torch.no_grad():
        result = model(**inputs, output_hidden_states=True)
    found = {name: result[name] for name in OUTPUTS if result.get(name) is not None}
    if "prediction_logits" in result:
        found["logits"] = result.prediction_logits
    found[f"hidden.{len(result.hidden_states) - 1}"] = result.hidden_states[-1]
    for layer, memory in enumerate(result.get("mems") or ()):
        found[f"mems.{layer}"] = memory
    return found


def cases(folder, model, batch, length, seed):
    """Name and inputs of each comparison."""
    config = model.config
    generator = torch.Generator().manual_seed(seed)
    xlnet = config.model_type == "xlnet"
    longest = getattr(config, "n_positions", length if xlnet else getattr(config, "max_position_embeddings", length))
    pad = getattr(config, "pad_token_id", None)
    if config.model_type in ("roberta", "xlm-roberta"):
        longest -= pad + 1
    length = min(length, longest)
    ids = torch.randint(0, config.vocab_size, (batch, length), generator=generator)
    if pad is not None:
        ids[ids == pad] = (pad + 1) % config.vocab_size
    # Without a padding token transformers classifies single rows only.
    several = pad is not None or "SequenceClassification" not in type(model).__name__
    yield "random ids", {"input_ids": ids if several else ids[:1]}
    if several:
        lengths = torch.linspace(1, length, batch).long()
        mask = (torch.arange(length)[None, :] < lengths[:, None]).long()
        padded = {"input_ids": ids.where(mask == 1, torch.tensor(pad or 0)), "attention_mask": mask}
        if getattr(config, "attn_type", "bi") == "bi":
            yield "padded ids", padded
        kinds = 3 if xlnet else getattr(config, "type_vocab_size", 0)
        if kinds > 1:
            types = torch.randint(0, kinds, ids.shape, generator=generator)
            yield "token types", {"input_ids": ids, "token_type_ids": types}
        if xlnet and config.attn_type == "bi":
            order = torch.rand(ids.shape, generator=generator).argsort(1)
            places = torch.rand(ids.shape, generator=generator).argsort(1)[:, :3]
            streams = {
                "perm_mask": (order[:, :, None] <= order[:, None, :]).float(),
                "target_mapping": torch.nn.functional.one_hot(places, length).float(),
            }
            streams |= {
                f"mems.{layer}": torch.randn(5, batch, config.d_model, generator=generator)
                for layer in range(config.n_layer)
            }
            yield "streams and memory", padded | streams
    if (folder / "tokenizer.json").exists():
        tokenizer = AutoTokenizer.from_pretrained(folder)
        for text in TEXTS:
            ids = tokenizer(text, return_tensors="pt", truncation=True, max_length=longest)["input_ids"]
            if ids.shape[1] == 0:
                continue
            if ids.max() >= config.vocab_size:
                sys.exit(f"{folder}: tokenizer gave id {ids.max()}, the model has {config.vocab_size}")
            yield f"text {text[:20]!r}", {"input_ids": ids.long()}


def compare(athanor, folder, arguments):
    """The largest difference of any case."""
    model, architecture = open_model(folder)
    print(f"{architecture}, {sum(p.numel() for p in model.parameters()):,} parameters")
    worst = 0.0
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        for name, inputs in cases(folder, model, arguments.batch, arguments.length, arguments.seed):
            if architecture.endswith("ForMultipleChoice"):
                two_dim = {key for key, array in inputs.items() if array.dim() == 2}
                inputs = {key: array[None] if key in two_dim else array for key, array in inputs.items()}
            expected = outputs_of(model, inputs)
            save_file({key: array.contiguous() for key, array in inputs.items()}, scratch / "in.safetensors")
            command = [athanor, "forward", str(folder), "--quiet"]
            command += ["--input", str(scratch / "in.safetensors"), "--output", str(scratch / "out.safetensors")]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode != 0:
                sys.exit(f"{name}: athanor forward exited {done.returncode}\n{done.stdout}{done.stderr}")
            found = load_file(scratch / "out.safetensors")
            causal = architecture.endswith(("ForCausalLM", "GPT2LMHeadModel"))
            largest = max(difference(found[key], expected[key], inputs, causal, key) for key in expected)
            worst = max(worst, largest)
            print(f"{name}: {list(inputs['input_ids'].shape)} largest difference {largest:.2e}")
    return worst


def difference(found, expected, inputs, causal, key):
    if found.shape != expected.shape:
        sys.exit(f"{key}: {list(found.shape)}, transformers has {list(expected.shape)}")
    apart = (found.double() - expected.double()).abs()
    # A decoder's padding on the right means nothing.
    if causal and "attention_mask" in inputs and apart.shape[:2] == inputs["attention_mask"].shape:
        apart = apart[inputs["attention_mask"] == 1]
    # A NaN is a difference, whichever way it compares.
    return apart.max().item() if apart.isfinite().all() else float("inf")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=pathlib.Path, nargs="+")
    parser.add_argument("--athanor", required=True, help="the binary")
    parser.add_argument("--save", action="store_true", help="copy the folder with `athanor import` first")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    parser.add_argument("--batch", type=int, default=3)
    parser.add_argument("--length", type=int, default=48)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    worst = 0.0
    for folder in arguments.models:
        if not arguments.save:
            worst = max(worst, compare(arguments.athanor, folder, arguments))
            continue
        with tempfile.TemporaryDirectory() as scratch:
            copy = pathlib.Path(scratch) / "copy"
            subprocess.run([arguments.athanor, "import", str(folder), str(copy), "--quiet"], check=True)
            worst = max(worst, compare(arguments.athanor, copy, arguments))
    good = worst <= arguments.tolerance
    print(f"{'same' if good else 'DIFFERENT'}: largest difference {worst:.2e}, tolerance {arguments.tolerance:.0e}")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
