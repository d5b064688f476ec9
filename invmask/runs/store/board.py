"""The class board of the challenge, one per run: a file of one JSON line for each entry, in the run's directory.

Many sessions add entries at once: each adds its line under a lock. A line that a killed process left half written is
passed over. Names are whatever people typed: whoever draws one has to escape it.
"""

import json
import math
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from filelock import FileLock

from invmask.errors import UserError
from invmask.runs.store import files
from invmask.runs.store.run import Run

FILE, LOCK = "challenge.jsonl", "challenge.lock"
MOST_NAME = 24
MOST_ENTRIES = 500
MOST_LINE = 16_000
LOCK_SECONDS = 10


@dataclass(frozen=True)
class Entry:
    """One result.

    Attributes:
        name: who it is from, as they call themselves.
        budget: the number of channels that could be cut.
        channels: the channels that were cut.
        score: the points, see `evidence.challenge.score`.
        acc, asr: the network's measures with these channels cut, in [0, 1].
    """

    name: str
    budget: int
    channels: tuple[int, ...]
    score: float
    acc: float
    asr: float


def check_name(name: str) -> str:
    """A name without spaces around it and without control characters.

    Raises:
        UserError: it is empty or too long.
    """
    kept = (" " if unicodedata.category(letter)[0] == "C" else letter for letter in name)
    name = " ".join("".join(kept).split())
    if not 1 <= len(name) <= MOST_NAME:
        raise UserError(f"A name for the board has 1 to {MOST_NAME} letters.")
    return name


def add(run: Run, entry: Entry) -> None:
    """Add an entry.

    Raises:
        UserError: the name is not valid, the board is full, or the run was deleted.
    """
    line = json.dumps(asdict(entry) | {"name": check_name(entry.name)}).encode() + b"\n"
    if not run.exists():
        raise UserError("This run was deleted, and its board with it.")
    with _lock(run):
        if len(entries(run)) >= MOST_ENTRIES:
            raise UserError(f"The board is full: it holds {MOST_ENTRIES} entries. Ask the teacher to clear it.")
        with (run.path / FILE).open("ab+") as file:
            # A line that a killed process left without its end must not swallow this one.
            file.seek(0, 2)
            if file.tell():
                file.seek(-1, 2)
                if file.read(1) != b"\n":
                    line = b"\n" + line
            file.write(line)


def entries(run: Run) -> list[Entry]:
    """All entries in the order in which they came."""
    found = []
    try:
        with (run.path / FILE).open("rb") as file:
            for _ in range(4 * MOST_ENTRIES):
                if not (line := file.readline(MOST_LINE)):
                    break
                if (entry := _entry(line)) is not None:
                    found.append(entry)
    except OSError:
        return []
    return found


def best(found: Sequence[Entry], budget: int) -> list[Entry]:
    """Each name's best entry at a budget, the highest score first; of equal scores, the earlier entry."""
    of_name: dict[str, Entry] = {}
    for entry in found:
        known = of_name.get(entry.name.casefold())
        if entry.budget == budget and (known is None or entry.score > known.score):
            of_name[entry.name.casefold()] = entry
    return sorted(of_name.values(), key=lambda entry: -entry.score)


def clear(run: Run) -> None:
    """Remove all entries."""
    with _lock(run):
        (run.path / FILE).unlink(missing_ok=True)


def _entry(line: bytes) -> Entry | None:
    try:
        values: Any = json.loads(line)
        entry = Entry(**{**values, "channels": tuple(int(channel) for channel in values["channels"])})
        numbers = [entry.budget, entry.score, entry.acc, entry.asr]
        fits = all(type(number) in (int, float) and math.isfinite(number) for number in numbers)
        return entry if fits and isinstance(entry.name, str) and len(entry.name) <= MOST_NAME else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _lock(run: Run) -> FileLock:
    path = files.lock_file(run.path, LOCK)
    path.parent.mkdir(exist_ok=True)
    return FileLock(path, timeout=LOCK_SECONDS)
