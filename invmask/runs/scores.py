"""The channel scores of a run, from its masks and the clean budget that it was given."""

from torch import Tensor

from invmask.attacks.victims import Victim
from invmask.data.budget import clean_budget
from invmask.evidence.scores import channel_scores
from invmask.masks.state import MaskLayout, Masks
from invmask.runs.run import Run


def run_scores(run: Run, round_taken: int, victim: Victim) -> Tensor:
    """`channel_scores` after a round, float32 [channels] in [0, 1), on the CPU; computed where the victim's model is.

    Raises:
        UserError: no such round.
    """
    spec = run.spec()
    device = next(victim.model.parameters()).device
    images = clean_budget(victim.card.dataset, spec.spc, spec.seed).tensor().to(device)
    masks = run.masks_at(round_taken)
    masks = Masks(masks.mask.to(device), masks.selection.to(device), masks.steepness)
    # Where the run was computed on an accelerator, its arithmetic is not at hand here.
    precision = spec.precision if spec.device == "cpu" else "float32"
    return channel_scores(victim.model, MaskLayout.of(victim.model), masks, images, precision).cpu()
