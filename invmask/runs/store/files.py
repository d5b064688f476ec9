"""The names of a run's files, and JSON files that are written atomically."""

import json
from pathlib import Path
from typing import Any

from invmask.disk import write_bytes

SPEC = "spec.json"
NAME = "name.json"
OWNER = "owner.json"
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
"""Folder of locks beside the runs. A lock inside the folder of a deleted run would create that folder again."""
WANTED = ".wanted"
"""Folder of marks beside the runs: an empty file for each run that may have work, see `runs_with_work`."""

MOST_JSON_BYTES = 1 << 20


def weights_file(run: Path, round_taken: int) -> Path:
    """The file of the weights after a round, for a run whose defence changes weights."""
    return run / f"{WEIGHTS}-{round_taken:06d}.safetensors"


def lock_file(run: Path, name: str) -> Path:
    """The file of a run's lock of that name. It remains after the run is deleted (see `RunStore.delete`)."""
    return run.parent / LOCKS / f"{run.name}.{name}"


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write a JSON object atomically."""
    write_bytes(path, (json.dumps(values) + "\n").encode())


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON object; None if the file does not exist.

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
