"""Find the requests beside the runs that may have work, for the executor: victims to train, models to bring in."""

from collections.abc import Callable, MutableMapping
from pathlib import Path

from invmask.runs.cluster.runs_with_work import Kind
from invmask.runs.cluster.watched import Watched
from invmask.runs.store.bringings import Bringing, BringingStore
from invmask.runs.store.goals import mark, unmark
from invmask.runs.store.trainings import Training, TrainingStore

Request = Training | Bringing


def due_requests(
    home: Path,
    watched: MutableMapping[tuple[str, Kind], Watched],
    collect: Callable[[Watched], None],
    now: float,
) -> list[tuple[Request, Kind, Watched]]:
    """The requests that a worker could go on with now, models to bring in first, then trainings from the earliest on.

    Args:
        watched: what the executor keeps about everything that it works on; requests without work are removed.
        collect: takes a finished unit's outcome.
        now: the present `time.monotonic()`.
    """
    due: list[tuple[Request, Kind, Watched]] = []
    marked: list[Request] = [*BringingStore(home).marked(), *TrainingStore(home).marked()]
    for request in marked:
        kind: Kind = "training" if isinstance(request, Training) else "bringing"
        each = watched.setdefault((request.id, kind), Watched())
        collect(each)
        if each.future is not None or now < each.not_before:
            continue
        if request.has_work():
            due.append((request, kind, each))
            continue
        unmark(request.path)
        watched.pop((request.id, kind))
        if request.has_work():
            # A request arrived just as the mark was removed.
            mark(request.path)
    return due
