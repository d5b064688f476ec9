"""float32 and bfloat16 side by side on each kind of network: seconds of a pass forward and backward, as in training.

What `models.suited_precision` chooses by. Every step of one kind is followed by one of the other:

    python -m benchmarks.precision
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from invmask import settings
from invmask.machine import Precision, autocast, processor
from invmask.victims.victim import new_model, versions

RESULTS = Path(__file__).parent / "results" / "precision.json"
ARCHITECTURES = (
    "preactresnet18w16",
    "vgg19bnw16",
    "vgg6",
    "resnet20",
    "vitw64",
    "mobilenetv3largew8",
    "efficientnetb3w8",
)
BATCH = 128


def seconds(model: nn.Module, images: torch.Tensor, labels: torch.Tensor, precision: Precision) -> float:
    """One pass forward and backward."""
    started = time.perf_counter()
    with autocast(precision, images.device.type):
        logits = model(images)
    F.cross_entropy(logits.float(), labels).backward()
    model.zero_grad()
    return time.perf_counter() - started


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--warmup", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(settings.threads())
    rows = []
    for architecture in ARCHITECTURES:
        torch.manual_seed(0)
        model = new_model("cifar10", architecture).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        images = torch.rand(BATCH, 3, 32, 32).contiguous(memory_format=torch.channels_last)
        labels = torch.randint(10, (BATCH,))
        taken: dict[Precision, list[float]] = {"float32": [], "bfloat16": []}
        for step in range(asked.warmup + asked.steps):
            for precision, times in taken.items():
                time_of = seconds(model.train(), images, labels, precision)
                if step >= asked.warmup:
                    times.append(time_of)
        ratios = [full / half for full, half in zip(taken["float32"], taken["bfloat16"], strict=True)]
        rows.append({"architecture": architecture, "seconds": taken, "float32 / bfloat16": ratios})
        mean, spread = statistics.mean(ratios), statistics.stdev(ratios)
        print(f"{architecture:22} bfloat16 is {mean:.2f} times as fast as float32 (n = {len(ratios)}, sd {spread:.2f})")
    told = {"machine": processor(), "threads": settings.threads(), "batch": BATCH, "versions": versions()}
    RESULTS.write_text(json.dumps({**told, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
