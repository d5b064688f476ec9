"""What is known of each channel of a run at a round, by name; for the page Neurons and for the book alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from invmask.attacks.victims import Victim
from invmask.data.budget import clean_budget
from invmask.evidence.activation import activation_change
from invmask.evidence.scores import IMAGES, highest, ranking
from invmask.figures.channels import Layer, short_names
from invmask.figures.network_map import ChannelValues
from invmask.masks.state import MaskLayout, Masks, View
from invmask.runs.evidence import TOP, VictimEvidence
from invmask.runs.run import Run

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

OF_THE_MASKS = ("selection", "pruned", "inverse")
"""Numbers that are the masks themselves, and no evidence."""


@dataclass(frozen=True)
class Synthesized:
    """Activation change under a round's example perturbations, float32 [channels], and over how many images."""

    change: np.ndarray
    n: int


@dataclass(frozen=True)
class Channels:
    """Every channel of a run at one round.

    Attributes:
        layout: the masked layers.
        masks: after the round.
        values: what is known of each channel, by name; the score first. NaN where it is not known (yet).
    """

    layout: MaskLayout
    masks: Masks
    values: dict[str, ChannelValues]

    @property
    def scores(self) -> np.ndarray:
        """float [channels] in [0, 1]."""
        return self.values["score"].values

    @property
    def order(self) -> list[int]:
        """All channels, the highest-scored first."""
        return ranking(torch.from_numpy(self.scores)).tolist()

    @property
    def top(self) -> list[int]:
        """The `TOP` highest-scored channels, in order; those that score nothing are not among them."""
        return highest(torch.from_numpy(self.scores), TOP)


def known_channels(
    layout: MaskLayout,
    masks: Masks,
    scores: np.ndarray,
    budget: int,
    synthesized: Synthesized | None,
    found: VictimEvidence | None,
    triggered: bool,
) -> Channels:
    """Put together what is known.

    Args:
        scores: float32 [channels], see `run_scores`.
        budget: clean images that the run has.
        found: evidence about the victim, as far as it is.
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


def synthesized_change(run: Run, round_taken: int, victim: Victim) -> Synthesized | None:
    """Activation change under the round's example perturbations; None if it made none."""
    stored, spec = run.examples_at(round_taken), run.spec()
    if stored is None:
        return None
    clean = clean_budget(victim.card.dataset, spec.spc, spec.seed).take(stored.indices).tensor()
    changed = clean + torch.from_numpy(stored.perturbations.astype(np.float32))
    change = activation_change(victim.model, MaskLayout.of(victim.model), clean, changed)
    return Synthesized(change.numpy(), len(clean))


def comparable(values: Mapping[str, ChannelValues]) -> dict[str, np.ndarray]:
    """The score and every piece of evidence that is known, by its name in `SHORT`: the higher, the more suspect.

    Cutting a channel that matters lowers ASR and ACC: their changes are taken with the sign turned.
    """
    named = {}
    for name, column in values.items():
        if name not in OF_THE_MASKS and np.isfinite(column.values).any():
            turned = name in ("asr", "acc")
            named[f"−{SHORT[name]}" if turned else SHORT[name]] = -column.values if turned else column.values
    return named


def channel_name(layers: Sequence[Layer], channel: int) -> str:
    """`layer4.1.conv1:12`: the layer's short name and the channel's number in it."""
    for layer, name in zip(layers, short_names(layers), strict=True):
        if layer.offset <= channel < layer.offset + layer.channels:
            return f"{name}:{channel - layer.offset}"
    raise IndexError(channel)


def find_channel(layers: Sequence[Layer], name: str) -> int | None:
    """The channel of that name; None where there is none."""
    short, _, number = name.rpartition(":")
    known = number.isascii() and number.isdecimal() and len(number) <= 6
    for layer, title in zip(layers, short_names(layers), strict=True):
        if title == short and known and int(number) < layer.channels:
            return layer.offset + int(number)
    return None
