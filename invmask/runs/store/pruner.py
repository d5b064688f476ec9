"""A thread that looks for old runs from time to time, as long as the dashboard lives."""

import contextlib
import threading
from collections.abc import Callable

from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.pruning import Keep, prune

LOOK_SECONDS = 60.0


class Pruner:
    """Deletes old runs of a store, see `pruning`.

    Args:
        keep: what is kept.
        wait: waits for so many seconds, and says whether to end; for tests.
    """

    def __init__(self, store: RunStore, keep: Keep, wait: Callable[[float], bool] | None = None) -> None:
        self._store, self._keep = store, keep
        self._wait = wait or threading.Event().wait

    def start(self) -> "Pruner":
        """Begin to look. Returns at once."""
        threading.Thread(target=self.look, name="invmask-pruner", daemon=True).start()
        return self

    def look(self) -> None:
        """Look again and again."""
        while True:
            # A folder that cannot be written to is reported by the next action there.
            with contextlib.suppress(OSError):
                prune(self._store, self._keep)
            if self._wait(LOOK_SECONDS):
                return
