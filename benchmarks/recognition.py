"""How many of timm's and torchvision's networks are recognised by names and shapes alone, and how long that takes.

Draws networks from the index, takes the names and shapes of each with another number of classes, and recognises them:

    python -m benchmarks.recognition
"""

import argparse
import json
import logging
import random
import statistics
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from invmask.errors import UserError
from invmask.machine import processor
from invmask.models import build
from invmask.models.enlarged import inner
from invmask.models.known_networks import known_networks
from invmask.models.recognise import recognise

RESULTS = Path(__file__).parent / "results" / "recognition.json"
CLASSES = 43


def names_and_shapes(name: str) -> dict[str, Tensor]:
    """A network's tensors without memory for them, where that is possible."""
    try:
        with torch.device("meta"):
            network = build(name, CLASSES)
    except (RuntimeError, UserError):
        network = build(name, CLASSES)
    return inner(network)[0].state_dict()


def case(name: str) -> dict[str, Any]:
    """What comes of one network: its place among the candidates, from 0, their number, and the seconds."""
    state = names_and_shapes(name)
    started = time.perf_counter()
    fitting = [one.architecture for one in recognise(state) if one.exact]
    seconds = time.perf_counter() - started
    place = fitting.index(name) if name in fitting else None
    return {"name": name, "place": place, "candidates": len(fitting), "seconds": round(seconds, 3)}


def main() -> None:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description="How many known networks are recognised.")
    parser.add_argument("--networks", type=int, default=60, help="how many are drawn")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    index = known_networks()
    drawn = random.Random(arguments.seed).sample(index.names, arguments.networks)
    case("timm:resnet18")  # importing the libraries is no part of the measure
    cases = [case(name) for name in drawn]
    found = [one for one in cases if one["place"] is not None]
    result = {
        "networks": len(cases),
        "of": len(index.names),
        "recognised": len(found),
        "first": sum(one["place"] == 0 for one in found),
        "median_seconds": round(statistics.median(one["seconds"] for one in cases), 2),
        "seed": arguments.seed,
        "versions": index.versions,
        "machine": processor(),
        "cases": cases,
    }
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    print({key: value for key, value in result.items() if key != "cases"})


if __name__ == "__main__":
    main()
