"""What the workers' memory setting is worth: rounds in a worker with Dask's own and with ours, in turn.

A trim threshold of 64 KB, which Dask gives its workers, makes glibc hand every freed tensor back to the system.

    python -m benchmarks.workers --json
"""

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks import speed
from invmask.runs.cluster.executor import Executor
from invmask.runs.cluster.workers import ALLOCATOR
from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.records import RunState
from invmask.runs.work.bench import spec_of

VICTIM = "cifar10-preactresnet18w16-badnets"
SHORT = {"rounds_search": 9, "rounds_minimise": 5, "rounds_sparsify": 0}
# If a trim threshold is set, glibc no longer adapts its other threshold.
DASKS = {
    "MALLOC_ARENA_MAX": str(8 * (os.cpu_count() or 1)),
    "MALLOC_MMAP_THRESHOLD_": "131072",
    "MALLOC_TRIM_THRESHOLD_": "65536",
}


def main() -> None:
    """Measure, print, and store."""
    parser = speed.parser(__doc__, "workers")
    arguments = speed.begin(parser)
    taken: dict[str, list[dict[str, float]]] = {"dask": [], "ours": []}
    for _ in range(arguments.times):
        for name, setting in (("dask", DASKS), ("ours", ALLOCATOR)):
            taken[name].append(seconds(setting, arguments.threads))
    phases = taken["ours"][0]
    result: dict[str, Any] = {
        "what": "median seconds of a round in a worker of its own, SPC 10, by phase; ratio: Dask's setting over ours",
        "victim": VICTIM,
        "n": arguments.times,
        "seconds": taken,
        "ratio": {
            phase: [dasks[phase] / ours[phase] for dasks, ours in zip(taken["dask"], taken["ours"], strict=True)]
            for phase in phases
        },
    }
    speed.keep(arguments, result)


def seconds(setting: dict[str, str], threads: int) -> dict[str, float]:
    """Median seconds of a round by phase, without the first round of each phase."""
    with tempfile.TemporaryDirectory() as home, mock.patch.dict(os.environ, setting):
        executor = Executor(RunStore(Path(home)), workers=1, threads=threads).start()
        try:
            run = executor.create(spec_of(VICTIM, "default", 10, 0, SHORT))
            executor.go_on(run.id)
            while run.summary().state not in (RunState.FINISHED, RunState.FAILED):
                time.sleep(0.2)
            by_phase: dict[str, list[float]] = {}
            for entry in run.entries():
                by_phase.setdefault(entry.record.stage, []).append(entry.seconds)
        finally:
            executor.close()
    return {phase: statistics.median(each[1:]) for phase, each in by_phase.items()}


if __name__ == "__main__":
    main()
