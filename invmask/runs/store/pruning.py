"""Old runs are deleted if the settings say so: first announced, never while they run, never those built in.

A run is old by the last change of its files. It is announced `NOTICE_SECONDS` before, in a file beside the runs. Who
goes on with it, or names it, makes it young again.
"""

import contextlib
import json
import time
from dataclasses import dataclass

from invmask.disk import write_bytes
from invmask.errors import UserError
from invmask.runs.store import built_in
from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.records import RunState
from invmask.runs.store.run import Run
from invmask.runs.store.sizes import size_of

ANNOUNCED = ".announced.json"
"""File beside the runs: by its id, when a run will be deleted, in seconds since 1970."""
NOTICE_SECONDS = 3_600.0
DAY = 86_400.0
_BUSY = frozenset({RunState.WAITING, RunState.RUNNING})


@dataclass(frozen=True)
class Keep:
    """What is kept: runs changed within so many days, and so many bytes of runs; None for all."""

    days: int | None = None
    most_bytes: int | None = None


@dataclass(frozen=True)
class Old:
    """A run that may be deleted: its last change in seconds since 1970, and its bytes."""

    id: str
    changed: float
    size: int


def announced(store: RunStore) -> dict[str, float]:
    """When runs will be deleted, in seconds since 1970, by their ids."""
    try:
        found = json.loads((store.folder / ANNOUNCED).read_bytes())
        return {str(run): float(when) for run, when in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def prune(store: RunStore, keep: Keep, now: float | None = None) -> list[str]:
    """Announce the runs that are too old or too many, and delete those whose time has come; returns their ids."""
    now = time.time() if now is None else now
    if keep == Keep():
        (store.folder / ANNOUNCED).unlink(missing_ok=True)
        return []
    said, total, may_go = announced(store), 0, []
    for run in store.runs():
        total += (size := size_of(run.path))
        if _may_go(store, run):
            may_go.append(Old(run.id, _changed(run), size))
    plan = planned(may_go, total, keep, said, now)
    gone = []
    for run in [run for run, when in plan.items() if when <= now]:
        # Somebody may have gone on with it just now, or deleted it.
        with contextlib.suppress(UserError, OSError):
            if _may_go(store, Run(store.folder / run)):
                store.delete(run, patience=0.0)
                gone.append(run)
    left = {run: when for run, when in plan.items() if run not in gone}
    if left != said:
        write_bytes(store.folder / ANNOUNCED, json.dumps(left).encode())
    return gone


def planned(runs: list[Old], total: int, keep: Keep, said: dict[str, float], now: float) -> dict[str, float]:
    """When each of the runs that are too old or too many will be deleted, in seconds since 1970.

    Args:
        runs: the runs that may be deleted.
        total: bytes of all runs.
        said: what was announced before; nothing is deleted earlier than that, nor without notice.
    """
    plan: dict[str, float] = {}
    for run in sorted(runs, key=lambda each: (each.changed, each.id)):
        notice = said.get(run.id, now + NOTICE_SECONDS)
        too_old = None if keep.days is None else run.changed + keep.days * DAY
        if keep.most_bytes is not None and total > keep.most_bytes:
            plan[run.id] = notice
            total -= run.size
        elif too_old is not None and too_old <= now + NOTICE_SECONDS:
            plan[run.id] = max(notice, too_old)
            total -= run.size
    return plan


def _may_go(store: RunStore, run: Run) -> bool:
    if run.id in built_in.known(store.folder):
        return False
    try:
        return run.summary().state not in _BUSY
    except UserError:
        # Damaged; people delete it themselves.
        return False


def _changed(run: Run) -> float:
    times = []
    for path in run.path.glob("*"):
        with contextlib.suppress(OSError):
            times.append(path.stat().st_mtime)
    return max(times, default=time.time())
