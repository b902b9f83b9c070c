"""Real documents again and again, each time with some words inserted, as JSON lines on standard output.

    python bench/peers/perturbed_stream.py docs.jsonl BYTES | athanor corpus recipe.toml ...

A fifth of the documents are as they were; the others have one to twenty words of other documents put in at random
places, and a third of these have their paragraphs in another order. Seeded: the same every time.
"""

import json
import random
import sys

docs = [json.loads(line)["text"] for line in open(sys.argv[1])]
rng = random.Random(3)
words = [w for d in rng.sample(docs, 200) for w in d.split()]
left, number = int(float(sys.argv[2])), 0
out = sys.stdout
while left > 0:
    text = docs[rng.randrange(len(docs))]
    if rng.random() < 0.8:
        if rng.random() < 0.33:
            parts = text.split("\n\n")
            rng.shuffle(parts)
            text = "\n\n".join(parts)
        for _ in range(rng.randint(1, 20)):
            at = text.find(" ", rng.randrange(len(text) + 1))
            if at >= 0:
                text = f"{text[:at]} {words[rng.randrange(len(words))]}{text[at:]}"
    line = json.dumps({"id": str(number), "text": text}, ensure_ascii=False) + "\n"
    left -= len(line.encode())
    number += 1
    out.write(line)
