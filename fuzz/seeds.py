"""Makes fuzz/corpus/TARGET from the fixtures of the tests and, if given, from files of your own:

    python3 fuzz/seeds.py [FILE ...]

A file goes to the target that its name tells (.warc.gz, .epub, .xml.bz2, .html, .csv, .jsonl, .gguf,
tokenizer.json, Posts.xml), cut to its first records: seeds should be small.
"""

import bz2
import gzip
import io
import json
import pathlib
import struct
import sys
import zipfile

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent
FIXTURES = ROOT / "tests" / "fixtures"
# Bytes of a seed.
MOST = 60_000


def put(target, name, data):
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def parts(*all):
    """As athanor_fuzz::parts takes them apart."""
    return b"".join(struct.pack("<H", len(p)) + p for p in all[:-1]) + all[-1]


def models():
    for folder in sorted((FIXTURES / "hf").iterdir()):
        if not folder.is_dir():
            continue
        config = (folder / "config.json").read_bytes()
        weights = (folder / "model.safetensors").read_bytes()
        put("model", folder.name + "-config", config)
        if len(weights) < MOST:
            put("model", folder.name, config + b"\0" + weights)
            put("arrays", folder.name, weights)
    put("gguf", "blocks", (FIXTURES / "gguf" / "blocks.gguf").read_bytes())


def safetensors(*arrays):
    header, data = {}, b""
    for name, dtype, shape, body in arrays:
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(body)]}
        data += body
    header = json.dumps(header).encode()
    return struct.pack("<Q", len(header)) + header + data


def state():
    import hashlib

    weights = safetensors(("w", "F32", [2, 1], bytes(8)), ("m", "I64", [1], bytes(8)))
    put("arrays", "small", weights)
    for dtype, size in [("F16", 2), ("BF16", 2), ("F64", 8), ("U8", 1), ("BOOL", 1), ("U64", 8)]:
        put("arrays", dtype, safetensors(("x", dtype, [3], bytes(3 * size))))
    entry = lambda name, data: {"name": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    state = b'{"cursor": {"epoch": 0, "position": 5}}'
    manifest = {"athanor": "0.1.0", "step": 5, "files": [entry("weights.safetensors", weights), entry("state.json", state)]}
    put("checkpoint", "small", parts(json.dumps(manifest).encode(), state, weights))
    tokens = struct.pack("<6H", 1, 2, 0, 3, 4, 0)
    docs = struct.pack("<3Q", 0, 3, 6)
    shard = {"file": "train-00000.bin", "split": "train", "tokens": 6, "documents": 2, "bytes": 12,
             "sha256": hashlib.sha256(tokens).hexdigest(), "docs_sha256": hashlib.sha256(docs).hexdigest()}
    index = {"version": 1, "dtype": "u16", "vocab_size": 5, "tokenizer": "", "end_of_document": 0, "shards": [shard]}
    put("shards", "small", parts(json.dumps(index).encode(), docs, tokens))


def tokenizers():
    base = {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": 0, "content": "<|end|>", "single_word": False, "lstrip": True, "rstrip": True,
                          "normalized": False, "special": True}],
        "normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": None, "model": None,
    }
    vocab = {t: n for n, t in enumerate(["a", "b", "c", "t", "ab", "##a", "[UNK]", "<0x61>", "th", "h", "e"])}
    models = [
        {"type": "BPE", "dropout": None, "unk_token": "a", "continuing_subword_prefix": None,
         "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
         "vocab": vocab, "merges": [["a", "b"], ["t", "h"]]},
        {"type": "BPE", "unk_token": "a", "continuing_subword_prefix": "##", "vocab": vocab, "merges": ["a b"]},
        {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
         "max_input_chars_per_word": 100, "vocab": vocab},
        {"type": "WordLevel", "unk_token": "a", "vocab": vocab},
        {"type": "Unigram", "unk_id": 0, "byte_fallback": True, "vocab": [[t, -1.5] for t in vocab]},
    ]
    regex = lambda r: {"type": "Split", "pattern": {"Regex": r}, "behavior": "Isolated", "invert": False}
    replace = lambda p, c: {"type": "Replace", "pattern": p, "content": c}
    sequence = lambda key, *all: {"type": "Sequence", key: list(all)}
    special = lambda t: {"SpecialToken": {"id": t, "type_id": 0}}
    text = lambda t: {"Sequence": {"id": t, "type_id": 1}}
    sets = {
        "normalizer": [
            sequence("normalizers", {"type": "NFKC"}, {"type": "Lowercase"}, replace({"Regex": " {2,}"}, " ")),
            sequence("normalizers", {"type": "Prepend", "prepend": "_"}, replace({"String": " "}, "_")),
            {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None,
             "lowercase": True},
            {"type": "Strip", "strip_left": True, "strip_right": True}, {"type": "StripAccents"}, {"type": "Nmt"},
            {"type": "ByteLevel"}, {"type": "Precompiled", "precompiled_charsmap": "AAQAAA" + "A" * 1366 + "YQA="},
        ],
        "pre_tokenizer": [
            regex(r"(?i:'s|'t)|[^\r\n\p{L}]?\p{L}+|\p{N}{1,3}|\s+(?!\S)|\s+"), regex(r"(?<=a)b|(a)\1"),
            sequence("pretokenizers", {"type": "BertPreTokenizer"}, {"type": "Digits", "individual_digits": True}),
            {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
            {"type": "Metaspace", "replacement": "_", "prepend_scheme": "always", "split": True},
            {"type": "Punctuation", "behavior": "Contiguous"}, {"type": "Whitespace"}, {"type": "WhitespaceSplit"},
            {"type": "CharDelimiterSplit", "delimiter": "c"}, {"type": "UnicodeScripts"},
            {"type": "FixedLength", "length": 3},
        ],
        "post_processor": [
            {"type": "TemplateProcessing", "single": [special("a"), text("A")],
             "pair": [text("A"), special("a"), text("B")],
             "special_tokens": {"a": {"id": "a", "ids": [0], "tokens": ["a"]}}},
            {"type": "BertProcessing", "sep": ["b", 1], "cls": ["a", 0]},
            {"type": "RobertaProcessing", "sep": ["b", 1], "cls": ["a", 0], "trim_offsets": True, "add_prefix_space": True},
            sequence("processors", {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}),
        ],
        "decoder": [
            {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
            {"type": "WordPiece", "prefix": "##", "cleanup": True}, {"type": "BPEDecoder", "suffix": "</w>"},
            {"type": "Metaspace", "replacement": "_", "prepend_scheme": "first", "split": False},
            {"type": "CTC", "pad_token": "a", "word_delimiter_token": "b", "cleanup": True},
            sequence("decoders", replace({"String": "_"}, " "), {"type": "ByteFallback"}, {"type": "Fuse"},
                     {"type": "Strip", "content": "a", "start": 1, "stop": 2}),
        ],
    }
    for n, model in enumerate(models):
        put("tokenizer", f"model-{n}", json.dumps(base | {"model": model}).encode())
    for key, values in sets.items():
        for n, value in enumerate(values):
            made = base | {"model": models[n % len(models)], key: value}
            put("tokenizer", f"{key}-{n}", json.dumps(made).encode())


TEMPLATES = {
    "chatml": "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] | trim + '<|im_end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    "llama": "{%- set ns = namespace(n=0) -%}{% for m in messages %}{% if loop.first and m.role == 'system' %}{% continue %}"
    "{% endif %}{% generation %}{{ m.content.strip() }}{% endgeneration %}{% set ns.n = ns.n + 1 %}{% endfor %}"
    "{{ ns.n }}{{ bos_token }}{{ messages | tojson(indent=2) }}{{ strftime_now('%d %b %Y') }}",
    "macro": "{% macro f(x) %}{{ x[:2] | upper }}{{ f(x[1:]) if x | length > 1 }}{% endmacro %}{{ f('abc') }}"
    "{{ raise_exception('no') if messages | length > 9 }}",
    "range": "{% for i in range(10) %}{{ i * 3 // 2 % 5 }}{% else %}x{% endfor %}{{ 'a' * 3 ~ [1, 2] | join(', ') }}",
}
FIELDS = {
    "words": "{{ text | words(1, 3) }}|{{ zh | words(2) }}",
    "mean": "{{ ratings | mean | bucket([-1, 0.75, 2], ['a', 'b', 'c', 'd']) }}",
    "choose": "{{ choose(['a', 'b']) }}{{ [1, 2] | choose }}",
    "expression": "domain == 'movie' and (ratings | mean) > 1",
    "loops": "{% for r in ratings | sort(reverse=true) %}{{ r | abs }}{% endfor %}{{ domain.upper().replace('M', '') }}",
}

PAGE = """<!DOCTYPE html><html><head><title>Of cats</title><meta charset="utf-8"></head><body><nav><a href="/">Home</a>
</nav><article><h1>Of cats</h1><p>The cat sat on the <b>mat</b>, and it was <i>warm</i> there. &eacute;&#20154;</p>
<ul><li>one<li>two<ol><li>three</ol></ul><table><tr><td>a<td>b</table><pre>x
  y</pre><p>It slept, and the evening came over the roofs of the town.</p></article><footer>(c)</footer></body></html>"""
WIKITEXT = """{{Infobox|a=b|{{nested|c}}}}'''Cats''' are [[Felidae|small cats]], {{convert|5|km|mi}} {{lang|zh|貓}}.<ref name="a">x</ref>
== See [[also]] ==
* one
*# two [https://example.org words]
{| class="x"
! a !! b
|-
| c || d
|}
<nowiki>[[x]]</nowiki> <math>a_b</math> -{zh-hans:猫;zh-hant:貓}- __NOTOC__ &amp;nbsp; ( ; , )
== References ==
{{reflist}} [[Category:Cats]]"""


def mediawiki(pages):
    body = "".join(
        f"  <page>\n    <title>T{n}</title>\n    <ns>0</ns>\n    <id>{n}</id>\n    <revision>\n      <id>1</id>\n"
        f"      <model>wikitext</model>\n      <text xml:space=\"preserve\">{page}</text>\n    </revision>\n  </page>\n"
        for n, page in enumerate(pages)
    )
    return f"<mediawiki>\n  <siteinfo>\n    <base>https://en.wikipedia.org/wiki/Main_Page</base>\n  </siteinfo>\n{body}</mediawiki>\n".encode()


def warc(kind, body, extra=""):
    body = body.encode()
    return f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: http://a.b/\r\n{extra}Content-Length: {len(body)}\r\n\r\n".encode() + body + b"\r\n\r\n"


def epub():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("mimetype", "application/epub+zip")
        z.writestr("META-INF/container.xml", '<container><rootfiles><rootfile full-path="o/c.opf"/></rootfiles></container>')
        z.writestr("o/c.opf", '<package><metadata><dc:title>T</dc:title></metadata><manifest><item id="a" href="a%20b.xhtml" '
                   'media-type="application/xhtml+xml"/></manifest><spine><itemref idref="a"/></spine></package>')
        z.writestr("o/a b.xhtml", PAGE)
    return out.getvalue()


def documents():
    for target, all in [("chat_template", TEMPLATES), ("record_template", FIELDS)]:
        for name, text in all.items():
            put(target, name, text.encode())
    put("html", "page", PAGE.encode())
    put("wikitext", "page", WIKITEXT.encode())
    escaped = WIKITEXT.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    dump = mediawiki([escaped, "#REDIRECT [[T0]]", "<![CDATA[x]]>"])
    put("mediawiki", "dump", dump)
    put("mediawiki", "dump.bz2", bz2.compress(dump))
    http = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + PAGE
    chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/plain\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    crawl = warc("warcinfo", "x") + warc("response", http) + warc("response", chunked) + warc("conversion", "words\n")
    put("warc", "crawl", crawl)
    put("warc", "crawl.gz", gzip.compress(crawl))
    put("epub", "book", epub())
    rows = '<posts>\n  <row Id="1" PostTypeId="1" AcceptedAnswerId="2" Score="3" Title="Q" Body="&lt;p&gt;x&lt;/p&gt;" />\n' \
        '  <row Id="2" PostTypeId="2" ParentId="1" Score="-1" Body="&lt;b&gt;y" />\n</posts>\n'
    put("stackexchange", "posts", rows.encode())
    put("csv", "table", b'id,text,url\n1,"a ""b""\nc",u\n2,d,\n')
    for path in sorted((FIXTURES / "parquet").glob("*.parquet")):
        # The small ones: a flipped byte then tells more.
        if path.stat().st_size < 16384:
            put("parquet", path.stem, path.read_bytes())
    lines = b'{"id": 1, "text": "a"}\n\n{"text": "\\u4eba", "url": "u"}\n[1]\n'
    put("jsonl", "lines", lines)
    for name, data in [("plain", lines), ("gz", gzip.compress(lines) * 2), ("bz2", bz2.compress(lines) * 2)]:
        put("packed", name, data)
    # A Zstandard frame of one raw block.
    put("packed", "zst", bytes.fromhex("28b52ffd20") + bytes([3]) + (3 << 3 | 1).to_bytes(3, "little") + b"{}\n")
    for recipe in sorted((ROOT / "recipes").glob("*.toml")):
        put("recipe", recipe.stem, b"corpus.heldout_per_thousand=5\n" + recipe.read_bytes())


def own(path):
    name, data = path.name, path.read_bytes()
    if name.endswith(".gguf"):
        return put("gguf", name, data[:MOST])
    if name.endswith(".epub"):
        return put("epub", name, data)
    if name == "tokenizer.json":
        return put("tokenizer", path.parent.name, data) if len(data) < MOST else None
    if name.endswith(".bz2"):
        name, data = name[:-4], bz2.decompress(data)
    elif name.endswith(".gz"):
        name, data = name[:-3], gzip.decompress(data)
    for ending, target in [("Posts.xml", "stackexchange"), (".warc", "warc"), (".wet", "warc"), (".xml", "mediawiki"),
                           (".html", "html"), (".csv", "csv"), (".jsonl", "jsonl")]:
        if name.endswith(ending):
            starts = range(0, len(data), max(len(data) // 8, 1)) if target != "html" else [0]
            for n, at in enumerate(starts):
                mark = {"warc": b"WARC/1.", "mediawiki": b"  <page>"}.get(target, b"")
                at = max(data.find(mark, at), 0)
                put(target, f"{name}-{n}", data[at : at + MOST])
            return None
    print(f"{path}: no target reads such a file", file=sys.stderr)
    return None


def main():
    models()
    state()
    tokenizers()
    documents()
    for path in sys.argv[1:]:
        own(pathlib.Path(path))


main()
