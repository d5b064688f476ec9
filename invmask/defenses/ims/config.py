"""The settings of IMS and the presets."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from invmask.defenses.entry import preset_of
from invmask.defenses.ims.settings import IMSSettings
from invmask.errors import UserError


class Phase(StrEnum):
    """The three phases, in order, and before them the search, which is ours."""

    SEARCH = "search"
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
        start_mask: where every mask value starts; at 0.5 a channel belongs to neither side yet.
        crop_padding: pixels of zero padding around a clean image before a random crop and flip in each round;
            0 leaves the images as they are.
        mixing: the share of them that is then mixed with another one (`augmentation.mixed`).
        weight_pruned_clean, weight_pruned_perturbed, weight_inverse_clean, weight_inverse_perturbed: of the outer terms
            agree(pruned(x), ref(x)), agree(pruned(x+d), ref(x)), disagree(inverse(x), ref(x)), from the second phase
            on (1 in the first), and disagree(inverse(x+d), ref(x)).
        slope_at_one: of the sparsity term at s = 1, times -lambda / channels. 0 is the subgradient of an L1 norm there,
            as published; at 1 the term holds channels that are not selected.
        weight_inverse_follows: of agree(inverse(x+d), ref(x+d)).
        rounds_search: above 0, a search (`search`) comes first, and x + d are the images with the triggers that it
            synthesized; the inner problem then mends these against the pruned view, and `losses.divergence` stands for
            agree.
        search_steps, search_images: steps of a round of the search, and clean images of a step.
        clear_lead: see `search.standing_out`.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if not any(self.rounds(phase) for phase in Phase if phase is not Phase.SEARCH):
            raise UserError("At least one phase that learns the mask needs a round.")

    def rounds(self, stage: str) -> int:
        """The most rounds that a phase may take."""
        return {
            Phase.SEARCH: self.rounds_search,
            Phase.INITIALISE: self.rounds_initialise,
            Phase.MINIMISE: self.rounds_minimise,
            Phase.SPARSIFY: self.rounds_sparsify,
        }[Phase(stage)]


PRESETS: dict[str, IMSConfig] = {
    "default": IMSConfig(
        sparsity_weight=0.1,
        slope_at_one=1.0,
        rounds_search=48,
        rounds_initialise=0,
        rounds_minimise=12,
        rounds_sparsify=16,
        inner_steps=6,
        outer_learning_rate=0.05,
        start_mask=0.5,
        crop_padding=4,
        mixing=0.7,
        weight_pruned_clean=18.0,
        weight_inverse_clean=3.0,
        weight_inverse_perturbed=0.5,
        weight_inverse_follows=0.5,
    ),
    "paper": IMSConfig(),
}
ON_TRANSFORMERS: dict[str, dict[str, Any]] = {"paper": {"sparsity_weight": 0.0}}
"""What the presets change where encoder blocks are masked; for `paper` it is the published change."""


def preset(name: str, transformer: bool = False, **changes: Any) -> IMSConfig:
    """See `defenses.entry.Entry.preset`."""
    return preset_of(PRESETS, ON_TRANSFORMERS, name, transformer, changes)
