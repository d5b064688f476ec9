"""The files of a run, which are written so that a reader, a crash or a kill never meets half of one."""

import json
from pathlib import Path
from typing import Any

from invmask.disk import write_bytes

SPEC = "spec.json"
NAME = "name.json"
WANT = "want.json"
STATE = "state.safetensors"
RECORDS = "records.jsonl"
MASKS = "masks.bin"
WEIGHTS = "weights"
EXAMPLES = "examples.bin"
CANDIDATES = "candidates.bin"
SHAPES = "shapes.json"
STATUS = "status.json"
RESULT = "result.json"
WORKER = "worker.json"
FAILURE = "failure.txt"
LOCK = "advance.lock"
WANT_LOCK = "want.lock"
LOCKS = ".locks"
"""Beside the runs: taking a lock in the folder of a run that was deleted would bring that folder back."""
WANTED = ".wanted"
"""Beside the runs: an empty file for each that there may be something to do about, see `lookout`."""

MOST_JSON_BYTES = 1 << 20


def weights_file(run: Path, round_taken: int) -> Path:
    """Where the weights after a round are, in a run whose defence changes weights."""
    return run / f"{WEIGHTS}-{round_taken:06d}.safetensors"


def lock_file(run: Path, name: str) -> Path:
    """The file of a run's lock of that kind. It outlives the run (see `RunStore.delete`)."""
    return run.parent / LOCKS / f"{run.name}.{name}"


def write_json(path: Path, values: dict[str, Any]) -> None:
    """`write_bytes` of JSON."""
    write_bytes(path, (json.dumps(values) + "\n").encode())


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object, or None if the file is not there.

    Raises:
        ValueError: the file holds something else.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_JSON_BYTES + 1)
    except FileNotFoundError:
        return None
    if len(content) > MOST_JSON_BYTES:
        raise ValueError(f"{path} is too large")
    try:
        values = json.loads(content)
    except RecursionError as error:
        raise ValueError(f"{path} is nested too deep") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} is not a JSON object")
    return values
