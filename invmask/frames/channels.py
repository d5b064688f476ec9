"""Everything known about each channel of a run at a round, by name, for the page Neurons and for the book."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from invmask.evidence.rankings import first_of
from invmask.evidence.scores import IMAGES, ranking
from invmask.figures.channels import Layer, short_names
from invmask.figures.network_map import ChannelValues
from invmask.masks.state import MaskLayout, Masks, View
from invmask.runs.work.evidence import VictimEvidence
from invmask.runs.work.scores import Synthesized

SHORT = {
    "score": "score",
    "selection": "selection",
    "pruned": "pruned gate",
    "inverse": "inverse gate",
    "trigger": "trigger change",
    "synthesized": "synthesized change",
    "conductance": "conductance",
    "asr": "ΔASR alone",
    "acc": "ΔACC alone",
}

RANKED_BY = {
    "score": "score",
    "conductance": "conductance",
    "trigger": "trigger change",
    "synthesized": "synthesized change",
    "asr": "effect alone",
}
"""Short names of the rankings of channels; the score first."""
OF_THE_MASKS = ("selection", "pruned", "inverse")
"""Numbers that come from the masks themselves and are not evidence."""


@dataclass(frozen=True)
class Channels:
    """Everything known about every channel of a run at one round.

    Attributes:
        layout: the masked layers.
        masks: the masks after the round.
        values: the numbers known for each channel, by name; the score first. NaN if not known (yet).
    """

    layout: MaskLayout
    masks: Masks
    values: dict[str, ChannelValues]

    @property
    def scores(self) -> np.ndarray:
        """The channel scores, float [channels] in [0, 1]."""
        return self.values["score"].values

    @property
    def order(self) -> list[int]:
        """All channels, the highest-scored first."""
        return ranking(torch.from_numpy(self.scores)).tolist()

    def first_by(self, name: str) -> list[int]:
        """The first channels of one of `RANKINGS`, see `first_of`; empty if the numbers are not known."""
        column = self.values.get(name)
        return [] if column is None else first_of(name, column.values)


def known_channels(
    layout: MaskLayout,
    masks: Masks,
    scores: np.ndarray,
    budget: int,
    synthesized: Synthesized | None,
    found: VictimEvidence | None,
    triggered: bool,
) -> Channels:
    """Put together everything known about the channels.

    Args:
        scores: float32 [channels] in [0, 1), see `run_scores`.
        budget: number of clean images in the run's budget.
        synthesized: activation changes under the round's synthesized triggers; None if the round made none.
        found: evidence about the victim gathered so far; None if there is none.
        triggered: whether the victim has a trigger.
    """
    unknown = np.full(layout.channels, np.nan, np.float32)
    title = "Channel score" if triggered else "Score: what the defence would cut"
    values = {
        "score": ChannelValues(scores, title, n=min(IMAGES, budget), of="clean images of the budget"),
        "selection": ChannelValues(1 - masks.selection.numpy(), "Selection 1 − s"),
    }
    n_triggered = None if found is None else found.original.n_triggered
    if triggered:
        change = unknown if found is None else found.trigger_change
        values["trigger"] = ChannelValues(change, "Change under the trigger, activation", "amount", 3, n_triggered)
    if synthesized is not None:
        title, of = "Change under synthesized triggers, activation", "perturbed images of the budget"
        values["synthesized"] = ChannelValues(synthesized.change, title, "amount", 3, synthesized.n, of)
    if triggered:
        conductance = unknown if found is None else found.conductance
        title, n = "Conductance toward the target, logits", None if found is None else found.n_conductance or None
        values["conductance"] = ChannelValues(conductance, title, "signed", 3, n)
        asr = unknown if found is None else 100 * found.asr_change
        values["asr"] = ChannelValues(asr, "Change of ASR if cut alone, points", "signed", 1, n_triggered)
    acc, n = (unknown, None) if found is None else (100 * found.acc_change, found.original.n_clean)
    values["acc"] = ChannelValues(acc, "Change of ACC if cut alone, points", "signed", 1, n)
    values["pruned"] = ChannelValues(masks.gate(View.PRUNED).numpy(), "Pruned gate m")
    values["inverse"] = ChannelValues(masks.gate(View.INVERSE).numpy(), "Inverse gate m\u0304")
    return Channels(layout, masks, values)


def channel_name(layers: Sequence[Layer], channel: int) -> str:
    """`layer4.1.conv1:12`: the layer's short name and the channel's number in it."""
    for layer, name in zip(layers, short_names(layers), strict=True):
        if layer.offset <= channel < layer.offset + layer.channels:
            return f"{name}:{channel - layer.offset}"
    raise IndexError(channel)


def find_channel(layers: Sequence[Layer], name: str) -> int | None:
    """The channel of that name; None if there is none."""
    short, _, number = name.rpartition(":")
    known = number.isascii() and number.isdecimal() and len(number) <= 6
    for layer, title in zip(layers, short_names(layers), strict=True):
        if title == short and known and int(number) < layer.channels:
            return layer.offset + int(number)
    return None
