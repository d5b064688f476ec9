"""Summaries of runs, read again only if something may have changed, so that long lists of runs are fast."""

import time
from dataclasses import dataclass, field

from invmask.runs.store.records import RunState, RunSummary
from invmask.runs.store.run import Run

# These states also depend on the time and on whether a worker lives.
CHANGING = frozenset({RunState.WAITING, RunState.RUNNING})
# File times have limited resolution: a file written just now may be written again with the same time.
SETTLED_SECONDS = 2.0


@dataclass
class Summaries:
    """A cache of the summaries of one folder's runs, by id, shared by all threads of a process.

    The files behind a summary are replaced, never changed in place, so every change changes the time of the run's
    folder.
    """

    known: dict[str, tuple[tuple[int, int], RunSummary]] = field(default_factory=dict)

    def of(self, run: Run) -> RunSummary:
        """The summary of the run. For a run that no worker works on, this only checks the time of its folder.

        Raises:
            UserError: the run is damaged or deleted.
        """
        try:
            stat = run.path.stat()
        except OSError:
            return run.summary()
        stamp, known = (stat.st_mtime_ns, stat.st_ino), self.known.get(run.id)
        if known is not None and known[0] == stamp:
            return known[1]
        summary = run.summary()
        if summary.state not in CHANGING and time.time() - stat.st_mtime > SETTLED_SECONDS:
            self.known[run.id] = stamp, summary
        return summary

    def keep(self, runs: list[Run]) -> None:
        """Forget all runs except these."""
        ids = {run.id for run in runs}
        for gone in self.known.keys() - ids:
            self.known.pop(gone, None)
