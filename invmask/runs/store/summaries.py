"""Runs at a glance, read again only where something may have changed: a list of thousands is not read every second."""

import time
from dataclasses import dataclass, field

from invmask.runs.store.records import RunState, RunSummary
from invmask.runs.store.run import Run

# Of these the clock and a worker's life decide, too.
CHANGING = frozenset({RunState.WAITING, RunState.RUNNING})
# A file system's clock ticks in steps: what was written just now may be written again with the same time.
SETTLED_SECONDS = 2.0


@dataclass
class Summaries:
    """What is known of the runs of one folder, by id; shared by all threads of a process.

    The files that a summary is made of are replaced, not changed in place: that gives the run's folder another time.
    """

    known: dict[str, tuple[tuple[int, int], RunSummary]] = field(default_factory=dict)

    def of(self, run: Run) -> RunSummary:
        """The run at a glance; of one that nobody works on, one look at its folder.

        Raises:
            UserError: the run is damaged or gone.
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
        """Forget all but these."""
        ids = {run.id for run in runs}
        for gone in self.known.keys() - ids:
            self.known.pop(gone, None)
