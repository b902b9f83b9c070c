"""How long writing takes beside busy programs: builds of athanor in turn, with 0, 1 and 2 endless loops running.

    python3 bench/beside.py MODEL target/release/athanor OLDER-ATHANOR --rounds 5

Prints each build's median and its runs, in seconds.
"""

import argparse
import statistics
import subprocess
import sys
import time


def seconds(build, options):
    command = [build, "generate", options.model, "--raw", "--prompt", "Once upon a time", "--quiet"]
    command += ["--number", str(options.number), "--max-tokens", str(options.tokens)]
    start = time.monotonic()
    try:
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    except OSError as error:
        sys.exit(f"error: {build} cannot be run: {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)  # It has said why.
    return time.monotonic() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a model folder, a stage's or a run's")
    parser.add_argument("builds", nargs="+", help="athanor programs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--number", type=int, default=16, help="texts")
    parser.add_argument("--tokens", type=int, default=100, help="tokens of each text, at most")
    options = parser.parse_args()
    for loops in range(3):
        busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
        try:
            taken = {build: [] for build in options.builds}
            for _ in range(options.rounds):
                for build, runs in taken.items():
                    runs.append(seconds(build, options))
        finally:
            for loop in busy:
                loop.kill()
        for build, runs in taken.items():
            each = " ".join(f"{s:.2f}" for s in sorted(runs))
            print(f"{loops} loops  {build}  median {statistics.median(runs):.2f}  ({each})", flush=True)


if __name__ == "__main__":
    main()
