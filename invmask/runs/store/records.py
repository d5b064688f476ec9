"""The data that readers of a run get: frozen dataclasses, and their conversion from and to JSON. Shares in [0, 1]."""

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
    """The state of a run."""

    NEW = "new"
    WAITING = "waiting"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    FINISHED = "finished"
    FAILED = "failed"


@dataclass(frozen=True)
class Views:
    """The measures of a repair's views on one set of test images; None for views that the repair does not have."""

    original: Measures
    pruned: Measures | None = None
    inverse: Measures | None = None
    repaired: Measures | None = None

    @property
    def defended(self) -> Measures:
        """The measures of the view without the backdoor: pruned or repaired."""
        found = self.pruned or self.repaired
        assert found is not None
        return found

    def of(self, view: str) -> Measures | None:
        """The measures of the view of that name."""
        return getattr(self, view)

    def present(self) -> dict[View, Measures]:
        """The existing measures by view."""
        return {view: measures for view in View if (measures := self.of(view)) is not None}


@dataclass(frozen=True)
class RoundEntry:
    """One round of a run.

    Attributes:
        record: the defence's record of the round.
        views: measures of the views after the round, on the run's probe of the test images.
        seconds: duration of the defence's step, without measuring the views. Only this value differs between two equal
            runs.
    """

    record: Record
    views: Views
    seconds: float


@dataclass(frozen=True)
class RunResult:
    """How a run ended.

    Attributes:
        stopped_because: why the run ended, as a sentence.
        finished: whether the defence was done; False if it was stopped before.
        round: number of rounds taken.
        rounds: number of rounds taken in each stage, by its name; only stages that have rounds in the settings.
        seconds: duration of all rounds together.
        counts: the defence's counts at the end, by name: channels selected (s < 0.5), pruned (m < 0.5) and so on.
        notes: the last value of each of the defence's notes that is not None.
        views: measures of the views on all embedded test images.
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
    """The summary of a run.

    Attributes:
        id: the name of its directory.
        spec: its specification.
        created: seconds since 1970.
        round: rounds taken and stored.
        stage: name of the next round's stage; at the end, of the last round's stage.
        state: its state.
        until: the round up to which the run shall go, if this was requested; None otherwise.
        stopped_because: why it ended, as a sentence; None before the end.
        message: what went wrong, as a sentence; None if all is well. The run may still go on: a round lost with a
            killed worker is repeated.
        original: measures of the unmasked victim on the probe; None before work on the run began.
        result: the result; None before the end.
        ending: whether no further round is requested: the current round is finished, then the views are measured for
            the result.
        weights: digest of the victim when work on the run began (`Shapes.weights`); None if it is not known.
        name: the name that a user gave it; empty if it has none.
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
        indices: int32 [E], positions in the run's clean budget.
        perturbations: float16 [E, C, H, W], in the units of [0, 1]; may be negative.
        probabilities: float32 [V, E, K], softmax probabilities of each view of the repair for the perturbed images.
        one_for_all: whether all images have the same perturbation.
    """

    indices: np.ndarray
    perturbations: np.ndarray
    probabilities: np.ndarray
    one_for_all: bool = False

    @property
    def shared(self) -> np.ndarray | None:
        """The perturbation that all images share, float32 [C, H, W]; None if each image has its own."""
        return self.perturbations[0].astype(np.float32) if self.one_for_all else None


@dataclass(frozen=True)
class StoredCandidates:
    """The smallest trigger found so far for each label, as stored after one round of a search.

    Attributes:
        family: the kind of trigger, by its name in `defenses.family_texts.FAMILY_WORDS`.
        labels: int32 [P], rising.
        portraits: uint8 [P, h, w, C], one picture of each trigger; h and w are those of the images, or smaller.
        sizes: float32 [P], in the family's unit.
        flips: float32 [P], share of images in [0, 1] that the trigger leads to its label.
        searched: bool [P], whether the label is still searched.
        standing_out: the label whose trigger is clearly smaller than all others; None if there is none yet.
        lead: log of the second smallest size over the smallest size, in nats; None before two labels have been reached.
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
    """The run so far, from which its defence makes sentences about it.

    Args:
        classes: the names of the data set's classes.
    """
    spec = summary.spec
    records = [entry.record for entry in entries]
    return Course(spec.config, summary.stage, records, classes, images=spec.spc * len(classes))


def verdict(summary: RunSummary, entries: Sequence[RoundEntry] = ()) -> Verdict | None:
    """The verdict of the run's defence on the network; None if it gives no verdict, or not yet.

    Args:
        summary: the run's summary.
        entries: the run's rounds; not needed if the run has a result.
    """
    if summary.result is not None:
        notes = summary.result.notes
    elif entries:
        notes = entries[-1].record.notes
    else:
        return None
    return summary.spec.entry.verdict(summary.spec.config, summary.stage, notes)


def views_from_json(values: dict[str, Any]) -> Views:
    """Rebuild it from the result of `asdict`. Raises TypeError or KeyError for any other values."""
    original, others = values["original"], {name: of for name, of in values.items() if name != "original"}
    return Views(Measures(**original), **{name: None if of is None else Measures(**of) for name, of in others.items()})


def entry_to_json(entry: RoundEntry) -> dict[str, Any]:
    """The entry as JSON values; one line per round is stored."""
    return {"record": asdict(entry.record), "views": asdict(entry.views), "seconds": entry.seconds}


def entry_from_json(values: dict[str, Any]) -> RoundEntry:
    """Rebuild a round from `entry_to_json`'s result. Raises TypeError, KeyError or ValueError for other values."""
    record = dict(values["record"])
    synthesis = record["synthesis"]
    if synthesis is not None:
        record["synthesis"] = Synthesis(**{**synthesis, "flipped_to": tuple(synthesis["flipped_to"])})
    return RoundEntry(Record(**record), views_from_json(values["views"]), float(values["seconds"]))


def result_from_json(values: dict[str, Any]) -> RunResult:
    """Rebuild it from the result of `asdict`. Raises TypeError or KeyError for any other values."""
    return RunResult(**{**values, "views": views_from_json(values["views"])})
