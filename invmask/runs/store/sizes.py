"""How large runs are on disk, and how much of it one maker has."""

import contextlib
from pathlib import Path

from invmask.runs.store.owner import hashed, owner_of
from invmask.runs.store.run import Run


def size_of(run: Path) -> int:
    """Bytes of all files of a run; 0 if it is gone."""
    found = 0
    for path in run.rglob("*"):
        # A file may be replaced at this moment.
        with contextlib.suppress(OSError):
            found += path.lstat().st_size if not path.is_dir() else 0
    return found


def owned_by(runs: list[Run], key: str) -> list[Run]:
    """Those of `runs` that belong to the holder of a key."""
    mine = hashed(key)
    return [run for run in runs if owner_of(run.path) == mine]
