"""Whether the process that a file names is still there: its number alone may be another's by now."""

import psutil

# Of the same process two readings may differ, for the clock is set now and then.
SAME_SECONDS = 5.0


def began(pid: int) -> float:
    """When the process began, in seconds since 1970; 0 where there is none."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return 0.0


def lives(pid: int, since: float) -> bool:
    """Whether process `pid` is at work, not ended and waited for by nobody, and is the one that began at `since`."""
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - since) < SAME_SECONDS and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, ValueError):
        return False
