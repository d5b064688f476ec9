"""Find the runs that may have work, without checking all runs every time.

A process that requests something of a run leaves a mark beside the runs (`goals.mark`). A process that finds nothing to
do for a marked run removes the mark. So the cost of a check does not grow with the number of runs.
"""

import contextlib
import time
from collections.abc import Iterable
from typing import Literal

from invmask.runs.store import files
from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.run import Run
from invmask.runs.store.staleness import victims_stamp
from invmask.runs.work import cut_curves, evidence
from invmask.settings import victim_folders

# Longest time before a changed victim is seen.
VICTIM_SECONDS = 1.0
# An unmarked run is checked at times too: its mark may be lost with a process, or it may come from another machine.
PASSING_SECONDS = 1.0

Signature = tuple[tuple[tuple[int, int] | None, ...], int | None]
Kind = Literal["rounds", "evidence", "cuts", "training", "bringing"]
# The files of a run whose change means that there may be new work.
TELLING: dict[Kind, tuple[str, ...]] = {
    "rounds": (files.WANT, files.STATUS, files.RESULT),
    "evidence": (evidence.ERRAND.want, evidence.ERRAND.status),
    "cuts": (cut_curves.ERRAND.want, cut_curves.ERRAND.status),
}


class Lookout:
    """Watches the runs of one store, for one thread.

    Attributes:
        victims: a stamp that changes with the files of any victim, because results depend on these; None before the
            first check.
    """

    def __init__(self, store: RunStore) -> None:
        self.store = store
        self.victims: int | None = None
        self._victims_at = self._passed_at = 0.0
        self._passing: list[Run] = []

    def runs(self, also: Iterable[str] = ()) -> list[Run]:
        """The runs to check now, oldest first: marked runs, now and then one other, and all after a victim's change.

        Args:
            also: ids of further runs.
        """
        now = time.monotonic()
        ids = {*self.store.marked(), *also}
        if self.victims is None or now - self._victims_at >= VICTIM_SECONDS:
            before, self.victims = self.victims, victims_stamp(victim_folders(self.store.folder.parent))
            self._victims_at = now
            if before != self.victims:
                ids.update(run.id for run in self.store.runs())
        if now - self._passed_at >= PASSING_SECONDS:
            self._passed_at = now
            self._passing = self._passing or self.store.runs()
            if self._passing:
                ids.add(self._passing.pop().id)
        return [Run(self.store.folder / name) for name in sorted(ids)]

    def signature(self, run: Run, kind: Kind) -> Signature:
        """A value that changes whenever there may be new work of this kind for a run."""
        stats = []
        for name in TELLING[kind]:
            stats.append(None)
            with contextlib.suppress(OSError):
                stat = (run.path / name).stat()
                stats[-1] = (stat.st_mtime_ns, stat.st_ino)
        # If a victim was trained again, measurements of it are stale.
        return tuple(stats), None if kind == "rounds" else self.victims
