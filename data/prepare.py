#!/usr/bin/env python3
"""Makes the files of this folder from the packages' originals.

    python3 data/prepare.py SOURCES

SOURCES holds ratings/, books/, brown/ and zh/ as README.md describes them. Plain Python, no
packages. The same originals give the same bytes.
"""

import gzip
import io
import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

# A slice over genres, lengths and kinds of front and end matter.
BOOKS = [
    "areopagitica",
    "poetical_works",
    "poemata",
    "paradise_regained",
    "alls_well_that_ends_well",
    "as_you_like_it",
    "hamlet",
    "macbeth",
    "midsummer_nights_dream",
    "romeo_and_juliet",
    "sonnets",
    "tempest",
]
POEMS = 300
REVIEWS = 300
# Tagged documents of the Brown corpus: every so many, so that all genres are there.
TAGGED = 7


def read(path: Path) -> str:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as f:
        return f.read()


def write(name: str, records: list[dict]) -> None:
    write_text(name, "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records), f"{len(records)} records")


def write_text(name: str, text: str, told: str) -> None:
    buffer = io.BytesIO()
    # No name and no time in the gzip header: the same bytes at every run.
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, compresslevel=9, mtime=0) as f:
        f.write(text.encode())
    (HERE / name).write_bytes(buffer.getvalue())
    print(f"{name}: {told}, {len(text.encode())} bytes, {len(buffer.getvalue())} packed")


GENRES = {
    "a": "press: reportage", "b": "press: editorial", "c": "press: reviews", "d": "religion",
    "e": "skills and hobbies", "f": "popular lore", "g": "belles lettres", "h": "government",
    "j": "learned", "k": "fiction: general", "l": "fiction: mystery", "m": "fiction: science",
    "n": "fiction: adventure", "p": "fiction: romance", "r": "humor",
}

CLOSING = {",", ".", ";", ":", "!", "?", ")", "]", "}", "%", "''", "..", "..."}
OPENING = {"(", "[", "{", "$", "``"}


def word(token: str) -> str:
    """The word of `word/tag`; the tag never has a slash, a word may (`and/or/cc`)."""
    return token.rsplit("/", 1)[0]


def line(tokens: list[str]) -> str:
    """Running text: no space before closing punctuation nor behind opening."""
    out = ""
    glue = True
    single_open = False
    for i, w in enumerate(tokens):
        # The corpus doubles marks that end a clause: "; ;", "? ?".
        if w in {";", ":", "?", "!"} and i and tokens[i - 1] == w:
            continue
        # An abbreviation's full stop ends the sentence, too.
        if w == "." and out.endswith(".") and i == len(tokens) - 1:
            continue
        closing = w in CLOSING
        if w == "'":
            # A single quotation mark opens and closes by turns.
            closing, single_open = single_open, not single_open
        if out and not glue and not closing:
            out += " "
        out += {"``": '"', "''": '"'}.get(w, w)
        glue = w in OPENING or (w == "'" and single_open)
    return out


def brown(text: str) -> list[dict]:
    records = []
    for document in re.split(r"^# ", text, flags=re.M)[1:]:
        name, body = document.split("\n", 1)
        paragraphs = []
        # Two empty lines or a tab begin a paragraph; single line ends are between sentences.
        for block in re.split(r"\n\s*\n", body):
            paragraph = ""
            for sentence in block.split("\n"):
                tokens = [word(t) for t in sentence.split()]
                if not tokens:
                    continue
                # A bracket or quotation mark may close behind the sentence that it stands in.
                space = " " if paragraph and tokens[0] not in CLOSING else ""
                paragraph += space + line(tokens)
            if paragraph:
                paragraphs.append(paragraph)
        name = name.strip()
        records.append({"id": name, "genre": GENRES[name[1]], "text": "\n\n".join(paragraphs)})
    return records


def tagged(text: str) -> str:
    """Some documents as they are, sentences without the empty lines and tabs of the layout."""
    documents = re.split(r"^# ", text, flags=re.M)[1::TAGGED]
    lines = ["# " + line if i == 0 else line for d in documents for i, line in enumerate(d.split("\n"))]
    return "".join(line.strip() + "\n" for line in lines if line.strip())


def main() -> None:
    sources = Path(sys.argv[1])
    # As it is, but with our gzip header, so that the bytes depend on the content alone.
    ratings = [json.loads(s) for s in read(sources / "ratings/human_ratings.jsonl.gz").splitlines()]
    write("human_ratings.jsonl.gz", ratings)
    original = read(sources / "brown/brown.tagged.txt.gz")
    write("brown.jsonl.gz", brown(original))
    some = tagged(original)
    write_text("brown_tagged.txt.gz", some, f"{some.count('# ')} documents")
    books = {}
    for s in read(sources / "books/gutenberg.jsonl.gz").split("\n"):
        if s:
            book = json.loads(s)
            books[book["title"]] = book
    write("books.jsonl.gz", [{"id": t, **books[t]} for t in BOOKS])

    def every(path: str, n: int) -> list[dict]:
        lines = [s for s in read(sources / path).split("\n") if s]
        return [json.loads(lines[i * len(lines) // n]) for i in range(n)]

    poems = [{"id": f"poem-{i + 1}", "kind": "poem", **p} for i, p in enumerate(every("zh/tang_poems.jsonl.gz", POEMS))]
    reviews = [{"id": f"review-{i + 1}", "kind": "review", **r} for i, r in enumerate(every("zh/reviews.jsonl.gz", REVIEWS))]
    write("zh.jsonl.gz", poems + reviews)


if __name__ == "__main__":
    main()
