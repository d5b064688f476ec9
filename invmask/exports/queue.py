"""The queue of a home's exports. Each export is a process with torch and a browser, so they are made one by one.

A ticket is a small file in the home's folder ``exports``, named by the time of the request; it names the job's folder.
Every session of every server with this home sees the same queue. Tickets survive a restart: the next reader who opens
the page of a waiting job starts the queue again.
"""

import contextlib
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout

from invmask.runs.store import files

FOLDER, LOCK = "exports", "queue.lock"
AT_ONCE = 1
"""Number of exports of a home that are made at the same time."""
LOOK_SECONDS = 0.3
LOCK_SECONDS = 5.0

Standing = Callable[[Path], bool | None]
"""Tells from a job's folder: True if it is under way, False if it waits, None if it is finished or deleted."""

_guard = threading.Lock()
_threads: dict[Path, threading.Thread] = {}


def enter(home: Path, job: Path) -> None:
    """Put a job at the end of the queue.

    Raises:
        OSError: the home cannot be written to.
    """
    folder = home / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    ticket = f"{time.time_ns():020d}-{secrets.token_hex(4)}.json"
    files.write_json(folder / ticket, {"job": str(job.relative_to(home))})


def place(home: Path, job: Path, standing: Standing) -> int | None:
    """The job's position in the queue; 1 is under way or begins at once. None if it has no ticket."""
    ahead = 0
    for _, each in _tickets(home):
        if each == job:
            return ahead + 1
        ahead += standing(each) is not None
    return None


def proceed(home: Path, standing: Standing, begin: Callable[[Path], None]) -> bool:
    """Remove the tickets of finished jobs, and begin the next jobs while there is a free place.

    Args:
        begin: starts the process of a job; afterwards the job does not wait any more, even if the start failed.

    Returns:
        Whether jobs still wait.

    Raises:
        OSError: the home cannot be written to.
    """
    if not (home / FOLDER).is_dir():
        return False
    try:
        # Two servers may share one home.
        with FileLock(home / FOLDER / LOCK, timeout=LOCK_SECONDS):
            waiting, working = [], 0
            for ticket, job in _tickets(home):
                state = standing(job)
                if state is None:
                    ticket.unlink(missing_ok=True)
                elif state:
                    working += 1
                elif job not in waiting:
                    waiting.append(job)
            for job in waiting[: max(0, AT_ONCE - working)]:
                begin(job)
            return len(waiting) > max(0, AT_ONCE - working)
    except Timeout:
        return True


def tend(home: Path, standing: Standing, begin: Callable[[Path], None]) -> None:
    """Keep the queue going in a thread that ends when no job waits; returns at once."""
    with _guard:
        if home not in _threads:
            thread = threading.Thread(target=_tend, args=(home, standing, begin), name="invmask-exports", daemon=True)
            _threads[home] = thread
            thread.start()


def _tend(home: Path, standing: Standing, begin: Callable[[Path], None]) -> None:
    while True:
        # Try again later: a disk that is full now may have space then.
        going_on = True
        with contextlib.suppress(OSError):
            going_on = proceed(home, standing, begin)
        if not going_on:
            with _guard:
                # A job that arrived meanwhile either finds this thread or starts another.
                if not any(standing(job) is False for _, job in _tickets(home)):
                    del _threads[home]
                    return
        time.sleep(LOOK_SECONDS)


def _tickets(home: Path) -> list[tuple[Path, Path]]:
    """Each ticket and its job's folder, the oldest first. Invalid tickets are left out."""
    found = []
    for path in sorted((home / FOLDER).glob("*.json")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            job = (home / (files.read_json(path) or {})["job"]).resolve()
            if job.is_relative_to(home.resolve()):
                found.append((path, home / job.relative_to(home.resolve())))
    return found
