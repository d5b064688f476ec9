"""What CLP and BNP share: each scores the channels, and cuts those whose score stands out from their layer's.

A channel is cut if its score is above its layer's mean by more than u standard deviations. The papers fix u = 3. In a
layer of n channels no score is further than (n - 1) / sqrt(n) standard deviations from the mean, so that in narrow
layers u = 3 cuts next to nothing. Here u can fall from round to round, for as long as the clean accuracy is kept.

As in the papers, a channel is cut by setting weight and bias of its BatchNorm to 0. The masks of IMS and ANP make its
convolution 0 instead, of which the BatchNorm makes another constant; that costs more accuracy.
"""

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from invmask.defenses.base import Examples, Record, Subject
from invmask.defenses.clean_images import crops, judge, least_accuracy
from invmask.defenses.cuts import cut_weights
from invmask.defenses.entry import Capabilities, Stage, Term
from invmask.defenses.settings import DefenseConfig, setting
from invmask.masks.repair import View, Weights, network_of
from invmask.masks.state import MaskLayout

CUT = "cut"
_CHANGED, _ABOVE = "changed:", "above"


@dataclass(frozen=True, kw_only=True)
class OutlierConfig(DefenseConfig):
    """The settings; the defaults are the published ones: one threshold, whatever it costs."""

    threshold: float = setting(
        3.0,
        (0.0, 10.0, 0.25),
        "Threshold",
        "A channel is cut if its score is above its layer's mean by more than so many standard deviations.",
        symbol="u",
        basic=True,
    )
    last_threshold: float = setting(
        3.0,
        (0.0, 10.0, 0.25),
        "Last threshold",
        "The threshold falls from round to round until it is this low. It does not fall if this is not lower.",
        basic=True,
    )
    accuracy_kept: float = setting(
        0.0,
        (0.0, 1.0, 0.01),
        "Accuracy to keep",
        "The threshold falls for as long as this share of the accuracy on the clean images is kept. 0 asks for none.",
        basic=True,
    )
    threshold_step: float = setting(0.25, (0.01, 2.0, 0.05), "Step of the threshold", "It falls by this every round.")

    def rounds(self, stage: str) -> int:  # noqa: ARG002
        return 1 + max(0, int((self.threshold - self.last_threshold) / self.threshold_step + 1e-6))

    def threshold_in(self, round_: int) -> float:
        """The threshold of a round, counted from 1."""
        return round(self.threshold - (round_ - 1) * self.threshold_step, 6)


NARROW = OutlierConfig(last_threshold=0.5, accuracy_kept=0.95)
"""Settings for narrow networks: a threshold that clean images choose."""
STAGES = (
    Stage(
        CUT,
        "Cut",
        "Cut",
        "Cut the channels that stand out from their layer, more from round to round, while the clean accuracy is kept.",
        "a lower threshold",
    ),
)
TERMS = {"clean": Term("Cross entropy, clean images", "Low when clean images get their classes.", view="repaired")}
CAPABILITIES = Capabilities(channels=False, triggers=False, cuts=False, invertible=False)


@dataclass(frozen=True)
class OutlierState:
    """Everything that the next round depends on.

    Attributes:
        above: how far each channel's score is above its layer's mean, in standard deviations, [channels].
        changed: the tensors that the cut changes, by name.
        cut: number of channels cut.
        round: number of rounds taken.
        threshold: the lowest threshold that kept the accuracy; None cuts nothing.
        accuracy: accuracy in [0, 1] with nothing cut; None before it is measured.
        ended: why the defence has ended; None while there is more to do.
    """

    above: Tensor
    changed: dict[str, Tensor]
    cut: int = 0
    round: int = 0
    threshold: float | None = None
    accuracy: float | None = None
    ended: str | None = None


class Outliers:
    """The defence as a stepper; see `defenses.base.Defense`. A subclass says how channels are scored."""

    def __init__(self, config: OutlierConfig) -> None:
        self.config = config

    def scores(self, subject: Subject) -> Tensor:
        """The score of each channel, [channels]; the higher, the more suspicious."""
        raise NotImplementedError

    def init(self, subject: Subject) -> OutlierState:
        return OutlierState(standing_out(self.scores(subject), subject.layout), {})

    def step(self, subject: Subject, state: OutlierState) -> tuple[OutlierState, Record]:
        config, taken = self.config, state.round + 1
        threshold = config.threshold_in(taken)
        # The same crops in every round, so that rounds can be compared.
        images, labels = crops(subject, torch.Generator().manual_seed(config.seed))
        whole = state.accuracy
        if whole is None:
            whole = judge(subject, subject.reference, images, labels).accuracy
        changed, cut = cut_weights(subject, below(state.above, threshold))
        judged = judge(subject, network_of(Weights(changed), subject.model, View.REPAIRED), images, labels)
        kept = judged.accuracy >= least_accuracy(whole, config.accuracy_kept, subject.num_classes)
        ended = None
        if not kept:
            share = 100 * judged.accuracy / max(whole, 1e-9)
            ended = f"found that a threshold of {threshold:g} would keep {share:.0f} % of the accuracy"
        elif taken >= config.rounds(CUT):
            ended = "reached the last threshold"
        if kept:
            state = replace(state, changed=changed, cut=cut, threshold=threshold)
        after = replace(
            state,
            round=taken,
            accuracy=whole,
            ended=f"The stage, cut, {ended}." if ended else None,
        )
        record = Record(
            round=taken,
            stage=CUT,
            round_in_stage=taken,
            terms={"clean": judged.cross_entropy},
            total=judged.cross_entropy,
            counts={"cut": after.cut},
            notes={"threshold": after.threshold, "accuracy on clean images": judged.accuracy},
            stage_ended=ended,
        )
        return after, record

    def stage(self, state: OutlierState) -> str:  # noqa: ARG002
        return CUT

    def done(self, state: OutlierState) -> str | None:
        return state.ended

    def repair(self, state: OutlierState) -> Weights:
        return Weights(state.changed)

    def examples(self, state: OutlierState) -> Examples | None:  # noqa: ARG002
        return None

    def pack(self, state: OutlierState) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = {_CHANGED + name: tensor for name, tensor in state.changed.items()}
        numbers = {
            each.name: getattr(state, each.name) for each in fields(state) if each.name not in ("above", "changed")
        }
        return {**tensors, _ABOVE: state.above}, numbers

    def unpack(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> OutlierState:
        changed = {name.removeprefix(_CHANGED): tensor for name, tensor in tensors.items() if name != _ABOVE}
        return OutlierState(tensors[_ABOVE], changed, **numbers)


def standing_out(scores: Tensor, layout: MaskLayout) -> Tensor:
    """How far each score is above the mean of its layer, in the layer's standard deviations, [channels].

    0 in a layer whose scores are all equal.
    """
    above = torch.zeros_like(scores)
    for layer in layout.layers:
        own = scores[layer.slice]
        spread = own.std() if len(own) > 1 else own.new_zeros(())
        if spread > 0:
            above[layer.slice] = (own - own.mean()) / spread
    return above


def below(above: Tensor, threshold: float) -> Tensor:
    """Gates [channels]: 0 for channels that stand out by more than the threshold, 1 for all others."""
    return (above <= threshold).to(above)
