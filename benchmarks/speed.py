"""Common parts of the speed benchmarks: their arguments, and storing a result with its machine."""

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from invmask import settings
from invmask.machine import processor
from invmask.victims.victim import versions

RESULTS = Path(__file__).parent / "results"


def parser(doc: str | None, name: str) -> argparse.ArgumentParser:
    """The arguments that every speed benchmark has.

    Args:
        doc: the description.
        name: the folder of results.
    """
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--times", type=int, default=5, help="how often each is timed, after warm-up")
    made.add_argument("--threads", type=int, default=settings.threads())
    made.add_argument("--device", default=settings.device())
    made.add_argument("--json", action="store_true", help="print the results as JSON")
    made.add_argument("--results", type=Path, default=RESULTS / name)
    return made


def begin(arguments: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse the arguments and set torch's number of threads."""
    given = arguments.parse_args()
    torch.set_num_threads(given.threads)
    return given


def file_of(arguments: argparse.Namespace, name: str = "") -> Path:
    """The file of a device's result: results/NAME_cpu.json."""
    return arguments.results / f"{name}{'_' * bool(name)}{arguments.device.replace(':', '')}.json"


def keep(arguments: argparse.Namespace, result: dict[str, Any], name: str = "") -> None:
    """Store a result with threads, machine and versions, and print it if requested."""
    whole = {
        **result,
        "threads": arguments.threads,
        "machine": processor(arguments.device),
        "versions": versions(),
    }
    file = file_of(arguments, name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(whole, indent=1) + "\n")
    if arguments.json:
        print(json.dumps(whole))
