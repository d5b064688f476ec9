"""Whether an accelerator gives what the processor gives: train, defend, evidence, cuts and export, once on each.

Every step is a process of its own, as a user has it. What is trained is brief: two epochs on the embedded images, laid
into a folder; the defence is of a victim that comes with invmask. Without the device: one sentence, and exit status 2.

    python -m benchmarks.cuda
    python -m benchmarks.cuda --device cpu --rounds-max 4 --victim fashionmnist-cnn4-badnets --out cpu.json
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.speed import RESULTS
from invmask.data.embedded import load_embedded
from invmask.errors import UserError
from invmask.machine import processor
from invmask.runs.store.all_runs import RunStore
from invmask.runs.work import cut_curves, evidence
from invmask.runs.work.bench import check_device
from invmask.victims.victim import versions

ROOT = Path(__file__).parents[1]
RESULT = RESULTS / "cuda.json"
VICTIM = "cifar10-preactresnet18w16-badnets"
DATASET, TRAINED = "folder:embedded@32", "brief"
MEASURE = """
import sys
from pathlib import Path
from invmask.runs import evidence, tuning
from invmask.runs.work.measure_cuts import measure_cuts
from invmask.runs.work.gather_evidence import gather
from invmask.runs.store.run import Run
run = Run(Path(sys.argv[1]))
errand, work = {"evidence": (evidence.ERRAND, gather), "cuts": (tuning.ERRAND, measure_cuts)}[sys.argv[2]]
errand.ask(run, run.committed().round)
work(run.path)
sys.exit(errand.problem(run))
"""


def main() -> int:
    """Measure both devices, compare, print and store; returns 2 if this machine lacks a device."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--against", default="cpu")
    parser.add_argument("--victim", default=VICTIM, help="that is defended")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32", help="of both")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rounds-max", type=int, default=None, metavar="N")
    parser.add_argument("--out", type=Path, default=RESULT)
    asked = parser.parse_args()
    try:
        check_device(asked.device)
        check_device(asked.against)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    found = [on(device, asked) for device in (asked.device, asked.against)]
    result = {
        "what": "train, defend, evidence, cuts and export, once on each device; differences: first minus second",
        "devices": [asked.device, asked.against],
        "machine": [processor(device) for device in (asked.device, asked.against)],
        "victim": asked.victim,
        "precision": asked.precision,
        "epochs": asked.epochs,
        "n": 1,
        "found": found,
        "differences": differences(*found),
        "versions": versions(),
    }
    asked.out.write_text(json.dumps(result, indent=1) + "\n")
    for name, value in result["differences"].items():
        print(f"{name}: {value}")
    for name, seconds in found[0]["seconds"].items():
        print(f"{name}: {seconds:.1f} s on {asked.device}, {found[1]['seconds'][name]:.1f} s on {asked.against}")
    return 0


def on(device: str, asked: argparse.Namespace) -> dict[str, Any]:
    """Run every step on a device; returns its seconds and its measurements."""
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        lay_out(home / "data")
        environment = {**os.environ, "INVMASK_HOME": name, "INVMASK_DATA": str(home / "data"), "INVMASK_DEVICE": device}

        def step(what: str, *words: str) -> str:
            started = time.perf_counter()
            child = subprocess.run(
                [sys.executable, *words], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
            )
            seconds[what] = time.perf_counter() - started
            print(f"{what} on {device}: {seconds[what]:.1f} s", file=sys.stderr)
            return child.stdout

        invmask = ("-m", "invmask")
        subprocess.run([sys.executable, *invmask, "data", DATASET], cwd=ROOT, env=environment, check=True)
        how = ["--attack", "badnets", "--dataset", DATASET, "--architecture", "preactresnet18w16", "--name", TRAINED]
        step("train", *invmask, "train", *how, "--epochs", str(asked.epochs), "--precision", asked.precision, "--json")
        card = json.loads((home / "victims" / f"{TRAINED}.json").read_text())
        most = [] if asked.rounds_max is None else ["--rounds-max", str(asked.rounds_max)]
        words = ["defend", asked.victim, "--precision", asked.precision, *most, "--json"]
        defended = json.loads(step("defend", *invmask, *words))
        run = RunStore(home / "runs").run(defended["run"])
        step("evidence", "-c", MEASURE, str(run.path), "evidence")
        step("cuts", "-c", MEASURE, str(run.path), "cuts")
        for ending in ("safetensors", "onnx"):
            step(f"export .{ending}", *invmask, "export", run.id, "--out", str(home / f"repaired.{ending}"))
        of_victim, committed = evidence.victim_evidence(run), run.committed()
        assert of_victim is not None
        assert committed is not None
        curves = cut_curves.read_curves(run, committed.round)
        assert curves is not None
        return {
            "device": device,
            "seconds": seconds,
            "trained": {measure: card[measure] for measure in ("acc", "asr", "ra")},
            "rounds": defended["rounds"],
            "seconds_in_rounds": defended["seconds"],
            "views": {view: defended[view] for view in ("original", "pruned_view", "inverse_view")},
            "evidence": {of: np.asarray(getattr(of_victim, of), float).round(6).tolist() for of in evidence.ARRAYS},
            "cuts": curves.done,
        }


def lay_out(data: Path) -> None:
    """Write the embedded images of CIFAR-10 as a user's data set, for a short training."""
    for part, stored in (("train", load_embedded("cifar10", "budget")), ("val", load_embedded("cifar10", "test"))):
        images = stored.images
        for place, (pixels, label) in enumerate(zip(images.pixels, images.labels.tolist(), strict=True)):
            folder = data / "embedded" / part / f"class{label}"
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / f"{place}.png")


def differences(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """First minus second: ACC, ASR and RA in percentage points; for evidence, the largest difference of any channel."""
    found: dict[str, Any] = {}
    pairs = {"trained": (one["trained"], other["trained"])}
    pairs |= {view: (one["views"][view], other["views"][view]) for view in one["views"]}
    for name, (first, second) in pairs.items():
        for measure in ("acc", "asr", "ra"):
            if first[measure] is not None and second[measure] is not None:
                found[f"{name} {measure}"] = round(100 * (first[measure] - second[measure]), 2)
    for name, values in one["evidence"].items():
        gap = np.abs(np.array(values) - np.array(other["evidence"][name]))
        found[f"evidence {name}, largest"] = None if np.isnan(gap).all() else round(float(np.nanmax(gap)), 6)
    return found


if __name__ == "__main__":
    sys.exit(main())
