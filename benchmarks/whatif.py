"""How long a what-if takes on the embedded BadNets victim: from a cut by hand to ACC, ASR and RA and every answer.

The probe is what the dashboard measures on, 200 clean and 180 triggered images. The whole network runs again, by the
computation that measures a run's views, so that no page says another number than the others. Beside it, what a cut
takes where only the layers behind it run again, as evidence about all channels is gathered. Median and all single times
go to results/whatif.json:

    python -m benchmarks.whatif --threads 2
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from invmask.data.budget import probe
from invmask.evidence.ablation import Ablation, cut_gates
from invmask.machine import choose_precision, processor
from invmask.masks.repair import Gates
from invmask.masks.state import MaskLayout, Masks, View
from invmask.measure.views import view_probabilities
from invmask.runs.store.spec import PROBE_PER_CLASS
from invmask.runs.work.bench import ProbeImages
from invmask.settings import victim_folders
from invmask.victims.victim import load_victim, versions

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
    ablation = Ablation(victim.model, layout, images, precision=precision)
    cases = {}
    for layer in (layout.layers[0], layout.layers[5], layout.layers[10], layout.layers[15], layout.layers[-1]):
        gates = cut_gates(layout, [[layer.offset]])
        cut = Masks(gates[0], torch.zeros_like(gates[0]))

        def page(cut: Masks = cut) -> None:
            answers = view_probabilities(victim.model, Gates(cut), [View.PRUNED], images.images, precision)[0]
            images.flags(answers.argmax(1)).measures()

        def behind(gates: Tensor = gates) -> None:
            ablation.measures(gates)

        cases[layer.name] = {
            "page": _timed(page, arguments.repeats),
            "layers_behind": _timed(behind, arguments.repeats),
        }
    result = {
        "what": "seconds from a cut of one channel to ACC, ASR, RA and all answers of the pruned view",
        "victim": VICTIM,
        "images": len(images.images),
        "cut_in_layer": cases,
        "precision": precision,
        "threads": arguments.threads,
        "machine": processor(),
        "note": arguments.note,
        "versions": versions(),
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    for name, case in cases.items():
        print(name, *(f"{way} {found['median_seconds']:.3f} s" for way, found in case.items()))


def _timed(work: Callable[[], None], repeats: int) -> dict[str, Any]:
    """All times after one warm-up, and their median."""
    seconds = []
    for _ in range(1 + repeats):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return {"median_seconds": statistics.median(seconds[1:]), "seconds": seconds[1:]}


if __name__ == "__main__":
    main()
