"""Dask workers: child processes of one's own, or those of an existing scheduler."""

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distributed import Client
from distributed.core import Status
from distributed.deploy.spec import SpecCluster
from distributed.deploy.subprocess import SubprocessScheduler, SubprocessWorker

from invmask.errors import UserError
from invmask.runs.child import PARENT_VARIABLE

PACKAGE_PARENT = str(Path(__file__).resolve().parents[2])
CHILD = "invmask.runs.child"
CONNECT_SECONDS = 10.0
# Of our own processes: a machine that is busy with something else takes a minute.
START_SECONDS = 300
# Dask has its workers give every freed bit of memory back to the system, and glibc then fetches it anew for every
# tensor: that took as long as the computing. The thresholds are the most that glibc comes to by itself where it is left
# alone. One arena for all threads: one of a thread's own is in parts of 64 MB, and what begins a part is given back.
ALLOCATOR = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}
# How long a scheduler of somebody else's may be without workers before we say so.
MOST_SECONDS_WITHOUT_WORKER = 30.0

_environment_lock = threading.Lock()


class Cluster:
    """A connection to workers.

    Args:
        workers: child processes to start, each for one run at a time, with `threads` threads.
        address: of an existing scheduler to use instead.

    Attributes:
        places: how many units of work can be under way at once, as of the last look at `problem`.

    Raises:
        UserError: no scheduler answers at `address`, or the processes do not start.
    """

    def __init__(self, workers: int, threads: int, address: str | None = None) -> None:
        self.address = address
        self._processes: SpecCluster | None = None
        self._last_worker = time.monotonic()
        self.places = workers
        if address is None:
            try:
                self._processes = _start_processes(workers, threads)
            except (OSError, RuntimeError, TimeoutError) as error:
                raise UserError(
                    "The worker processes could not be started; free some memory or set INVMASK_WORKERS to 1."
                ) from error
        try:
            timeout = CONNECT_SECONDS if self._processes is None else START_SECONDS
            self.client = Client(self._processes or address, timeout=timeout, set_as_default=False)
        except (OSError, TimeoutError) as error:
            self._close_processes()
            raise UserError(
                f"No Dask scheduler answers at {address}; start one there or unset INVMASK_SCHEDULER."
            ) from error

    def problem(self) -> str | None:
        """Why no work can be done and none will be before somebody mends it, as a sentence; None if all is well.

        A worker that was killed is no problem: its nanny has another one up in a second or two.
        """
        if self.client.status != "running":
            return "The connection to the workers was lost; they are being started again."
        if self._processes is not None:
            return None if self._alive() else "Worker processes were lost; they are being started again."
        found = self.client.scheduler_info(n_workers=1)
        if found["workers"]:
            self._last_worker = time.monotonic()
            self.places = found["total_threads"]
        elif time.monotonic() - self._last_worker > MOST_SECONDS_WITHOUT_WORKER:
            return f"The Dask scheduler at {self.address} has no workers; start some with 'dask worker --nthreads 1'."
        return None

    def _alive(self) -> bool:
        """Whether the scheduler and every nanny still run."""
        assert self._processes is not None
        return all(child.process is not None and _runs(child) for child in _children(self._processes))

    def close(self) -> None:
        """End the connection, and the processes if they are our own."""
        with contextlib.suppress(Exception):
            self.client.close(timeout=2)
        self._close_processes()

    def _close_processes(self) -> None:
        processes, self._processes = self._processes, None
        if processes is None:
            return
        try:
            processes.close(timeout=10)
        except Exception:
            # Without its scheduler a cluster does not come to the end of closing: end what is left, and tell it so.
            for child in _children(processes):
                if child.process is not None and _runs(child):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(child.process.pid, signal.SIGKILL)
            processes.status = Status.closed


def _children(processes: SpecCluster) -> list[Any]:
    """Scheduler and nannies, as Dask keeps them."""
    return [processes.scheduler, *processes.workers.values()]


def _runs(child: Any) -> bool:
    return child.process.returncode is None


def _start_processes(workers: int, threads: int) -> SpecCluster:
    """What `distributed.deploy.subprocess.SubprocessCluster` makes, but patient.

    Its scheduler has 30 seconds to start, and if a busy machine takes longer, it waits for it for ever.
    """
    local = {"host": "127.0.0.1", "preload": [CHILD], "dashboard": False, "dashboard_address": None}
    scheduler = {"scheduler_kwargs": {"port": 0, **local}, "timeout": START_SECONDS}
    worker_kwargs = {
        **local,
        "preload_nanny": [CHILD],
        # One run at a time each; the threads are torch's.
        "nthreads": 1,
        # Without a limit of Dask's own: it counts memory that torch holds for the next round against the worker.
        "memory_limit": 0,
        "silence_logs": logging.ERROR,
    }
    worker = {
        "cls": SubprocessWorker,
        "options": {"worker_class": "distributed.Nanny", "worker_kwargs": worker_kwargs},
    }
    with _environment(threads):
        return SpecCluster(
            scheduler={"cls": SubprocessScheduler, "options": scheduler},
            workers=dict.fromkeys(range(workers), worker),
            worker=worker,
            name="invmask",
            silence_logs=logging.ERROR,  # pyright: ignore[reportArgumentType]  # a level
        )


@contextlib.contextmanager
def _environment(threads: int) -> Iterator[None]:
    """What child processes inherit: where invmask is, whatever directory we were started in, and their threads."""
    before = {}
    path = os.environ.get("PYTHONPATH")
    changes = {
        "PYTHONPATH": os.pathsep.join([PACKAGE_PARENT, *([path] if path else [])]),
        "OMP_NUM_THREADS": str(threads),
        PARENT_VARIABLE: str(os.getpid()),
        # The scheduler's log goes to a pipe that nobody reads: once full, it would hold the scheduler up.
        "DASK_LOGGING__DISTRIBUTED": "error",
        **{name: os.environ.get(name, value) for name, value in ALLOCATOR.items()},
    }
    with _environment_lock:
        for name, value in changes.items():
            before[name] = os.environ.get(name)
            os.environ[name] = value
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
