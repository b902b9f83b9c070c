"""The work of `athanor bench decode` in transformers: a llama of 30 million parameters, float32, prompts of 32 tokens,
96 greedy tokens, KV cache, at batch 1, 8 and 32.

    python bench/peers/decode_transformers.py [--threads 2] [--seconds 9]

Prints one JSON object a batch, as `athanor bench decode --json` does.
"""

import argparse
import json
import os
import statistics
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
import transformers

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--seconds", type=float, default=9)
args = parser.parse_args()
torch.set_num_threads(args.threads)
torch.manual_seed(1)
PROMPT, NEW = 32, 96
config = transformers.LlamaConfig(
    vocab_size=8192, hidden_size=512, intermediate_size=1408, num_hidden_layers=8, num_attention_heads=8,
    max_position_embeddings=512, tie_word_embeddings=True, bos_token_id=None, eos_token_id=None, pad_token_id=0,
)
model = transformers.LlamaForCausalLM(config).eval()
for batch in (1, 8, 32):
    ids = torch.randint(0, 8192, (batch, PROMPT))
    mask = torch.ones_like(ids)
    times, began = [], time.perf_counter()
    while len(times) < 4 or time.perf_counter() - began < args.seconds / 3:
        start = time.perf_counter()
        with torch.inference_mode():
            out = model.generate(ids, attention_mask=mask, do_sample=False, max_new_tokens=NEW, use_cache=True)
        times.append(time.perf_counter() - start)
        assert out.shape == (batch, PROMPT + NEW)
    seconds = statistics.median(times[1:])
    print(json.dumps({
        "name": f"decode batch {batch}", "tokens_per_second": batch * NEW / seconds, "seconds": seconds,
        "parameters": sum(p.numel() for p in model.parameters()),
        "torch": torch.__version__, "transformers": transformers.__version__,
    }), flush=True)
