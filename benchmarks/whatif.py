"""How long a what-if takes on the embedded BadNets victim: from a cut by hand to ACC, ASR and RA and every answer.

The probe is what the dashboard measures on, 200 clean and 180 triggered images. A cut in the first layer runs the whole
network again; one in a later layer begins there. Median and all single times go to results/whatif.json:

    python -m benchmarks.whatif --threads 2
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch

from invmask.attacks.victims import load_victim, versions
from invmask.data.budget import probe
from invmask.evidence.ablation import Ablation, cut_gates
from invmask.machine import choose_precision, processor
from invmask.masks.state import MaskLayout
from invmask.runs.spec import PROBE_PER_CLASS
from invmask.runs.subject import ProbeImages
from invmask.settings import victim_folders

RESULT = Path(__file__).parent / "results" / "whatif.json"
VICTIM = "cifar10-preactresnet18w16-badnets"


def main() -> None:
    """Measure, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--note", default="", help="what else the machine was doing")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    victim, precision = load_victim(VICTIM, victim_folders()), choose_precision()
    layout, images = MaskLayout.of(victim.model), ProbeImages.of(probe("cifar10", PROBE_PER_CLASS), victim)
    started = time.perf_counter()
    ablation = Ablation(victim.model, layout, images, precision=precision)
    first = time.perf_counter() - started
    cases = {}
    for layer in (layout.layers[0], layout.layers[5], layout.layers[10], layout.layers[15], layout.layers[-1]):
        gates, seconds = cut_gates(layout, [[layer.offset]]), []
        # One to warm up.
        for _ in range(1 + arguments.repeats):
            started = time.perf_counter()
            ablation.measures(gates)
            seconds.append(time.perf_counter() - started)
        cases[layer.name] = {"median_seconds": statistics.median(seconds[1:]), "seconds": seconds[1:]}
    result = {
        "what": "seconds from a cut of one channel to ACC, ASR, RA and all answers of the pruned view",
        "victim": VICTIM,
        "images": len(images.images),
        "first_pass_seconds": first,
        "cut_in_layer": cases,
        "precision": precision,
        "threads": arguments.threads,
        "machine": processor(),
        "note": arguments.note,
        "versions": versions(),
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    for name, case in cases.items():
        print(f"{name}: {case['median_seconds']:.3f} s")


if __name__ == "__main__":
    main()
