"""The settings of IMS and the presets."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from invmask.defenses.entry import preset_of
from invmask.defenses.ims.settings import IMSSettings
from invmask.errors import UserError


class Phase(StrEnum):
    """The three phases, in order."""

    INITIALISE = "initialise"
    MINIMISE = "minimise"
    SPARSIFY = "sparsify"


@dataclass(frozen=True, kw_only=True)
class IMSConfig(IMSSettings):
    """Every number that IMS takes. The defaults are the published settings (preset `paper`).

    Attributes:
        sparsity_weight: lambda, the weight of mean(1 - s) in the phases that have it.
        steepness: k of q(a) = sigmoid(k (a - 0.5)).
        rounds_initialise, rounds_minimise, rounds_sparsify: at most so many rounds a phase.
        inner_steps: AdamW steps on the perturbation a round.
        inner_learning_rate: of those steps, in the units of pixels in [0, 1].
        outer_learning_rate: of the one AdamW step a round on mask and selection.
        norm_bound: largest absolute change of a pixel.
        batch_size: clean images a round; the whole budget where it fits.
        patience: a phase ends in the first round that makes more than so many in a row without progress.
        progress_ratio: progress is an outer loss below this share of the best before.
        seed: fixes the batches.

    What follows is ours; its defaults leave the published method as it is.

    Attributes:
        pressure: weight of mean(m) in every phase. It presses the pruned view to keep no channel that the answers
            to clean images do not need, and a backdoor's channels are such.
        start_mask: where every mask value starts; at 0.5 a channel belongs to neither side yet.
        amplification: kappa. Above 0, the inner problem leads the reference to the answers that it gives to the
            clean images while the channels cut so far are turned up, with gates 1 + kappa (1 - m), or to a label held
            to (`hold_lead`), and asks the pruned view to keep its answers: what the cut channels stand for is the
            backdoor, not any weakness.
        shared_cycles: above 0, one perturbation is made for all images of a round, of waves of at most so many cycles
            across the picture: what an attacker adds to every image is such, what fools one image by chance is not.
        inner_parts: with a shared perturbation, the images are dealt into so many parts, and each inner step looks at
            the next one: one perturbation for all needs no more images to be made.
        flips_kept: above 0, the perturbations found are made as weak, all of a round alike, as still change as many
            answers as this share of those that they change at full strength (`perturbation.weakened`).
        crop_padding: pixels of zero padding around a clean image before a random crop and flip in each round;
            0 leaves the images as they are.
        weight_pruned_clean, weight_pruned_perturbed, weight_inverse_clean, weight_inverse_perturbed: of the outer terms
            agree(pruned(x), ref(x)), agree(pruned(x+d), ref(x)), disagree(inverse(x), ref(x)), from the second phase
            on (1 in the first), and disagree(inverse(x+d), ref(x)).
        keep_clean: above 0, the effort is measured: as long as the pruned view keeps more than this share of its
            clean answers (`stepper.kept`), each round's effort is `effort_growth` times the last one's, and else as
            much less, from 1 to `most_effort` and from 1 again in each phase. In the first it multiplies the pressure,
            later the weight of agree(pruned(x+d), ref(x)). How hard a network has to be pressed differs; what
            it may cost does not.
        label_rounds: above 0 and below `rounds_initialise`, and with amplification, the labels race through so many
            rounds of the first phase (`race`), each with a mask of its own and the further term
            agree(turned up(x), label): the answers while the channels cut so far are turned up, with gates
            1 + kappa (1 - m). The phase goes on with the mask and the term of the label ahead if it leads by enough;
            else from its start, without, for the rounds that are left.
        label_lead: enough is a mean outer loss that is this much below the next one's, in nats.
        weight_turned_up: of that term.
        hold_lead: above 0, a label to go on with whose lead is at least this, in nats, is held to if the budget has
            `hold_images`: to the last round the perturbations are made to lead to it, and from the end of the race on
            its term has the gates 1 + held_amplification (1 - m). Turned up by less, more of the backdoor's channels
            have to be cut.
        hold_images: with fewer clean images than this, no label is held to: among few, wrong ones lead far.
        held_amplification: see `hold_lead`.
        weight_held: of the term of a label held to after the first phase.
        slope_at_one: of the sparsity term at s = 1, times -lambda / channels. 0 is the subgradient of an L1 norm there,
            as published; at 1 the term holds channels that are not selected.
        one_label: with a measured effort and amplification, and no label to go on with, the first phase also ends
            when the channels cut so far, turned up, lead this share of the clean images to one label: then they hold
            what was looked for.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if not any(self.rounds(phase) for phase in Phase):
            raise UserError("At least one phase needs a round.")

    def rounds(self, stage: str) -> int:
        """The most rounds that a phase may take."""
        return {
            Phase.INITIALISE: self.rounds_initialise,
            Phase.MINIMISE: self.rounds_minimise,
            Phase.SPARSIFY: self.rounds_sparsify,
        }[Phase(stage)]


_DEFAULT = IMSConfig(
    sparsity_weight=0.2,
    slope_at_one=1.0,
    rounds_initialise=32,
    rounds_minimise=10,
    rounds_sparsify=16,
    inner_steps=8,
    inner_learning_rate=0.03,
    outer_learning_rate=0.03,
    pressure=1.0,
    start_mask=0.5,
    amplification=2.0,
    shared_cycles=6.0,
    inner_parts=2,
    flips_kept=0.9,
    crop_padding=4,
    weight_pruned_clean=4.0,
    weight_pruned_perturbed=0.4,
    weight_inverse_clean=0.3,
    weight_inverse_perturbed=0.5,
    label_rounds=5,
    hold_lead=0.6,
    hold_images=40,
)

PRESETS: dict[str, IMSConfig] = {
    "default": _DEFAULT,
    "adaptive": replace(
        _DEFAULT,
        keep_clean=0.95,
        effort_growth=1.15,
        rounds_sparsify=12,
        shared_cycles=12.0,
    ),
    "paper": IMSConfig(),
}

# Every channel of an encoder block's output carries clean answers, so that what pressure cuts costs them and leaves the
# backdoor, which has to be shown instead: by sharper perturbations that are sought longer and count more.
_SHARPER = {
    "shared_cycles": 16.0,
    "inner_steps": 12,
    "weight_pruned_perturbed": 0.65,
    "pressure": 0.1,
    "rounds_minimise": 16,
    "rounds_sparsify": 10,
    "flips_kept": 0.0,
    "held_amplification": 2.0,
    "weight_held": 0.0,
}
ON_TRANSFORMERS: dict[str, dict[str, Any]] = {
    "paper": {"sparsity_weight": 0.0},
    "default": _SHARPER,
    "adaptive": _SHARPER,
}
"""What the presets change where encoder blocks are masked; for `paper` it is the published change."""


def preset(name: str, transformer: bool = False, **changes: Any) -> IMSConfig:
    """See `defenses.entry.Entry.preset`."""
    return preset_of(PRESETS, ON_TRANSFORMERS, name, transformer, changes)
