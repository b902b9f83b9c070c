"""Encoder and XLNet for bench/peers/train_torch.py: transformers' own classes, on the batches that
app/bench/src/train makes.

BertForMaskedLM computes logits at every place, padding too, and ignores all but the targets in its loss: that
is its own way and stays. `rows=True` takes the targets' hidden states first, what a careful user would write
by hand; it is reported in a column of its own. XLNetLMHeadModel computes only the targets' logits.
"""

import numpy
import torch
from synthetic import chosen, hashes, token
from torch.nn import functional
from transformers import BertConfig, BertForMaskedLM, XLNetConfig, XLNetLMHeadModel

VOCABULARY, HIDDEN, LAYERS, HEADS, TIME, BATCH = 30522, 512, 4, 8, 128, 16
MASK, PART = 103, 6


class Encoder:
    """Masked LM on rows of 32 to 128 tokens."""

    def __init__(self, rows):
        self.rows = rows
        width = dict(hidden_size=HIDDEN, num_attention_heads=HEADS, intermediate_size=4 * HIDDEN)
        sizes = dict(vocab_size=VOCABULARY, num_hidden_layers=LAYERS, max_position_embeddings=TIME)
        dropout = dict(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        self.model = BertForMaskedLM(BertConfig(**width, **sizes, **dropout, attn_implementation="sdpa"))

    def batch(self, step):
        ids = numpy.zeros((BATCH, TIME), dtype=numpy.int64)
        keys = numpy.zeros((BATCH, TIME), dtype=numpy.int64)
        labels = numpy.full((BATCH, TIME), -100, dtype=numpy.int64)
        for row in range(BATCH):
            number = step * BATCH + row
            length = TIME // 4 + int(hashes((1 << 32) + number, 1)[0] % numpy.uint64(TIME * 3 // 4 + 1))
            ids[row, :length] = 1 + token(number * TIME, length, VOCABULARY - 1)
            keys[row, :length] = 1
            places = chosen((2 << 32) + number * TIME, length, (15 * length + 50) // 100)
            labels[row, places] = ids[row, places]
            ids[row, places] = MASK
        names = {"input_ids": ids, "attention_mask": keys, "labels": labels}
        return {k: torch.from_numpy(v) for k, v in names.items()}, int(keys.sum())

    def loss(self, model, batch):
        if not self.rows:
            return model(**batch).loss
        labels = batch["labels"].flatten()
        places = (labels != -100).nonzero().squeeze(1)
        states = model.bert(batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
        return functional.cross_entropy(model.cls(states.flatten(0, 1)[places]), labels[places])


class XLNet:
    """Permutation LM on whole rows, without memory."""

    def __init__(self, _):
        sizes = dict(vocab_size=VOCABULARY, d_model=HIDDEN, n_layer=LAYERS, n_head=HEADS, d_inner=4 * HIDDEN)
        self.model = XLNetLMHeadModel(XLNetConfig(**sizes, dropout=0.0, mem_len=None))

    def batch(self, step):
        count = TIME // PART
        ids = numpy.zeros((BATCH, TIME), dtype=numpy.int64)
        hidden = numpy.zeros((BATCH, TIME, TIME), dtype=numpy.float32)
        mapping = numpy.zeros((BATCH, count, TIME), dtype=numpy.float32)
        labels = numpy.zeros((BATCH, count), dtype=numpy.int64)
        for row in range(BATCH):
            first = (step * BATCH + row) * TIME
            ids[row] = token(first, TIME, VOCABULARY)
            order = chosen((3 << 32) + first, TIME, count)
            for rank, place in enumerate(order):
                hidden[row, :, place] = 1
                hidden[row, order[rank + 1 :], place] = 0
            order = numpy.sort(order)
            mapping[row, numpy.arange(count), order] = 1
            labels[row] = ids[row, order]
        types = numpy.tile((numpy.arange(TIME) >= TIME // 2).astype(numpy.int64), (BATCH, 1))
        names = {
            "input_ids": ids,
            "token_type_ids": types,
            "perm_mask": hidden,
            "target_mapping": mapping,
            "labels": labels,
        }
        return {k: torch.from_numpy(v) for k, v in names.items()}, BATCH * TIME

    def loss(self, model, batch):
        return model(**batch, use_mems=False).loss
