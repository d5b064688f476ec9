"""The mark that a worker sets on a run while it advances the run.

A worker that gets the run's lock and finds the mark still set knows that the previous worker was killed.
"""

import os
import socket
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from invmask.runs.store import files, living_process
from invmask.runs.store.run import Run


@dataclass(frozen=True)
class Marker:
    """The worker that works on a run.

    Attributes:
        path: the mark's file.
        pid, since, host: the worker's process id, start time and machine.
        round: the run's last committed round when the worker took it.
        losses: number of workers in a row that were killed at this round before.
        busy: whether the worker is still working.
    """

    path: Path
    pid: int
    since: float
    host: str
    round: int
    losses: int
    busy: bool = True

    @classmethod
    def take(cls, run: Run) -> "Marker":
        """Set the mark. Only for the holder of the run's lock."""
        path = run.path / files.WORKER
        committed = run.committed()
        taken = committed.round if committed else 0
        try:
            before = files.read_json(path) or {}
        except ValueError:
            before = {}
        losses = 0
        if before.get("busy"):
            losses = 1 + (int(before.get("losses", 0)) if before.get("round") == taken else 0)
        marker = cls(path, os.getpid(), living_process.began(os.getpid()), socket.gethostname(), taken, losses)
        marker._write()
        return marker

    def alive(self) -> None:
        """Note that a round was finished, which shows that the worker lives."""
        os.utime(self.path)

    def leave(self) -> None:
        """Clear the mark. The file still names the last worker."""
        if self.path.parent.is_dir():
            replace(self, losses=0, busy=False)._write()

    def _write(self) -> None:
        files.write_json(self.path, {key: value for key, value in asdict(self).items() if key != "path"})
