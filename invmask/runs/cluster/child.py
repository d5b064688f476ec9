"""Loaded into every process of the embedded cluster (a Dask preload module).

A dashboard that is killed cannot close its cluster, so the processes watch for it themselves. Workers import
the engine beforehand, so that the first round does not wait for it.
"""

import importlib
import os
import threading
import time
from typing import Any

PARENT_CHECK_SECONDS = 1.0
# Tells a child who started it: asked for later, its parent may already have been another.
PARENT_VARIABLE = "INVMASK_PARENT"


def dask_setup(server: Any) -> None:
    """Called by Dask with the scheduler, nanny or worker that this process is."""
    if type(server).__name__ == "Worker":
        # In the background: a worker that imports cannot answer its scheduler.
        threading.Thread(target=_warm_up, daemon=True).start()
    else:
        # In a session of its own: Control-C in the terminal is for the dashboard, which then closes its cluster.
        os.setsid()
        parent = int(os.environ.get(PARENT_VARIABLE, os.getppid()))
        threading.Thread(target=end_with, args=[parent], daemon=True).start()


def _warm_up() -> None:
    importlib.import_module("invmask.runs.work.advance")


def end_with(parent: int) -> None:
    """End this process as soon as its parent is another than `parent`; never returns. For a thread of its own."""
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_SECONDS)
    # A nanny's worker ends with it.
    os._exit(0)
