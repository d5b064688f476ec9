"""How many units of work may run at once on this machine, and how many threads the present runs use."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from invmask.errors import UserError
from invmask.runs.store.bringings import Bringing
from invmask.runs.store.run import Run
from invmask.runs.store.trainings import Training
from invmask.victims.small_victim import THREADS


@dataclass(frozen=True)
class Need:
    """The resources that a unit of work needs.

    Attributes:
        threads: threads on the CPU, as many as the run has.
        accelerator: the accelerator that it uses alone, such as cuda:0; None on the CPU.
    """

    threads: int = 1
    accelerator: str | None = None

    @classmethod
    def of(cls, run: Run | Training | Bringing) -> "Need":
        """The resources that a unit of this run, or of this request, needs."""
        if not isinstance(run, Run):
            return cls(THREADS)
        try:
            spec = run.spec()
        except UserError:  # damaged since it was looked at; the unit will say so
            return cls()
        return cls(spec.threads, {"cpu": None, "cuda": "cuda:0"}.get(spec.device, spec.device))


@dataclass(frozen=True)
class Room:
    """The available resources.

    Attributes:
        workers: number of worker processes, each with one unit at a time.
        cores: cores of this machine; None if the number of workers was set by hand, so that cores do not count.
    """

    workers: int
    cores: int | None

    def has(self, need: Need, under_way: Sequence[Need]) -> bool:
        """Whether a unit may begin beside those under way: a worker and a core, or its accelerator, are free."""
        if len(under_way) >= self.workers:
            return False
        if self.cores is None:
            return True
        if need.accelerator is not None:
            return all(other.accelerator != need.accelerator for other in under_way)
        # One free core is enough, however many threads the unit has: if the unit waited for more, the core would be
        # idle.
        return sum(other.threads for other in under_way if other.accelerator is None) < self.cores


def threads_taken(runs: Iterable[Run]) -> int:
    """CPU threads of those `runs` that are under way or wait for a worker."""
    taken = 0
    for run in runs:
        try:
            if run.has_work() and run.spec().device == "cpu":
                taken += run.spec().threads
        except UserError:  # damaged; the list of runs shows this
            continue
    return taken
