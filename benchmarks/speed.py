"""What the benchmarks of speed share: their arguments, and how a result is stored with the machine it comes from."""

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
    """Arguments that every benchmark of speed has.

    Args:
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
    """The arguments given; torch has its threads from now on."""
    given = arguments.parse_args()
    torch.set_num_threads(given.threads)
    return given


def file_of(arguments: argparse.Namespace, name: str = "") -> Path:
    """Where the result of a device lies: results/NAME_cpu.json."""
    return arguments.results / f"{name}{'_' * bool(name)}{arguments.device.replace(':', '')}.json"


def keep(arguments: argparse.Namespace, result: dict[str, Any], name: str = "") -> None:
    """Store a result, with threads, machine and versions, and print it where that was asked for."""
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
