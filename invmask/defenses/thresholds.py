"""Cut channels by a learned mask: what ANP and RNP share.

Both learn a mask m in [0, 1] on the channels, and cut those whose m is below a threshold. Their papers pick the
threshold by measures that a defender does not have. Here it is the largest one that keeps the accuracy on clean images.
"""

from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from invmask.defenses.base import Record, Subject
from invmask.defenses.clean_images import crops, judge
from invmask.defenses.cuts import gated
from invmask.defenses.settings import DefenseConfig, setting

CUT = "cut"


@dataclass(frozen=True, kw_only=True)
class ThresholdConfig(DefenseConfig):
    """The settings of the stage that cuts."""

    accuracy_kept: float = setting(
        0.95,
        (0.0, 1.0, 0.01),
        "Accuracy to keep",
        "The threshold is the largest one that keeps this share of the accuracy on the clean images.",
        basic=True,
    )
    threshold_step: float = setting(0.05, (0.01, 0.5, 0.01), "Step of the threshold", "Thresholds are so far apart.")
    most_threshold: float = setting(0.9, (0.05, 1.0, 0.05), "Largest threshold", "No threshold is larger.")

    @property
    def thresholds(self) -> int:
        """Number of thresholds to try."""
        return max(1, int(self.most_threshold / self.threshold_step + 1e-6))


@dataclass(frozen=True)
class MaskState:
    """Everything that the next round depends on.

    Attributes:
        mask, velocity: m and SGD's momentum, float32 [channels].
        generator: state of the random generator for batches, disturbances and crops, uint8.
        stage, round, round_in_stage: the stage of the next round; rounds taken in all, and in this stage.
        threshold: the largest threshold so far that kept the accuracy; 0 cuts nothing.
        accuracy: accuracy in [0, 1] with nothing cut, on the crops on which thresholds are judged; None before it is
            measured.
        ended: why the defence has ended; None while there is more to do.
    """

    mask: Tensor
    velocity: Tensor
    generator: Tensor
    stage: str
    round: int = 0
    round_in_stage: int = 0
    threshold: float = 0.0
    accuracy: float | None = None
    ended: str | None = None


S = TypeVar("S", bound=MaskState)


def cut_more(subject: Subject, state: S, config: ThresholdConfig, generator: torch.Generator) -> tuple[S, Record]:
    """One round: try the next threshold, and keep it if the accuracy is kept; otherwise end."""
    images, labels = crops(subject, generator)
    taken = state.round_in_stage + 1
    threshold = round(taken * config.threshold_step, 6)
    whole = state.accuracy
    if whole is None:
        whole = accuracy_with(subject, torch.ones_like(state.mask), images, labels)
    accuracy = accuracy_with(subject, hard(state.mask, threshold), images, labels)
    kept = accuracy >= config.accuracy_kept * whole
    ended = None
    if not kept:
        share = 100 * accuracy / max(whole, 1e-9)
        ended = f"found that a threshold of {threshold:g} would keep {share:.0f} % of the accuracy"
    elif taken >= config.thresholds:
        ended = "reached the largest threshold"
    after = replace(
        state,
        round=state.round + 1,
        round_in_stage=taken,
        threshold=threshold if kept else state.threshold,
        accuracy=whole,
        ended=f"The last stage, cut, {ended}." if ended else None,
    )
    record = Record(
        round=after.round,
        stage=CUT,
        round_in_stage=taken,
        terms={},
        total=1 - accuracy,
        counts={"channels": len(state.mask), "pruned": int((state.mask < after.threshold).sum())},
        notes={"threshold": after.threshold, "accuracy on clean images": accuracy},
        stage_ended=ended,
    )
    return after, record


def accuracy_with(subject: Subject, gates: Tensor, images: Tensor, labels: Tensor) -> float:
    """The accuracy in [0, 1] of the network with gates [channels]."""
    return judge(subject, lambda batch: gated(subject, batch, gates), images, labels).accuracy


def hard(mask: Tensor, threshold: float) -> Tensor:
    """Gates [channels]: 0 for channels whose m is below the threshold, 1 for all others."""
    return (mask >= threshold).to(mask)
