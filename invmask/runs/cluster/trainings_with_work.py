"""Find the trainings of small victims that may have work, for the executor."""

from collections.abc import Callable, MutableMapping
from pathlib import Path

from invmask.runs.cluster.runs_with_work import Kind
from invmask.runs.cluster.watched import Watched
from invmask.runs.store.goals import mark, unmark
from invmask.runs.store.trainings import Training, TrainingStore


def due_trainings(
    home: Path,
    watched: MutableMapping[tuple[str, Kind], Watched],
    collect: Callable[[Watched], None],
    now: float,
) -> list[tuple[Training, Kind, Watched]]:
    """The trainings that a worker could go on with now, earliest request first.

    Args:
        watched: what the executor keeps about everything that it works on; trainings without work are removed.
        collect: takes a finished unit's outcome.
        now: the present `time.monotonic()`.
    """
    due: list[tuple[Training, Kind, Watched]] = []
    for training in TrainingStore(home).marked():
        each = watched.setdefault((training.id, "training"), Watched())
        collect(each)
        if each.future is not None or now < each.not_before:
            continue
        if training.has_work():
            due.append((training, "training", each))
            continue
        unmark(training.path)
        watched.pop((training.id, "training"))
        if training.has_work():
            # A request arrived just as the mark was removed.
            mark(training.path)
    return due
