"""The mark that a worker sets on a run while it advances it.

Whoever gets the run's lock and finds the mark still set knows that the worker before was killed.
"""

import os
import socket
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from invmask.runs.store import files, living_process
from invmask.runs.store.run import Run


@dataclass(frozen=True)
class Marker:
    """Who works on a run.

    Attributes:
        path: of the file.
        pid, since, host: the process, and when it began.
        round: the round that the run stood at when it was taken.
        losses: how many workers were killed there before, one after the other.
        busy: still at work.
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
        """Say that a round was done."""
        os.utime(self.path)

    def leave(self) -> None:
        """Take the mark away; the file goes on to say who was there last."""
        if self.path.parent.is_dir():
            replace(self, losses=0, busy=False)._write()

    def _write(self) -> None:
        files.write_json(self.path, {key: value for key, value in asdict(self).items() if key != "path"})
