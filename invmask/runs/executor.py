"""Who advances runs: a thread that watches what is wanted of them, and hands out work to Dask workers."""

from invmask.runs.spec import RunSpec
from invmask.runs.store import Run, RunStore


class Executor:
    """Advances every run below one home, as long as it lives. Its methods only write wishes and return at once.

    Args:
        store: the runs to advance.
        workers, threads: processes and their threads; the machine's settings where not given.
        scheduler: address of an existing Dask scheduler; None for a cluster of child processes.
    """

    def __init__(
        self,
        store: RunStore,
        workers: int | None = None,
        threads: int | None = None,
        scheduler: str | None = None,
    ) -> None:
        self.store = store
        self.workers, self.threads, self.scheduler = workers, threads, scheduler

    @property
    def problem(self) -> str | None:
        """Why nothing is being advanced, as a sentence; None if all is well."""
        return None

    def start(self) -> "Executor":
        """Begin to watch, and warm the workers up in the background."""
        return self

    def create(self, spec: RunSpec) -> Run:
        """A new run that waits for what is wanted of it."""
        return self.store.create(spec)

    def advance(self, run_id: str, rounds: int = 1) -> None:
        """Take so many rounds more, then pause; asked twice, twice as many."""

    def go_on(self, run_id: str) -> None:
        """Go on to the end."""

    def pause(self, run_id: str) -> None:
        """Pause after the round in hand."""

    def stop(self, run_id: str) -> None:
        """End the run after the round in hand, and measure it as it stands."""

    def resume(self, run_id: str) -> None:
        """Go on to the end, after a failure or a stop too."""

    def delete(self, run_id: str) -> None:
        """Delete the run."""

    def close(self) -> None:
        """End the watching and the workers; runs stay as they are and can be taken up again."""
