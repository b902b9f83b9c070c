"""The work of `athanor bench decode` in llama.cpp: a llama of 30 million parameters, float32 weights and cache, prompts
of 32 tokens, 96 greedy tokens, at batch 1, 8 and 32 (sequences of one llama_decode call). With --type q8_0 the
weights are Q8_0 and the cache float16, llama.cpp's default.

    python bench/peers/decode_llama_cpp.py [--threads 2] [--seconds 9] [--type q8_0]

Needs llama-cpp-python 0.3.36 and gguf 0.19.0. Prints one JSON object a batch.
"""

import argparse
import ctypes
import json
import pathlib
import statistics
import tempfile
import time

import gguf
import gguf.quants
import llama_cpp
import numpy

V, H, F, L, HEADS, CONTEXT = 8192, 512, 1408, 8, 8, 512
PROMPT, NEW = 32, 96


def write(path, q8_0):
    random = numpy.random.default_rng(1)
    out = gguf.GGUFWriter(path, "llama")
    out.add_context_length(CONTEXT)
    out.add_embedding_length(H)
    out.add_block_count(L)
    out.add_feed_forward_length(F)
    out.add_head_count(HEADS)
    out.add_head_count_kv(HEADS)
    out.add_rope_dimension_count(H // HEADS)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_vocab_size(V)
    out.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0 if q8_0 else gguf.LlamaFileType.ALL_F32)
    out.add_tokenizer_model("none")

    def matrix(name, *shape):
        values = (0.02 * random.standard_normal(shape)).astype(numpy.float32)
        kind = gguf.GGMLQuantizationType.Q8_0 if q8_0 else gguf.GGMLQuantizationType.F32
        out.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)

    matrix("token_embd.weight", V, H)
    out.add_tensor("output_norm.weight", numpy.ones(H, numpy.float32))
    for i in range(L):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            matrix(f"blk.{i}.{name}.weight", H, H)
        matrix(f"blk.{i}.ffn_gate.weight", F, H)
        matrix(f"blk.{i}.ffn_up.weight", F, H)
        matrix(f"blk.{i}.ffn_down.weight", H, F)
        for name in ("attn_norm", "ffn_norm"):
            out.add_tensor(f"blk.{i}.{name}.weight", numpy.ones(H, numpy.float32))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--seconds", type=float, default=9)
parser.add_argument("--type", default="f32", choices=["f32", "q8_0"])
args = parser.parse_args()
quiet = llama_cpp.llama_log_callback(lambda *_: None)
llama_cpp.llama_log_set(quiet, ctypes.c_void_p(0))
llama_cpp.llama_backend_init()
folder = tempfile.TemporaryDirectory()
path = str(pathlib.Path(folder.name) / "model.gguf")
write(path, args.type == "q8_0")
model = llama_cpp.llama_model_load_from_file(path.encode(), llama_cpp.llama_model_default_params())
assert model, "llama.cpp did not load the model"


def decode(context, batch, tokens, first):
    """tokens[s] behind place `first` of each sequence; the greedy next token of each."""
    n = 0
    last = []
    for s, row in enumerate(tokens):
        for i, token in enumerate(row):
            batch.token[n] = token
            batch.pos[n] = first + i
            batch.n_seq_id[n] = 1
            batch.seq_id[n][0] = s
            batch.logits[n] = i == len(row) - 1
            if batch.logits[n]:
                last.append(n)
            n += 1
    batch.n_tokens = n
    assert llama_cpp.llama_decode(context, batch) == 0
    found = []
    for at in last:
        logits = llama_cpp.llama_get_logits_ith(context, at)
        found.append(int(numpy.ctypeslib.as_array(logits, (V,)).argmax()))
    return found


for rows in (1, 8, 32):
    params = llama_cpp.llama_context_default_params()
    params.n_ctx = rows * (PROMPT + NEW)
    params.n_batch = params.n_ubatch = max(rows * PROMPT, 32)
    params.n_seq_max = rows
    params.n_threads = params.n_threads_batch = args.threads
    params.type_k = params.type_v = 1 if args.type == "q8_0" else 0  # float16, float32
    context = llama_cpp.llama_init_from_model(model, params)
    batch = llama_cpp.llama_batch_init(rows * PROMPT, 0, 1)
    prompts = [[(s * PROMPT + i) * 2654435761 % V for i in range(PROMPT)] for s in range(rows)]
    times, began = [], time.perf_counter()
    while len(times) < 4 or time.perf_counter() - began < args.seconds / 3:
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)
        start = time.perf_counter()
        new = decode(context, batch, prompts, 0)
        for step in range(NEW - 1):
            new = decode(context, batch, [[t] for t in new], PROMPT + step)
        times.append(time.perf_counter() - start)
    seconds = statistics.median(times[1:])
    print(json.dumps({
        "name": f"decode{' int8' if args.type == 'q8_0' else ''} batch {rows}", "tokens_per_second": rows * NEW / seconds, "seconds": seconds,
        "llama_cpp": llama_cpp.__version__,
    }), flush=True)
    llama_cpp.llama_batch_free(batch)
    llama_cpp.llama_free(context)
