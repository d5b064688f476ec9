"""What readers get of a run: frozen dataclasses, and their way from and to JSON. Fractions in [0, 1]."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from invmask.defenses.base import Record, Synthesis
from invmask.defenses.entry import Course
from invmask.defenses.verdict import Verdict
from invmask.masks.state import View
from invmask.measure.metrics import Measures
from invmask.runs.store.spec import RunSpec


class RunState(StrEnum):
    """What a run is doing."""

    NEW = "new"
    WAITING = "waiting"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    FINISHED = "finished"
    FAILED = "failed"


@dataclass(frozen=True)
class Views:
    """What the views of a repair do on one set of test images; None for views that it does not have."""

    original: Measures
    pruned: Measures | None = None
    inverse: Measures | None = None
    repaired: Measures | None = None

    @property
    def defended(self) -> Measures:
        """Of the view to take away: the pruned one, or the repaired one."""
        found = self.pruned or self.repaired
        assert found is not None
        return found

    def of(self, view: str) -> Measures | None:
        """Of the view of that name."""
        return getattr(self, view)

    def present(self) -> dict[View, Measures]:
        """By view, those that there are."""
        return {view: measures for view in View if (measures := self.of(view)) is not None}


@dataclass(frozen=True)
class RoundEntry:
    """One round of a run.

    Attributes:
        record: what the defence tells of it.
        views: the views after it, on the run's probe of the test images.
        seconds: the time of the defence's step, without measuring the views. The one value that two equal
            runs do not share.
    """

    record: Record
    views: Views
    seconds: float


@dataclass(frozen=True)
class RunResult:
    """How a run ended.

    Attributes:
        stopped_because: why, as a sentence.
        finished: the defence was done; False if somebody stopped it before.
        round: rounds taken.
        rounds: rounds taken in each stage that the settings have rounds for, by its name.
        seconds: of all rounds together.
        counts: the defence's, by name, at the end: channels selected (s < 0.5), pruned (m < 0.5) and the like.
        notes: what else the defence told, each as it was last told and not None.
        views: the views on all embedded test images.
    """

    stopped_because: str
    finished: bool
    round: int
    rounds: dict[str, int]
    seconds: float
    counts: dict[str, int]
    notes: dict[str, Any]
    views: Views


@dataclass(frozen=True)
class RunSummary:
    """A run at a glance.

    Attributes:
        id: the name of its directory.
        spec: what it is made of.
        created: seconds since 1970.
        round: rounds taken and stored.
        stage: the name of the stage that the next round belongs to, or that the last belonged to at the end.
        state: what it is doing.
        until: the round it goes on to, if one was asked for; None otherwise.
        stopped_because: why it ended, as a sentence; None before.
        message: what went wrong, as a sentence; None if all is well. Not always the end: a round that a
            killed worker lost is done again.
        original: the unmasked victim on the probe; None before the run was first taken up.
        result: at the end.
        ending: no further round is wanted: the one in hand is finished, then the views are measured for the result.
        weights: what the victim was when the run was first taken up (`Shapes.weights`); None where that is not known.
        name: what somebody called it; empty where nobody did.
    """

    id: str
    spec: RunSpec
    created: float
    round: int
    stage: str
    state: RunState
    until: int | None
    stopped_because: str | None
    message: str | None
    original: Measures | None
    result: RunResult | None
    ending: bool = False
    weights: str | None = None
    name: str = ""


@dataclass(frozen=True)
class StoredExamples:
    """Example perturbations of one round, as stored.

    Attributes:
        indices: int32 [E], places in the run's clean budget.
        perturbations: float16 [E, C, H, W], in the units of [0, 1]; may be negative.
        probabilities: float32 [V, E, K], answers to the perturbed images of each view of the repair.
        one_for_all: whether the perturbation is one and the same, for any image.
    """

    indices: np.ndarray
    perturbations: np.ndarray
    probabilities: np.ndarray
    one_for_all: bool = False

    @property
    def shared(self) -> np.ndarray | None:
        """The one perturbation that goes on every image, float32 [C, H, W]; None where each has its own."""
        return self.perturbations[0].astype(np.float32) if self.one_for_all else None


@dataclass(frozen=True)
class StoredCandidates:
    """The smallest trigger found so far for each label, as stored after one round of a search.

    Attributes:
        family: the kind of trigger, by its name in `defenses.family_texts.FAMILY_WORDS`.
        labels: int32 [P], rising.
        portraits: uint8 [P, h, w, C], a picture of each trigger; h and w are those of the images, or smaller.
        sizes: float32 [P], in the family's unit.
        flips: float32 [P], the share in [0, 1] of the images that the trigger leads to its label.
        searched: bool [P], whether the label is still looked at.
        standing_out: the label whose trigger is smaller than the others' by enough; None where there is none yet.
        lead: how far the smallest is ahead of the next, the logarithm of the sizes' ratio (nats); None before two
            labels have been reached.
    """

    family: str
    labels: np.ndarray
    portraits: np.ndarray
    sizes: np.ndarray
    flips: np.ndarray
    searched: np.ndarray
    standing_out: int | None
    lead: float | None


def course(summary: RunSummary, entries: Sequence[RoundEntry], classes: Sequence[str]) -> Course:
    """The run so far, for the sentences that its defence says of it.

    Args:
        classes: the names of the data set's classes.
    """
    spec = summary.spec
    records = [entry.record for entry in entries]
    return Course(spec.config, summary.stage, records, classes, images=spec.spc * len(classes))


def verdict(summary: RunSummary, entries: Sequence[RoundEntry] = ()) -> Verdict | None:
    """What the run's defence says of the network; None where it does not tell, or not yet.

    Args:
        entries: its rounds; a run that has a result tells without.
    """
    if summary.result is not None:
        notes = summary.result.notes
    elif entries:
        notes = entries[-1].record.notes
    else:
        return None
    return summary.spec.entry.verdict(summary.spec.config, summary.stage, notes)


def views_from_json(values: dict[str, Any]) -> Views:
    """Raises TypeError or KeyError for anything else than what `asdict` gave of one."""
    original, others = values["original"], {name: of for name, of in values.items() if name != "original"}
    return Views(Measures(**original), **{name: None if of is None else Measures(**of) for name, of in others.items()})


def entry_to_json(entry: RoundEntry) -> dict[str, Any]:
    """As stored, one line a round."""
    return {"record": asdict(entry.record), "views": asdict(entry.views), "seconds": entry.seconds}


def entry_from_json(values: dict[str, Any]) -> RoundEntry:
    """Raises TypeError, KeyError or ValueError for anything else than what `entry_to_json` gave."""
    record = dict(values["record"])
    synthesis = record["synthesis"]
    if synthesis is not None:
        record["synthesis"] = Synthesis(**{**synthesis, "flipped_to": tuple(synthesis["flipped_to"])})
    return RoundEntry(Record(**record), views_from_json(values["views"]), float(values["seconds"]))


def result_from_json(values: dict[str, Any]) -> RunResult:
    """Raises TypeError or KeyError for anything else than what `asdict` gave of one."""
    return RunResult(**{**values, "views": views_from_json(values["views"])})
