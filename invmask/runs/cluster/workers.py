"""Dask workers: our own child processes, or the workers of an existing scheduler."""

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
# For our own processes; they take a minute on a busy machine.
START_SECONDS = 300
# Dask makes its workers return freed memory to the system, and glibc then requests it again for every tensor; this took
# as long as the computation. These thresholds are the largest that glibc reaches by itself. All threads share one
# arena: a thread's own arena has parts of 64 MB, and memory at the start of a part is returned to the system.
ALLOCATOR = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}
# How long an existing scheduler may have no workers before this is reported.
MOST_SECONDS_WITHOUT_WORKER = 30.0


class Cluster:
    """A connection to workers.

    Args:
        workers: number of child processes to start, each for one run at a time, with `threads` threads.
        address: address of an existing scheduler to use instead.

    Attributes:
        places: number of workers, present or starting, at the last call of `problem`.

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
        """Start worker processes until there are at least `workers`. Returns at once; they take seconds to start."""
        if self._processes is not None and workers > self.places:
            self.places = workers
            self._processes.scale(workers)

    def problem(self) -> str | None:
        """A problem that stops all work until a user solves it, as a sentence; None if all is well.

        A killed worker is not a problem: its nanny restarts it in a second or two.
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
        """Whether the scheduler and every nanny are still running."""
        assert self._processes is not None
        return all(child.process is not None and _runs(child) for child in _children(self._processes))

    def close(self) -> None:
        """Close the connection, and end the processes if they are our own."""
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
            # A cluster without its scheduler never finishes closing: end its remaining processes, and mark it as
            # closed.
            for child in _children(processes):
                if child.process is not None and _runs(child):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(child.process.pid, signal.SIGKILL)
            processes.status = Status.closed


def _children(processes: SpecCluster) -> list[Any]:
    """Dask's objects for the scheduler and the nannies."""
    return [processes.scheduler, *processes.workers.values()]


def _runs(child: Any) -> bool:
    return child.process.returncode is None


class _Child(Subprocess):
    """A Dask process with its own environment variables. Dask's own classes would pass on the dashboard's.

    Args:
        scheduler: address of the scheduler; None if this process is the scheduler.
        spec: the Dask class to run, and its options.
        environment: all environment variables of the process.
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
    """The scheduler. It writes its address to a file once it can be reached; on a busy machine this takes a minute."""

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
                # The file may exist and not be complete yet.
                with contextlib.suppress(OSError, ValueError):
                    self.address = json.loads(told.read_text())["address"]
                    return
                await asyncio.sleep(0.05)
        raise RuntimeError("the scheduler did not start")


def _start_processes(workers: int, threads: int) -> SpecCluster:
    """Like `distributed.deploy.subprocess.SubprocessCluster`, with its own environment variables."""
    local = {"host": "127.0.0.1", "preload": [CHILD], "dashboard": False, "dashboard_address": None}
    worker_kwargs = {
        **local,
        "preload_nanny": [CHILD],
        # One run at a time per worker; torch uses the threads.
        "nthreads": 1,
        # No memory limit of Dask's: it would count the memory that torch keeps for the next round.
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
    """Environment variables of child processes: the path of invmask, and the number of threads."""
    path = os.environ.get("PYTHONPATH")
    return {
        **ALLOCATOR,
        **os.environ,
        "PYTHONPATH": os.pathsep.join([PACKAGE_PARENT, *([path] if path else [])]),
        "OMP_NUM_THREADS": str(threads),
        PARENT_VARIABLE: str(os.getpid()),
        # The executor reports errors; Dask's own log would fill the terminal.
        "DASK_LOGGING__DISTRIBUTED": "error",
    }
