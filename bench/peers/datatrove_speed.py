"""Documents a second against datatrove: the same documents, the same rules, files in, files out.

    python bench/peers/datatrove_speed.py docs.jsonl --athanor target/release/athanor --what filters [--documents 2000]
    python bench/peers/datatrove_speed.py docs.jsonl --athanor target/release/athanor --what minhash

`filters`: Gopher quality, Gopher repetition, C4 and FineWeb, one after the other. `minhash`: signatures (14 bands of
8, 5-word shingles), buckets, clusters, the filter. datatrove runs in its LocalPipelineExecutor with as many tasks and workers
as --workers says, on files split beforehand; it reads its documents from JSON lines and writes what it keeps as
JSON lines, as we do (write_texts, write_shards = false). datatrove gets the first --documents of the file, as it takes
long; we get --ours of them. Both are run in turn --runs times; wall and processor seconds with their
children, and start-up measured apart (40 documents) and taken off, as it is no matter of documents. Needs datatrove==0.10.1
, spacy 3.8 and xxhash below 4.
"""

import argparse
import json
import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

FILTERS = ["gopher_quality", "gopher_repetition", "c4", "fineweb"]


def theirs_main(what, folder, workers):
    """In a process of its own, so that its children's processor time can be measured."""
    os.environ["LOGURU_LEVEL"] = "ERROR"
    from loguru import logger

    logger.remove()
    from datatrove.executor.local import LocalPipelineExecutor
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers.jsonl import JsonlWriter

    def run(name, pipeline, tasks=workers):
        LocalPipelineExecutor(pipeline, tasks=tasks, workers=workers, logging_dir=f"{folder}/log/{name}").run()

    out = JsonlWriter(f"{folder}/out", compression=None)
    if what == "filters":
        filters = [GopherQualityFilter(), GopherRepetitionFilter(), C4QualityFilter(), FineWebQualityFilter()]
        run("filters", [JsonlReader(f"{folder}/in"), *filters, out])
        return
    from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets

    config = MinhashConfig()
    run("signatures", [JsonlReader(f"{folder}/in"), MinhashDedupSignature(f"{folder}/sig", config=config)])
    run("buckets", [MinhashDedupBuckets(f"{folder}/sig", f"{folder}/buckets", config=config)], config.num_buckets)
    run("clusters", [MinhashDedupCluster(f"{folder}/buckets", f"{folder}/remove", config=config)], 1)
    run("filter", [JsonlReader(f"{folder}/in"), MinhashDedupFilter(f"{folder}/remove"), out])


def timed(command):
    before, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - wall, cpu


def split(lines, folder, parts):
    (folder / "in").mkdir(parents=True)
    for part in range(parts):
        (folder / "in" / f"{part}.jsonl").write_text("".join(lines[part::parts]))


def theirs(lines, args):
    with tempfile.TemporaryDirectory() as name:
        split(lines, pathlib.Path(name), args.workers)
        figures = timed([sys.executable, __file__, "--inner", name, "--what", args.what, "--workers", str(args.workers)])
        kept = sum(len(p.read_text().splitlines()) for p in pathlib.Path(name, "out").glob("*.jsonl"))
        return figures, kept


def ours(lines, args):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        split(lines, folder, args.workers)
        steps = FILTERS if args.what == "filters" else ["minhash"]
        rules = "".join(f'[corpus.settings.{s}]\nrules = "english"\n' for s in steps if s != "minhash")
        (folder / "recipe.toml").write_text(
            f'[run]\nname = "peer"\n[corpus]\nsteps = {json.dumps(steps)}\nheldout_per_thousand = 0\nwrite_texts = true\n'
            f'write_shards = false\n{rules}[[corpus.sources]]\nname = "docs"\npath = {json.dumps(str(folder / "in"))}\n'
        )
        figures = timed([args.athanor, "corpus", str(folder / "recipe.toml"), "--out", str(folder / "run"), "--set", f"run.threads={args.workers}"])
        with open(folder / "run/corpus/texts.jsonl") as texts:
            kept = sum(1 for _ in texts)
        return figures, kept


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("docs", nargs="?")
    parser.add_argument("--athanor")
    parser.add_argument("--what", choices=["filters", "minhash"], required=True)
    parser.add_argument("--documents", type=int, default=1000)
    parser.add_argument("--ours", type=int, default=20000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--inner")
    args = parser.parse_args()
    if args.inner:
        return theirs_main(args.what, args.inner, args.workers)
    lines = open(args.docs).readlines()
    few, many = lines[: args.documents], lines[: args.ours]
    size = lambda ls: sum(len(l.encode()) for l in ls) / len(ls)
    print(f"documents of {size(few):.0f} (datatrove) and {size(many):.0f} bytes (ours) on average")
    start_theirs, _ = theirs(lines[:40], args)
    start_ours, _ = ours(lines[:40], args)
    print(f"start-up: datatrove {start_theirs[0]:.2f} s wall, {start_theirs[1]:.2f} s CPU; athanor {start_ours[0]:.2f}, {start_ours[1]:.2f}")
    rates = []
    for _ in range(args.runs):
        (wall, cpu), kept = theirs(few, args)
        per = ((wall - start_theirs[0]) / len(few), (cpu - start_theirs[1]) / len(few))
        (own_wall, own_cpu), own_kept = ours(many, args)
        own = ((own_wall - start_ours[0]) / len(many), (own_cpu - start_ours[1]) / len(many))
        rates.append((per[0] / own[0], per[1] / own[1]))
        print(
            f"datatrove {1 / per[0]:.0f} documents/s ({wall:.2f} s wall, {cpu:.2f} s CPU, {kept} of {len(few)} kept); "
            f"athanor {1 / own[0]:.0f} ({own_wall:.2f} s, {own_cpu:.2f} s CPU, {own_kept} of {len(many)} kept); "
            f"ratio {rates[-1][0]:.1f} by the wall, {rates[-1][1]:.1f} by CPU"
        )
    print(f"median ratio {statistics.median(r[0] for r in rates):.1f} by the wall, {statistics.median(r[1] for r in rates):.1f} by CPU")


if __name__ == "__main__":
    main()
