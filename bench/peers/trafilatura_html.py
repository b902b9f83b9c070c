"""Main text of HTML pages against trafilatura: pages a second, and how much of the text is the same.

    python bench/peers/trafilatura_html.py CRAWL.warc.gz... --athanor target/release/athanor [--json out.json] [--repeat N]

The pages of the crawls, by warcio; trafilatura.extract with its defaults but for output_format "markdown" (headings and list marks,
as ours), in one process; ours: `athanor corpus` over HTML files with no steps and texts out, on one thread, start-up measured apart. F1 is that of the bags of
tokens (runs of letters and digits, each ideograph by itself), page by page: 2·common / (ours + theirs). Needs
trafilatura==2.3.1 and warcio.
"""

import argparse
import collections
import json
import pathlib
import re
import resource
import statistics
import subprocess
import tempfile
import time

import trafilatura
from warcio.archiveiterator import ArchiveIterator

TOKEN = re.compile(r"[぀-ヿ㐀-䶿一-鿿]|[^\W_぀-ヿ㐀-䶿一-鿿]+")


def bag(text):
    return collections.Counter(TOKEN.findall((text or "").lower()))


def pages(path):
    with open(path, "rb") as stream:
        for record in ArchiveIterator(stream):
            if record.rec_type == "response" and record.http_headers.get_statuscode() == "200":
                if "html" in (record.http_headers.get_header("Content-Type") or ""):
                    yield record.rec_headers.get_header("WARC-Target-URI"), record.content_stream().read()


def cpu(who):
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def ours(athanor, htmls, repeat):
    """Texts by page's number, wall and processor seconds."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "pages").mkdir()
        for n, html in enumerate(htmls):
            (folder / "pages" / f"{n:06}.html").write_bytes(html)
        sources = "".join(
            f'[[corpus.sources]]\nname = "pages-{r}"\npath = {json.dumps(str(folder / "pages"))}\non_error = "skip"\n' for r in range(repeat)
        )
        (folder / "recipe.toml").write_text(
            '[run]\nname = "peer"\n[corpus]\nsteps = []\nheldout_per_thousand = 0\nwrite_texts = true\nwrite_shards = false\n' + sources
        )
        before, wall = cpu(resource.RUSAGE_CHILDREN), time.perf_counter()
        command = [athanor, "corpus", str(folder / "recipe.toml"), "--out", str(folder / "run"), "--set", "run.threads=1"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seconds = (time.perf_counter() - wall, cpu(resource.RUSAGE_CHILDREN) - before)
        texts = {}
        with open(folder / "run/corpus/texts.jsonl") as lines:
            for line in lines:
                record = json.loads(line)
                texts[int(re.search(r"(\d{6})\.html", record["id"])[1])] = record["text"]
        return texts, seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("crawls", nargs="+")
    parser.add_argument("--athanor", required=True)
    parser.add_argument("--repeat", type=int, default=1, help="our pages this many times, for a steady time")
    parser.add_argument("--json")
    args = parser.parse_args()
    result = {}
    every = []
    for path in args.crawls:
        found = list(pages(path))
        every += [(pathlib.Path(path).name, url, html) for url, html in found]
    htmls = [html for _, _, html in every]
    size = sum(map(len, htmls))
    trafilatura.extract(htmls[0], output_format="markdown")
    before, wall = cpu(resource.RUSAGE_SELF), time.perf_counter()
    theirs = [trafilatura.extract(html, output_format="markdown", include_comments=False) for html in htmls]
    wall, seconds = time.perf_counter() - wall, cpu(resource.RUSAGE_SELF) - before
    _, start = ours(args.athanor, htmls[:1], 1)
    texts, own = ours(args.athanor, htmls, args.repeat)
    own = [(o - s) / args.repeat for o, s in zip(own, start)]
    print(f"{len(htmls)} pages, {size} bytes. trafilatura {len(htmls) / wall:.1f} pages/s ({wall:.2f} s wall, {seconds:.2f} s CPU); "
          f"athanor, one thread, {len(htmls) / own[0]:.1f} ({own[0]:.2f} s wall, {own[1]:.2f} s CPU); ratio {wall / own[0]:.1f} by the wall, {seconds / own[1]:.1f} by CPU")
    result["seconds"] = {"trafilatura": [wall, seconds], "athanor": own, "pages": len(htmls)}
    worst = []
    for crawl in dict.fromkeys(name for name, _, _ in every):
        scores, precisions, recalls = [], [], []
        for n, (name, url, _) in enumerate(every):
            if name != crawl:
                continue
            a, b = bag(texts.get(n)), bag(theirs[n])
            common, total = (a & b).total(), a.total() + b.total()
            scores.append(2 * common / total if total else 1.0)
            if a and b:
                precisions.append(common / a.total())
                recalls.append(common / b.total())
            worst.append((scores[-1], url, a.total(), b.total()))
        result[crawl] = {"pages": len(scores), "mean_f1": statistics.mean(scores), "median_f1": statistics.median(scores)}
        print(f"{crawl}: {len(scores)} pages, F1 mean {statistics.mean(scores):.4f}, median {statistics.median(scores):.4f}; "
              f"of our tokens {statistics.mean(precisions):.4f} are trafilatura's, of its tokens {statistics.mean(recalls):.4f} ours")
    for score, url, a, b in sorted(worst)[:12]:
        print(f"  {score:.3f} {url}: {a} tokens, trafilatura {b}")
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
