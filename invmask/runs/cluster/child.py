"""Loaded into every process of the embedded cluster (a Dask preload module).

A killed dashboard cannot close its cluster, so each process checks whether its parent still lives. Workers import the
engine in advance, so that the first round does not wait for the import.
"""

import importlib
import os
import threading
import time
from typing import Any

PARENT_CHECK_SECONDS = 1.0
NICE = 5
# Tells a child which process started it. If the child asked later, its parent might already have changed.
PARENT_VARIABLE = "INVMASK_PARENT"


def dask_setup(server: Any) -> None:
    """Called by Dask with the scheduler, nanny or worker of this process."""
    if type(server).__name__ == "Worker":
        # Whoever clicks comes first: on an idle machine a run is as fast as ever.
        os.nice(NICE)
        # In the background, because a worker cannot answer its scheduler while it imports.
        threading.Thread(target=_warm_up, daemon=True).start()
    else:
        # In a new session, so that Control-C in the terminal reaches only the dashboard, which then closes its cluster.
        os.setsid()
        parent = int(os.environ.get(PARENT_VARIABLE, os.getppid()))
        threading.Thread(target=end_with, args=[parent], daemon=True).start()


def _warm_up() -> None:
    importlib.import_module("invmask.runs.work.advance")


def end_with(parent: int) -> None:
    """End this process as soon as its parent is no longer `parent`. Never returns, so it needs its own thread."""
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_SECONDS)
    # When a nanny ends, its worker ends too.
    os._exit(0)
