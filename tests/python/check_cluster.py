"""Are the job files in recipes/cluster what Kubernetes and Slurm take, and do they run?

    pip install kubernetes-validate==1.37.0
    python tests/python/check_cluster.py --athanor target/release/athanor

kubernetes.yaml is parsed and held against the OpenAPI schema of each Kubernetes version that the package has
from --oldest (1.24) on, unknown keys being errors; then what no schema says: the number of pods in its three
places, volumes and mounts, processors and threads. With --athanor the pods' own command is run, every index once
and --at-once (4) at a time, on a small corpus in a folder in place of /data, and so is slurm.sh; shards, texts and
account have to be those of one process, byte for byte. Without the package the check of the schema is skipped. Exits 1
if anything is wrong.
"""

import argparse
import concurrent.futures
import filecmp
import gzip
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
CLUSTER = ROOT / "recipes" / "cluster"
RECIPE = """
[corpus]
write_texts = true
steps = ["control", "language", "length", "duplicates", "minhash"]
tokenizer.vocab_size = 512

sources = [
    { name = "zh", path = "zh.jsonl" },
    { name = "brown", path = "brown.jsonl", max_bytes = 1000000 },
]
"""


def check_schema(documents, oldest):
    try:
        import kubernetes_validate
    except ImportError:
        print("schema: skipped, kubernetes-validate is not installed")
        return
    number = lambda version: tuple(int(part) for part in version.split(".")[:2])
    versions = sorted(kubernetes_validate.utils.all_versions(), key=number)
    versions = [v for v in versions if number(v) >= number(oldest)]
    for version in versions:
        for document in documents:
            kubernetes_validate.validate(document, version, strict=True)
    print(f"schema: fits Kubernetes {versions[0]} to {versions[-1]} ({len(versions)} versions)")


def check_job(job):
    """What the schema does not say; the pods' command and its environment."""
    spec = job["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    command = container["command"] + container["args"]
    count = spec["completions"]
    assert job["kind"] == "Job" and spec["completionMode"] == "Indexed"
    assert spec["parallelism"] == count, "as many pods at a time as there are indices"
    assert re.search(rf'--task "\$JOB_COMPLETION_INDEX/{count}"', command[-1]), command
    threads = re.search(r"run\.threads=(\d+)", command[-1])
    assert threads and threads[1] == container["resources"]["requests"]["cpu"], "threads and processors"
    assert pod["restartPolicy"] in ("OnFailure", "Never")
    mounts = {m["name"]: m["mountPath"] for m in container["volumeMounts"]}
    assert set(mounts) == {v["name"] for v in pod["volumes"]}, "each volume is mounted"
    used = re.findall(r"(?<=\s)/\S+", command[-1]) + [e["value"] for e in container["env"]]
    inside = [path.startswith(tuple(f"{m}/" for m in mounts.values())) for path in used]
    assert used and all(inside), "what is read and written is on the volume"
    return command, {e["name"]: e["value"] for e in container["env"]}, count, mounts["data"]


def same(left, right):
    names = sorted(p.name for p in left.glob("*") if p.suffix in (".bin", ".jsonl") or p.name in ("account.json", "datacard.md"))
    assert any(n.startswith("train") for n in names), names
    _, differ, missing = filecmp.cmpfiles(left, right, names, shallow=False)
    assert not differ and not missing, (differ, missing)
    return names


def run_jobs(athanor, command, variables, count, mount, at_once):
    athanor = pathlib.Path(athanor).resolve()
    with tempfile.TemporaryDirectory() as folder:
        data = pathlib.Path(folder, "data")
        (data / "bin").mkdir(parents=True)
        shutil.copy(athanor, data / "bin" / "athanor")
        for name in ("zh", "brown"):
            with gzip.open(ROOT / "data" / f"{name}.jsonl.gz", "rb") as packed:
                (data / f"{name}.jsonl").write_bytes(packed.read())
        (data / "recipe.toml").write_text(RECIPE)
        here = lambda text: text.replace(f"{mount}/", f"{data}/")
        path = f"{data / 'bin'}:{os.environ['PATH']}"
        own = {**os.environ, **{n: here(v) for n, v in variables.items()}, "PATH": path}

        def run(arguments, **more):
            done = subprocess.run(arguments, env={**own, **more}, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr

        run(["athanor", "corpus", str(data / "recipe.toml"), "--out", str(data / "one")])
        pods = [here(part) for part in command]
        with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
            tasks = [pool.submit(run, pods, JOB_COMPLETION_INDEX=str(n)) for n in range(count)]
            [task.result() for task in tasks]
        names = same(data / "one" / "corpus", data / "run" / "corpus")
        print(f"kubernetes.yaml: {count} pods made what one process makes ({', '.join(names)})")
        slurm = ["bash", str(CLUSTER / "slurm.sh"), str(data / "recipe.toml"), str(data / "slurm")]
        for n in range(2):
            run(slurm, SLURM_ARRAY_TASK_ID=str(n), SLURM_ARRAY_TASK_COUNT="2", SLURM_CPUS_PER_TASK="1")
        same(data / "one" / "corpus", data / "slurm" / "corpus")
        print("slurm.sh: two tasks made what one process makes")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--athanor")
    parser.add_argument("--oldest", default="1.24")
    parser.add_argument("--at-once", type=int, default=4)
    options = parser.parse_args()
    try:
        import yaml
    except ImportError:
        print("kubernetes.yaml: skipped, PyYAML is not installed")
        return 0
    documents = list(yaml.safe_load_all((CLUSTER / "kubernetes.yaml").read_text()))
    check_schema(documents, options.oldest)
    (job,) = documents
    command, variables, count, mount = check_job(job)
    print(f"kubernetes.yaml: {count} pods; {command[-1]}")
    if options.athanor:
        run_jobs(options.athanor, command, variables, count, mount, options.at_once)
    return 0


if __name__ == "__main__":
    sys.exit(main())
