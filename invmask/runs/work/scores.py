"""Facts about channels that follow from a run alone: scores, and activation changes by its synthesized triggers."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from invmask.data.budget import clean_budget
from invmask.evidence.activation import activation_change
from invmask.evidence.scores import channel_scores
from invmask.masks.state import MaskLayout, Masks
from invmask.runs.store.run import Run
from invmask.victims.victim import Victim


def run_scores(run: Run, round_taken: int, victim: Victim) -> Tensor:
    """`channel_scores` after a round, float32 [channels] in [0, 1) on the CPU; computed on the victim's device.

    Raises:
        UserError: no such round.
    """
    spec = run.spec()
    device = next(victim.model.parameters()).device
    images = clean_budget(victim.card.dataset, spec.spc, spec.seed).tensor().to(device)
    masks = run.masks_at(round_taken)
    masks = Masks(masks.mask.to(device), masks.selection.to(device), masks.steepness)
    # The arithmetic of an accelerator is not available here.
    precision = spec.probe_precision
    return channel_scores(victim.model, MaskLayout.of(victim.model), masks, images, precision).cpu()


@dataclass(frozen=True)
class Synthesized:
    """Activation change under a round's example perturbations, float32 [channels], and the number of images."""

    change: np.ndarray
    n: int


def synthesized_change(run: Run, round_taken: int, victim: Victim) -> Synthesized | None:
    """Activation change under the round's example perturbations; None if it made none."""
    stored, spec = run.examples_at(round_taken), run.spec()
    if stored is None:
        return None
    device = next(victim.model.parameters()).device
    clean = clean_budget(victim.card.dataset, spec.spc, spec.seed).take(stored.indices).tensor()
    changed = (clean + torch.from_numpy(stored.perturbations.astype(np.float32))).to(device)
    change = activation_change(victim.model, MaskLayout.of(victim.model), clean.to(device), changed)
    return Synthesized(change.numpy(), len(clean))
