"""Whether the process named in a file still lives. Its id alone is not enough, because ids are reused."""

import psutil

# Two readings for the same process may differ, because the clock is adjusted at times.
SAME_SECONDS = 5.0


def began(pid: int) -> float:
    """When the process began, in seconds since 1970; 0 if there is no such process."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return 0.0


def lives(pid: int, since: float) -> bool:
    """Whether process `pid` is running (not a zombie) and is the one that began at `since`."""
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - since) < SAME_SECONDS and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, ValueError):
        return False
