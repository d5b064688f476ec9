"""The files of a run, which are written so that a reader, a crash or a kill never meets half of one."""

import json
from pathlib import Path
from typing import Any

from invmask.disk import write_bytes

SPEC = "spec.json"
WANT = "want.json"
STATE = "state.safetensors"
RECORDS = "records.jsonl"
MASKS = "masks.bin"
EXAMPLES = "examples.bin"
SHAPES = "shapes.json"
STATUS = "status.json"
RESULT = "result.json"
WORKER = "worker.json"
FAILURE = "failure.txt"
LOCK = "advance.lock"
WANT_LOCK = "want.lock"

MOST_JSON_BYTES = 1 << 20


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
    values = json.loads(content)
    if not isinstance(values, dict):
        raise ValueError(f"{path} is not a JSON object")
    return values
