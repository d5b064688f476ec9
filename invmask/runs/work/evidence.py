"""Evidence about a run's channels that is slow to gather. It is stored in the run, so that it is gathered once.

Evidence about the victim only (`VictimEvidence`) is the same for all rounds. Evidence that depends on a round's masks
(`top_cuts.TopCuts`) has one file per round. Files are replaced atomically and grow during the work.
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
# Test images per class: few enough that cutting each of 1,200 channels alone takes about a minute.
PER_CLASS = 10
ARRAYS = ("trigger_change", "conductance", "asr_change", "acc_change")


@dataclass(frozen=True)
class VictimEvidence:
    """Evidence about each channel of the original network, independent of any defence.

    The first four are float32 [channels], NaN where not known yet, or never known (a clean control has no trigger).

    Attributes:
        trigger_change: mean absolute change of the activation under the attacker's trigger, in the layer's units.
        conductance: toward the target label, from clean to triggered images, in logits; see `evidence.conductance`.
        asr_change, acc_change: change of ASR and ACC if only this channel is cut, in [-1, 1].
        original: measures of the uncut network on the same images.
        n_conductance: number of images over which the conductance is averaged.
        done, total: finished pieces of work, and all pieces.
        key: what the evidence depends on, see `victim_evidence_key`.
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
    """Whether evidence is requested that is not complete yet."""
    asked = wanted(run)
    if asked is None or problem(run) is not None:
        return False
    of_victim, of_round = victim_evidence(run), top_cuts(run, asked)
    return of_victim is None or not of_victim.complete or of_round is None or not of_round.complete


def victim_evidence_key(run: Run) -> str:
    """The key of everything that evidence about the run's victim depends on."""
    return victim_key(run, PER_CLASS)


def victim_evidence(run: Run) -> VictimEvidence | None:
    """The evidence gathered so far; None if there is none.

    A damaged file, or one from another victim or other rules, counts as none and will be made again.
    """
    found = stored_evidence(run)
    return found if found is not None and found.key == victim_evidence_key(run) else None


def stored_evidence(run: Run) -> VictimEvidence | None:
    """The stored evidence, stale or not; None if there is none or the file is damaged."""
    path = run.path / VICTIM
    try:
        with safe_open(path, "np") as file:
            head = json.loads((file.metadata() or {})["evidence"])
            arrays = {name: file.get_tensor(name) for name in ARRAYS}
        return VictimEvidence(**arrays, **{**head, "original": Measures(**head["original"])})
    except (OSError, ValueError, KeyError, TypeError, SafetensorError):
        return None


def write_victim_evidence(run: Run, found: VictimEvidence) -> None:
    """Store the evidence gathered so far."""
    head = {key: value for key, value in asdict(found).items() if key not in ARRAYS}
    arrays = {name: np.ascontiguousarray(getattr(found, name), np.float32) for name in ARRAYS}
    files.write_bytes(run.path / VICTIM, tensors.save(arrays, {"evidence": json.dumps(head)}))


def top_cuts(run: Run, round_taken: int) -> TopCuts | None:
    """The effect of cutting the first channels of each ranking, for a round; see `read_top_cuts`."""
    return read_top_cuts(run, round_taken, victim_evidence_key(run))
