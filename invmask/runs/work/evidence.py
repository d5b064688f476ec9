"""Evidence about a run's channels that takes a while to gather: kept beside the run, so that it is gathered once.

What concerns the victim alone (`VictimEvidence`) is the same for all rounds; what concerns the masks of a round
(`top_cuts.TopCuts`) has a file for each. Files are replaced atomically, and grow while the work goes on.
"""

import json
from dataclasses import asdict, dataclass

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors import numpy as tensors

from invmask.measure.metrics import Measures
from invmask.runs.store import files
from invmask.runs.store.run import Run
from invmask.runs.store.staleness import victim_key
from invmask.runs.work.side_jobs import Errand
from invmask.runs.work.top_cuts import TopCuts, read_top_cuts

FOLDER = "evidence"
ERRAND = Errand(FOLDER, "The evidence could not be gathered.")
VICTIM = f"{FOLDER}/victim.safetensors"
ask, wanted, problem = ERRAND.ask, ERRAND.wanted, ERRAND.problem
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


def has_work(run: Run) -> bool:
    """Whether evidence is wanted that is not there yet."""
    asked = wanted(run)
    if asked is None or problem(run) is not None:
        return False
    of_victim, of_round = victim_evidence(run), top_cuts(run, asked)
    return of_victim is None or not of_victim.complete or of_round is None or not of_round.complete


def victim_evidence_key(run: Run) -> str:
    """What evidence about the run's victim rests on."""
    return victim_key(run, PER_CLASS)


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


def top_cuts(run: Run, round_taken: int) -> TopCuts | None:
    """What cutting the first channels of each ranking does, for a round; see `read_top_cuts`."""
    return read_top_cuts(run, round_taken, victim_evidence_key(run))
