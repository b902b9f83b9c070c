"""spaCy's English words, for stages/corpus/src/steps/english: `specials` writes the tokenizer's special
cases; `fixture docs.jsonl N` writes tests/words.jsonl: texts with their words and number of sentences, of
those lines of the documents that have most kinds of characters. Needs spacy 3.8."""

import json
import pathlib
import sys

import spacy

HERE = pathlib.Path(__file__).parents[2] / "stages/corpus"
nlp = spacy.blank("en")
nlp.add_pipe("sentencizer")


def specials():
    lines = []
    for word, parts in nlp.tokenizer.rules.items():
        if not any(c.isspace() for c in word):
            lines.append("\t".join(p[65] for p in parts))
    (HERE / "src/steps/english/specials.txt").write_text("\n".join(sorted(lines)) + "\n")


def fixture(docs, count):
    lines = {}
    for line in open(docs):
        for text in json.loads(line)["text"].split("\n"):
            if 20 < len(text) < 200:
                kinds = len({c for c in text if not c.isalnum()}) / len(text) ** 0.5
                lines[text] = kinds
    chosen = sorted(sorted(lines), key=lambda t: -lines[t])[: int(count)]
    with open(HERE / "tests/words.jsonl", "w") as out:
        for text in chosen:
            doc = nlp(text)
            words = [t.text.strip() for t in doc if t.text.strip()]
            sentences = sum(1 for s in doc.sents if s.text.strip())
            out.write(json.dumps({"text": text, "words": words, "sentences": sentences}, ensure_ascii=False) + "\n")


{"specials": specials, "fixture": fixture}[sys.argv[1]](*sys.argv[2:])
