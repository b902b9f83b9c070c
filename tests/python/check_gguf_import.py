"""A GGUF file imported by Athanor against a float reference and llama.cpp's tokens.

    pip install torch transformers safetensors gguf llama-cpp-python
    python tests/python/check_gguf_import.py target/release/athanor gemma-3-270m-q4_k_m.gguf texts.jsonl

The reference dequantises with the `gguf` package and computes with transformers' class for the
architecture; its weights are filled here from llama.cpp's tensor names: nothing of Athanor's
import is used. Compared are logits on several texts (greatest difference) and the tokens of lines of
the third argument (JSON lines with `text`) with those of llama.cpp.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile
import time

import numpy
import torch
from gguf import GGUFReader, dequantize
from safetensors.numpy import load_file, save_file
from transformers import Gemma3ForCausalLM, Gemma3TextConfig

TEXTS = [
    "The capital of France is",
    "Water boils at 100 degrees Celsius, and freezes at",
    "春眠不覺曉，處處聞啼鳥。夜來風雨聲，花落知多少。",
    "def fibonacci(n):\n    if n < 2:\n        return n\n    return",
]


def gemma3(reader):
    """transformers' model with the file's weights."""
    field = lambda name: reader.fields[f"gemma3.{name}"].contents()
    tensors = {t.name: t for t in reader.tensors}
    layers = field("block_count")
    model = Gemma3ForCausalLM(
        Gemma3TextConfig(
            vocab_size=int(tensors["token_embd.weight"].shape[1]),
            hidden_size=field("embedding_length"),
            intermediate_size=field("feed_forward_length"),
            num_hidden_layers=layers,
            num_attention_heads=field("attention.head_count"),
            num_key_value_heads=field("attention.head_count_kv"),
            head_dim=field("attention.key_length"),
            query_pre_attn_scalar=field("attention.key_length"),
            rms_norm_eps=field("attention.layer_norm_rms_epsilon"),
            sliding_window=field("attention.sliding_window"),
            max_position_embeddings=field("context_length"),
        )
    ).float()
    state = model.state_dict()

    def put(name, source, gain=False):
        tensor = tensors[source]
        values = dequantize(tensor.data, tensor.tensor_type).astype(numpy.float32)
        state[name].copy_(torch.from_numpy(values.reshape(state[name].shape) - (1.0 if gain else 0.0)))

    put("model.embed_tokens.weight", "token_embd.weight")
    put("model.norm.weight", "output_norm.weight", gain=True)
    parts = {"q_proj": "attn_q", "k_proj": "attn_k", "v_proj": "attn_v", "o_proj": "attn_output"}
    norms = {
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "post_attention_norm",
        "pre_feedforward_layernorm": "ffn_norm",
        "post_feedforward_layernorm": "post_ffw_norm",
        "self_attn.q_norm": "attn_q_norm",
        "self_attn.k_norm": "attn_k_norm",
    }
    for i in range(layers):
        for ours, theirs in parts.items():
            put(f"model.layers.{i}.self_attn.{ours}.weight", f"blk.{i}.{theirs}.weight")
        for part in ["gate", "up", "down"]:
            put(f"model.layers.{i}.mlp.{part}_proj.weight", f"blk.{i}.ffn_{part}.weight")
        for ours, theirs in norms.items():
            put(f"model.layers.{i}.{ours}.weight", f"blk.{i}.{theirs}.weight", gain=True)
    return model.eval()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("athanor")
    parser.add_argument("gguf")
    parser.add_argument("texts", nargs="?")
    parser.add_argument("--lines", type=int, default=2000)
    arguments = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp())
    run = lambda *command: subprocess.run([arguments.athanor, *map(str, command)], check=True, capture_output=True, text=True)
    began = time.time()
    print(run("import", arguments.gguf, "--output", folder / "model").stdout.strip(), f"({time.time() - began:.1f} s)")

    from llama_cpp import Llama

    llama = Llama(arguments.gguf, vocab_only=True, verbose=False)
    reader = GGUFReader(arguments.gguf)
    texts = []
    if arguments.texts:
        with open(arguments.texts) as lines:
            texts = [json.loads(line)["text"] for _, line in zip(range(arguments.lines), lines)]
    with torch.no_grad():
        reference = gemma3(reader)
        worst = 0.0
        # The last is longer than the local layers' window.
        for text in TEXTS + [text[:4000] for text in texts[:1]]:
            ids = llama.tokenize(text.encode(), add_bos=True, special=False)
            save_file({"input_ids": numpy.array([ids])}, folder / "in.safetensors")
            run("forward", folder / "model", "--input", folder / "in.safetensors", "--output", folder / "out.safetensors")
            ours = torch.from_numpy(load_file(folder / "out.safetensors")["logits"])
            theirs = reference(torch.tensor([ids])).logits
            difference = (ours - theirs).abs().max().item()
            same = (ours.argmax(-1) == theirs.argmax(-1)).all().item()
            print(f"{len(ids)} tokens: logits differ by {difference:.1e} of {theirs.abs().max().item():.1f}, likeliest tokens the same: {same}")
            worst = max(worst, difference)
    assert worst < 1e-3, worst

    if texts:
        from tokenizers import Tokenizer

        ours = Tokenizer.from_file(str(folder / "model/tokenizer.json"))
        ours.encode_special_tokens = True
        bad = 0
        for text in texts:
            theirs = llama.tokenize(text.encode(), add_bos=False, special=False)
            bad += ours.encode(text, add_special_tokens=False).ids != theirs
        print(f"tokens of {len(texts)} texts, {sum(map(len, texts))} characters: {bad} texts differ from llama.cpp's")
    prompt = TEXTS[0]
    print(run("generate", folder / "model", "--prompt", prompt, "--temperature", "0", "--max-tokens", "40").stdout.strip())


if __name__ == "__main__":
    main()
