"""What the executor keeps about a run while there is something to do for it."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from invmask.runs.cluster.capacity import Need
from invmask.runs.cluster.runs_with_work import Signature

if TYPE_CHECKING:
    from distributed import Future


@dataclass
class Watched:
    """What the thread keeps about one kind of work on one run while there is something to do.

    Attributes:
        idle: signature of the run's files when there was nothing to do.
        need, turn: resources of its last unit, and that unit's number among all units; 0 before the first.
        unseen: how many times in a row a worker found nothing to do although there was work.
        problem: why its units fail, as a sentence.
    """

    idle: Signature | None = None
    future: "Future | None" = None
    need: Need = field(default_factory=Need)
    turn: int = 0
    not_before: float = 0.0
    unseen: int = 0
    problem: str | None = None
