"""The queue of a home's exports: each is a process with torch and a browser, and they are made one after the other.

A ticket is a small file in the home's folder ``exports``, named for when it was asked for; it says where the job's
folder is. Every session of every server with this home sees the same queue. Tickets outlive a restart: the next reader
who looks at a job that waits has the queue go on.
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
"""How many exports of a home are made at the same time."""
LOOK_SECONDS = 0.3
LOCK_SECONDS = 5.0

Standing = Callable[[Path], bool | None]
"""Of a job's folder: True while it is worked on, False while it waits, None when it is over or gone."""

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
    """Where the job is in the queue: 1 is the first, which is worked on or will be at once. None: it has no ticket."""
    ahead = 0
    for _, each in _tickets(home):
        if each == job:
            return ahead + 1
        ahead += standing(each) is not None
    return None


def proceed(home: Path, standing: Standing, begin: Callable[[Path], None]) -> bool:
    """Throw away the tickets of jobs that are over, and begin the next ones while there is a free place.

    Args:
        begin: starts the process of a job; the job is no more waiting afterwards, whatever became of it.

    Returns:
        Whether jobs still wait.

    Raises:
        OSError: the home cannot be written to.
    """
    if not (home / FOLDER).is_dir():
        return False
    try:
        # Two servers may have one home.
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
    """See from now on that the queue goes on, in a thread that ends when nobody waits; returns at once."""
    with _guard:
        if home not in _threads:
            thread = threading.Thread(target=_tend, args=(home, standing, begin), name="invmask-exports", daemon=True)
            _threads[home] = thread
            thread.start()


def _tend(home: Path, standing: Standing, begin: Callable[[Path], None]) -> None:
    while True:
        # A disk that is full now may have room later.
        going_on = True
        with contextlib.suppress(OSError):
            going_on = proceed(home, standing, begin)
        if not going_on:
            with _guard:
                # What came meanwhile finds this thread, or begins another one.
                if not any(standing(job) is False for _, job in _tickets(home)):
                    del _threads[home]
                    return
        time.sleep(LOOK_SECONDS)


def _tickets(home: Path) -> list[tuple[Path, Path]]:
    """Each ticket and its job's folder, the oldest first; what makes no sense is left out."""
    found = []
    for path in sorted((home / FOLDER).glob("*.json")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            job = (home / (files.read_json(path) or {})["job"]).resolve()
            if job.is_relative_to(home.resolve()):
                found.append((path, home / job.relative_to(home.resolve())))
    return found
