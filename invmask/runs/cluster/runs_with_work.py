"""Which runs there may be something to do about, found without looking at all of them again and again.

Whoever wants something of a run leaves a mark beside the runs (`goals.mark`); whoever finds nothing to do there takes
it away. Between two marks a look costs the same however many runs there are.
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

# How long a changed victim may go unseen.
VICTIM_SECONDS = 1.0
# A run is looked at now and then all the same: a mark may be lost with a process, or the run come from another machine.
PASSING_SECONDS = 1.0

Signature = tuple[tuple[tuple[int, int] | None, ...], int | None]
Kind = Literal["rounds", "evidence", "cuts"]
# The files that tell whether there is something new to do.
TELLING: dict[Kind, tuple[str, ...]] = {
    "rounds": (files.WANT, files.STATUS, files.RESULT),
    "evidence": (evidence.ERRAND.want, evidence.ERRAND.status),
    "cuts": (cut_curves.ERRAND.want, cut_curves.ERRAND.status),
}


class Lookout:
    """The runs of one store, for one thread.

    Attributes:
        victims: changes with the files of any victim, which results about a run rest on. None before the first look.
    """

    def __init__(self, store: RunStore) -> None:
        self.store = store
        self.victims: int | None = None
        self._victims_at = self._passed_at = 0.0
        self._passing: list[Run] = []

    def runs(self, also: Iterable[str] = ()) -> list[Run]:
        """Those to look at now, oldest first: what is marked, one in passing, and at times all.

        Args:
            also: ids of more.
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
        """Changes whenever there may be something new to do for a run."""
        stats = []
        for name in TELLING[kind]:
            stats.append(None)
            with contextlib.suppress(OSError):
                stat = (run.path / name).stat()
                stats[-1] = (stat.st_mtime_ns, stat.st_ino)
        # Of a victim that was trained again, what was measured is stale.
        return tuple(stats), None if kind == "rounds" else self.victims
