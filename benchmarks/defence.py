"""How long a whole defence takes, as a user has it: a run in a directory, every round measured and stored.

Each defence is the command `defend` in a process of its own, so that start-up and peak memory are its own too:

    python -m benchmarks.defence --spc 10 2 100 --json
    python -m benchmarks.defence --victim fashionmnist-cnn4-badnets --spc 10

With another checkout of the repository its defences are measured in turn with these, each beside its pair:

    git worktree add ../before COMMIT && python -m benchmarks.defence --before ../before
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import speed
from benchmarks.checkout import ROOT, commit
from invmask.machine import choose_precision

VICTIM = "cifar10-preactresnet18w16-badnets"
CHILD = """
import json, resource, subprocess, sys, time
started = time.perf_counter()
run = subprocess.run([sys.executable, "-m", "invmask", "defend", *sys.argv[1:]], check=True, stdout=subprocess.PIPE)
ended = time.perf_counter()
told = json.loads(run.stdout)
print(json.dumps({
    "seconds": ended - started, "rounds": told["rounds"], "seconds_in_rounds": told["seconds"],
    "peak_memory_bytes": 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss}))
"""
"""Has the command run a defence, for its words are the same in every checkout; a process of its own, for its memory."""


def main() -> None:
    """Measure, print, and store; stored results are measured again only with `--again`."""
    parser = speed.parser(__doc__, "defence")
    parser.add_argument("--victim", default=VICTIM)
    parser.add_argument("--preset", default="default")
    parser.add_argument("--spc", nargs="+", type=int, default=[10, 2, 100])
    parser.add_argument("--precisions", nargs="+", default=None, help="this machine's best, and float32")
    parser.add_argument("--before", type=Path, help="another checkout of the repository, to compare with")
    parser.add_argument("--again", action="store_true")
    arguments = speed.begin(parser)
    if arguments.before is not None and not (arguments.before / "invmask").is_dir():
        parser.error(f"{arguments.before} is no checkout of this repository.")
    best = choose_precision(arguments.device)
    for spc in arguments.spc:
        for precision in arguments.precisions or dict.fromkeys([best, "float32"]):
            of_victim = "" if arguments.victim == VICTIM else f"{arguments.victim}_"
            name = f"{of_victim}{arguments.preset}_spc{spc}_{precision}"
            if speed.file_of(arguments, name).exists() and not arguments.again and arguments.before is None:
                continue
            found = measure(arguments, spc, precision)
            speed.keep(arguments, found, name)
            before = f", before {found['before']['median_seconds']:.1f} s" if arguments.before else ""
            print(f"{name}: median {found['median_seconds']:.1f} s of {arguments.times}{before}", file=sys.stderr)


def measure(arguments: argparse.Namespace, spc: int, precision: str) -> dict[str, Any]:
    """Measure one kind of defence several times; with another checkout, in turn with that checkout's defence."""
    taken, before = [], []
    for _ in range(arguments.times):
        taken.append(_one(arguments, spc, precision, ROOT))
        if arguments.before is not None:
            before.append(_one(arguments, spc, precision, arguments.before))
    compared = {}
    if arguments.before is not None:
        ratios = [earlier["seconds"] / one["seconds"] for earlier, one in zip(before, taken, strict=True)]
        median = statistics.median(one["seconds"] for one in before)
        compared["before"] = {"commit": commit(arguments.before), "median_seconds": median, "defences": before}
        compared["before / now"] = ratios
    return {
        "what": "seconds of the command defend, imports and all measuring included",
        "victim": arguments.victim,
        "preset": arguments.preset,
        "spc": spc,
        "precision": precision,
        "commit": commit(),
        "n": len(taken),
        "median_seconds": statistics.median(one["seconds"] for one in taken),
        "defences": taken,
        **compared,
    }


def _one(arguments: argparse.Namespace, spc: int, precision: str, checkout: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as home:
        how = [arguments.victim, "--preset", arguments.preset, "--spc", str(spc), "--precision", precision, "--json"]
        threads = str(arguments.threads)
        of_run = {"INVMASK_HOME": home, "INVMASK_THREADS": threads, "INVMASK_DEVICE": arguments.device}
        child = subprocess.run(
            [sys.executable, "-c", CHILD, *how],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **of_run, "OMP_NUM_THREADS": threads, "TQDM_DISABLE": "1"},
            cwd=checkout,
        )
    return json.loads(child.stdout.strip().splitlines()[-1])


if __name__ == "__main__":
    main()
