"""Evidence about a run's channels that takes a while to gather: kept beside the run, so that it is gathered once.

What concerns the victim alone (`VictimEvidence`) is the same for all rounds; what concerns the masks of a round
(`TopSet`) has a file for each. Files are replaced atomically, and grow while the work goes on.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors import numpy as tensors

from invmask.metrics import Measures
from invmask.runs import files
from invmask.runs.errands import Errand
from invmask.runs.keys import result_key, victim_key
from invmask.runs.run import Run

FOLDER = "evidence"
ERRAND = Errand(FOLDER, "The evidence could not be gathered.")
VICTIM = f"{FOLDER}/victim.safetensors"
ask, wanted, problem = ERRAND.ask, ERRAND.wanted, ERRAND.problem
TOP = 10
RANDOM_SETS = 20
# Test images of every class: few enough that 1,200 channels, each cut alone, take about a minute.
PER_CLASS = 10
ARRAYS = ("trigger_change", "conductance", "asr_change", "acc_change")


@dataclass(frozen=True)
class VictimEvidence:
    """What is known of each channel of the original network, whatever a defence believes.

    Attributes:
        trigger_change: mean absolute change of the activation under the attacker's trigger, in the layer's units.
        conductance: toward the target label from clean to triggered images, in logits; see `evidence.conductance`.
        asr_change, acc_change: with this channel alone cut, in [-1, 1].
        All float32 [channels]; NaN where not known (yet, or ever: a clean control has no trigger).
        original: the uncut network on the same images.
        n_conductance: images that the conductance is a mean of.
        done, total: pieces of work.
        key: what it rests on, see `victim_evidence_key`.
    """

    trigger_change: np.ndarray
    conductance: np.ndarray
    asr_change: np.ndarray
    acc_change: np.ndarray
    original: Measures
    n_conductance: int
    done: int
    total: int
    key: str

    @property
    def complete(self) -> bool:
        return self.done >= self.total


@dataclass(frozen=True)
class TopSet:
    """The highest-scored channels of a round, cut together, against random sets from the same layers.

    Attributes:
        channels: the highest-scored ones, in order.
        original: the uncut network.
        top: with `channels` cut.
        random: with each random set cut, as far as they have been measured.
        sets: how many random sets there will be.
        key: what it rests on, see `top_set_key`.
    """

    channels: tuple[int, ...]
    original: Measures
    top: Measures
    random: tuple[Measures, ...]
    sets: int
    key: str

    @property
    def complete(self) -> bool:
        return len(self.random) >= self.sets


def has_work(run: Run) -> bool:
    """Whether evidence is wanted that is not there yet."""
    asked = wanted(run)
    if asked is None or problem(run) is not None:
        return False
    of_victim, of_round = victim_evidence(run), top_set(run, asked)
    return of_victim is None or not of_victim.complete or of_round is None or not of_round.complete


def victim_evidence_key(run: Run) -> str:
    """What evidence about the run's victim rests on."""
    return victim_key(run, PER_CLASS)


def top_set_key(run: Run) -> str:
    """What the comparison of a round rests on beside the masks."""
    return result_key(run, PER_CLASS, TOP, RANDOM_SETS)


def victim_evidence(run: Run) -> VictimEvidence | None:
    """What has been gathered so far; None if nothing has.

    What makes no sense, or was gathered of another victim or by other rules, counts as nothing and will be made anew.
    """
    found = stored_evidence(run)
    return found if found is not None and found.key == victim_evidence_key(run) else None


def stored_evidence(run: Run) -> VictimEvidence | None:
    """What is stored, whatever it rests on; None if nothing is (or it makes no sense)."""
    path = run.path / VICTIM
    try:
        with safe_open(path, "np") as file:
            head = json.loads((file.metadata() or {})["evidence"])
            arrays = {name: file.get_tensor(name) for name in ARRAYS}
        return VictimEvidence(**arrays, **{**head, "original": Measures(**head["original"])})
    except (OSError, ValueError, KeyError, TypeError, SafetensorError):
        return None


def write_victim_evidence(run: Run, found: VictimEvidence) -> None:
    """Replace what has been gathered."""
    head = {key: value for key, value in asdict(found).items() if key not in ARRAYS}
    arrays = {name: np.ascontiguousarray(getattr(found, name), np.float32) for name in ARRAYS}
    files.write_bytes(run.path / VICTIM, tensors.save(arrays, {"evidence": json.dumps(head)}))


def top_set(run: Run, round_taken: int) -> TopSet | None:
    """The comparison for a round, as far as it is; None before it was begun, and where it is stale."""
    try:
        values = files.read_json(run.path / _round_file(round_taken))
        found = None if values is None else _top_set(values)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if found is not None and found.key == top_set_key(run) else None


def write_top_set(run: Run, round_taken: int, found: TopSet) -> None:
    """Replace the comparison for a round."""
    files.write_json(run.path / _round_file(round_taken), asdict(found))


def _top_set(values: dict[str, Any]) -> TopSet:
    return TopSet(
        channels=tuple(int(channel) for channel in values["channels"]),
        original=Measures(**values["original"]),
        top=Measures(**values["top"]),
        random=tuple(Measures(**measures) for measures in values["random"]),
        sets=int(values["sets"]),
        key=str(values["key"]),
    )


def _round_file(round_taken: int) -> str:
    return f"{FOLDER}/round-{round_taken}.json"
