"""From soft masks to a hard cut: which channels to cut, how hard, and which cut to propose from clean images alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import torch
from torch import Tensor

from invmask.evidence.scores import ranking
from invmask.masks.state import HARD, Masks, View
from invmask.measure.metrics import Measures

THRESHOLDS = (0.001, 0.01, *(round(0.05 * i, 2) for i in range(1, 20)), 0.99, 0.999)
"""Thresholds of the effective mask m; closer together at the ends, where most values lie."""
TOP_STEPS = 24
ORDER_VERSION = 3
"""Increased with every change of `cut_order` or `cuts`, so that curves based on them are measured again."""
LEAST_AGREEMENT = 0.97
"""A proposed cut keeps at least this share of the answers to the clean budget, see `propose`."""
PLATEAU = 0.05
"""Cuts whose share of restored answers is within this distance of the best are on the plateau."""
LEAST_RISE = 0.1
"""If no cut restores at least this much more than cutting nothing, the synthesized trigger cannot rank the cuts."""


class Order(StrEnum):
    """Which channels go first."""

    MASK = "mask"
    """Channels whose effective mask m is below a threshold, the lowest first."""
    SCORE = "score"
    """Channels with the highest channel score first; among equal scores, the lowest m first."""


@dataclass(frozen=True)
class Cut:
    """A hard cut.

    Attributes:
        channels: number of channels that are cut, the first of the order.
        threshold: for `Order.MASK`, the threshold of m below which channels are cut.
    """

    channels: int
    threshold: float | None = None


@dataclass(frozen=True)
class CutPoint:
    """The measured effect of a hard cut.

    Attributes:
        pruned, inverse: the two views on the run's probe of the test images.
        agreement: share of the clean budget for which the pruned view's answer (arg max) equals the original's.
        restored: share of images for which the pruned view, with the round's synthesized trigger on the image, gives
            the original's answer to the clean image; None if the round made no trigger.
    """

    cut: Cut
    pruned: Measures
    inverse: Measures
    agreement: float
    restored: float | None = None


def cut_order(masks: Masks, order: Order, scores: Tensor) -> list[int]:
    """All channels in the order in which they are cut; equal channels in the network's order.

    Many channels have the score 0. Channels with equal scores are ordered by the effective mask m, the lowest first.

    Args:
        scores: channel scores (`evidence.scores`), float32 [channels] in [0, 1).
    """
    by_mask = ranking(-masks.gate(View.PRUNED))
    return (by_mask if order is Order.MASK else by_mask[ranking(scores[by_mask])]).tolist()


def cuts(masks: Masks, order: Order) -> list[Cut]:
    """The cuts to be measured, about 25, from no channel upwards.

    By threshold, there is one cut for each different set of channels that `THRESHOLDS` cut. By score, the largest cut
    has as many channels as the last threshold cuts; the steps grow with the number of channels, because the first few
    matter most.
    """
    gate = masks.gate(View.PRUNED)
    counts = [int((gate < threshold).sum()) for threshold in THRESHOLDS]
    if order is Order.MASK:
        # If several thresholds cut the same channels, the lowest one is kept.
        first = dict(zip(reversed(counts), reversed(THRESHOLDS), strict=True))
        return [Cut(0, 0.0), *(Cut(count, first[count]) for count in sorted(first) if count)]
    most = max(counts[-1], 1)
    steps = np.ceil(most * np.linspace(0, 1, TOP_STEPS) ** 3).astype(int)
    return [Cut(int(count)) for count in np.unique(steps)]


def hard_masks(masks: Masks, chosen: Sequence[int]) -> Masks:
    """Masks that cut these channels and no other.

    These channels get a = 0 and s = 0. Other selected channels (s < 0.5) get a = 1 and s = 0: they are kept in the
    pruned view and cut in the inverse view. All other channels get s = 1 and are kept in both views.

    Returns:
        Masks with values 0 and 1 only and a steepness of at least 20: their gates are within 0.0001 of 0 or 1.
    """
    mask, selection = torch.ones_like(masks.mask), (masks.selection >= 0.5).to(masks.selection.dtype)
    cut = torch.tensor(list(chosen), dtype=torch.long, device=mask.device)
    mask[cut], selection[cut] = 0.0, 0.0
    return Masks(mask, selection, max(masks.steepness, HARD))


class Grounds(StrEnum):
    """The criterion by which a cut is proposed."""

    PLATEAU = "plateau"
    """The fewest channels that restore the answers under the synthesized trigger about as well as the best cut."""
    CLEAN = "clean"
    """The hardest cut that keeps the answers to clean images; used if the synthesized trigger cannot rank the cuts."""


@dataclass(frozen=True)
class Proposal:
    """The proposed cut and its criterion."""

    point: CutPoint
    grounds: Grounds


def propose(points: Sequence[CutPoint], least: float = LEAST_AGREEMENT) -> Proposal | None:
    """The proposed cut, chosen on the clean budget only; None if no cut has been measured or none is good.

    Candidates are the measured cuts that keep the original's answer for at least the share `least` of the clean budget.
    Their `CutPoint.restored` is compared. Cuts within `PLATEAU` of the best form the plateau, and the rule takes the
    one with the fewest channels. A trigger that all images share is put on the whole budget; otherwise only the few
    example images stored with the run are used. The rule does not use labels, the attacker's trigger or test images.

    If the round made no perturbation, or no candidate restores `LEAST_RISE` more than cutting nothing does, the
    candidates cannot be compared. Then the rule takes the hardest candidate, because clean images need a backdoor's
    channels least. With fewer than 34 images and the default `least`, all answers have to be kept.
    """
    kept = [point for point in points if point.agreement >= least and point.cut.channels]
    if not kept:
        return None
    nothing = next((point.restored for point in points if not point.cut.channels), None) or 0.0
    best = max(point.restored or 0.0 for point in kept)
    if best >= nothing + LEAST_RISE:
        plateau = [point for point in kept if (point.restored or 0.0) >= best - PLATEAU]
        return Proposal(min(plateau, key=lambda point: point.cut.channels), Grounds.PLATEAU)
    return Proposal(max(kept, key=lambda point: point.cut.channels), Grounds.CLEAN)
