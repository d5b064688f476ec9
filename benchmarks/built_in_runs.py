"""Make the runs that come with invmask: `default` at SPC 10, finished, in assets/runs.

One for each attack on CIFAR-10, one for the clean control and one for Fashion-MNIST.

Those that are there are replaced:

    python -m benchmarks.built_in_runs
"""

import tempfile
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.built_in import ARCHIVES, pack
from invmask.runs.store.records import RunState
from invmask.runs.work.advance import Outcome, advance
from invmask.runs.work.bench import spec_of

ATTACKS = ("badnets", "blended", "bpp", "iab", "lf", "sig", "ssba", "wanet", "clean")
VICTIMS = (*(f"cifar10-preactresnet18w16-{attack}" for attack in ATTACKS), "fashionmnist-cnn4-badnets")
SPC, SEED = 10, 0
NAME = "Built-in run"


def main() -> None:
    """Make them all."""
    for archive in ARCHIVES.glob("*.zip"):
        archive.unlink()
    with tempfile.TemporaryDirectory() as home:
        store = RunStore(Path(home) / "runs")
        for victim in tqdm(VICTIMS, unit="run"):
            run = store.create(replace(spec_of(victim, "default", SPC, SEED, {}), threads=1))
            store.rename(run.id, NAME)
            store.go_on(run.id)
            outcome = advance(run.path)
            if outcome is not Outcome.IDLE or run.summary().state is not RunState.FINISHED:
                raise SystemExit(f"{run.id} did not end: {outcome}, {run.status().message}")
            pack(run.path)


if __name__ == "__main__":
    main()
