"""Dask workers: child processes of one's own, or those of an existing scheduler."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from distributed import Client
from distributed.core import Status
from distributed.deploy.spec import SpecCluster
from distributed.deploy.subprocess import Subprocess

from invmask.errors import UserError
from invmask.runs.cluster.child import PARENT_VARIABLE

PACKAGE_PARENT = str(Path(__file__).resolve().parents[3])
CHILD = "invmask.runs.cluster.child"
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


class Cluster:
    """A connection to workers.

    Args:
        workers: child processes to start, each for one run at a time, with `threads` threads.
        address: of an existing scheduler to use instead.

    Attributes:
        places: how many workers there are or will be, as of the last look at `problem`.

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

    def grow(self, workers: int) -> None:
        """Have at least so many worker processes of our own. Returns at once; they take seconds to come up."""
        if self._processes is not None and workers > self.places:
            self.places = workers
            self._processes.scale(workers)

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


class _Child(Subprocess):
    """A process of Dask's in an environment of its own, where Dask's own classes give it that of the dashboard.

    Args:
        scheduler: its address; None where this is to be the scheduler.
        spec: the class of Dask's to run and its options.
        environment: all of it.
    """

    def __init__(
        self, scheduler: str | None, spec: dict[str, Any], environment: dict[str, str], name: object = None
    ) -> None:
        self.name = name
        self._scheduler, self._spec, self._environment = scheduler, spec, environment
        super().__init__()

    async def _start(self) -> None:
        words = [*([] if self._scheduler is None else [self._scheduler]), "--spec", json.dumps(self._spec)]
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "dask", "spec", *words, env=self._environment
        )


class _Scheduler(_Child):
    """The scheduler. It writes its address into a file once it can be reached; a busy machine may take a minute."""

    def __init__(self, options: dict[str, Any], environment: dict[str, str]) -> None:
        super().__init__(None, {"cls": "distributed.Scheduler", "opts": options}, environment)

    async def _start(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        with tempfile.TemporaryDirectory(prefix="invmask-") as folder:
            told = Path(folder) / "scheduler.json"
            self._spec = {**self._spec, "opts": {**self._spec["opts"], "scheduler_file": str(told)}}
            await super()._start()
            assert self.process is not None
            while self.process.returncode is None and time.monotonic() < deadline:
                # It may be there and not be written to its end.
                with contextlib.suppress(OSError, ValueError):
                    self.address = json.loads(told.read_text())["address"]
                    return
                await asyncio.sleep(0.05)
        raise RuntimeError("the scheduler did not start")


def _start_processes(workers: int, threads: int) -> SpecCluster:
    """What `distributed.deploy.subprocess.SubprocessCluster` makes, in an environment of its own."""
    local = {"host": "127.0.0.1", "preload": [CHILD], "dashboard": False, "dashboard_address": None}
    worker_kwargs = {
        **local,
        "preload_nanny": [CHILD],
        # One run at a time each; the threads are torch's.
        "nthreads": 1,
        # Without a limit of Dask's own: it counts memory that torch holds for the next round against the worker.
        "memory_limit": 0,
        "silence_logs": logging.ERROR,
    }
    environment = _environment(threads)
    worker = {
        "cls": _Child,
        "options": {"spec": {"cls": "distributed.Nanny", "opts": worker_kwargs}, "environment": environment},
    }
    return SpecCluster(
        scheduler={"cls": _Scheduler, "options": {"options": {"port": 0, **local}, "environment": environment}},
        workers=dict.fromkeys(range(workers), worker),
        worker=worker,
        name="invmask",
        silence_logs=logging.ERROR,  # pyright: ignore[reportArgumentType]  # a level
    )


def _environment(threads: int) -> dict[str, str]:
    """That of child processes: where invmask is, whatever directory we were started in, and their threads."""
    path = os.environ.get("PYTHONPATH")
    return {
        **ALLOCATOR,
        **os.environ,
        "PYTHONPATH": os.pathsep.join([PACKAGE_PARENT, *([path] if path else [])]),
        "OMP_NUM_THREADS": str(threads),
        PARENT_VARIABLE: str(os.getpid()),
        # What goes wrong is told by the executor; Dask's own log would fill the terminal.
        "DASK_LOGGING__DISTRIBUTED": "error",
    }
