"""Which units of work may be under way at once on this machine, and what runs under way leave to a new one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from invmask.errors import UserError
from invmask.runs.store.run import Run


@dataclass(frozen=True)
class Need:
    """What a unit of work takes.

    Attributes:
        threads: on the CPU, as many as the run has.
        accelerator: the one that it has for itself, such as cuda:0; None on the CPU.
    """

    threads: int = 1
    accelerator: str | None = None

    @classmethod
    def of(cls, run: Run) -> "Need":
        """What a unit of this run takes."""
        try:
            spec = run.spec()
        except UserError:  # damaged since it was looked at; the unit will say so
            return cls()
        return cls(spec.threads, {"cpu": None, "cuda": "cuda:0"}.get(spec.device, spec.device))


@dataclass(frozen=True)
class Room:
    """How much there is.

    Attributes:
        workers: processes, each at one unit at a time.
        cores: of this machine; None where somebody said how many workers there shall be, whatever they need.
    """

    workers: int
    cores: int | None

    def has(self, need: Need, under_way: Sequence[Need]) -> bool:
        """Whether a unit may begin beside those under way: there is a worker, and a core or its accelerator is free."""
        if len(under_way) >= self.workers:
            return False
        if self.cores is None:
            return True
        if need.accelerator is not None:
            return all(other.accelerator != need.accelerator for other in under_way)
        # One core is enough, however many threads it has: while it waited for more, that one would lie idle.
        return sum(other.threads for other in under_way if other.accelerator is None) < self.cores


def threads_taken(runs: Iterable[Run]) -> int:
    """Threads on the CPU of those among `runs` that go on, or will as soon as there is room."""
    taken = 0
    for run in runs:
        try:
            if run.has_work() and run.spec().device == "cpu":
                taken += run.spec().threads
        except UserError:  # damaged; a listing says so
            continue
    return taken
