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
"""Of the effective mask; closer together at the ends, where most masks lie."""
TOP_STEPS = 24
ORDER_VERSION = 3
"""Raised with every change of `cut_order` or `cuts`, so that curves that rest on these are measured anew."""
LEAST_AGREEMENT = 0.97
"""A proposed cut keeps at least this share of the answers to the clean budget, see `propose`."""
PLATEAU = 0.05
"""Cuts whose share of restored answers is so near the best are on the plateau."""
LEAST_RISE = 0.1
"""Where no cut restores so much more than no cut at all, the synthesized trigger tells nothing of the cuts."""


class Order(StrEnum):
    """Which channels go first."""

    MASK = "mask"
    """Those whose effective mask m is below a threshold."""
    SCORE = "score"
    """Those with the highest channel score; of equal scores, those with the lowest m."""


@dataclass(frozen=True)
class Cut:
    """A hard cut.

    Attributes:
        channels: how many are cut, the first of the order.
        threshold: for `Order.MASK`, the effective mask below which they are.
    """

    channels: int
    threshold: float | None = None


@dataclass(frozen=True)
class CutPoint:
    """What a hard cut does.

    Attributes:
        pruned, inverse: the two views on the run's probe of the test images.
        agreement: share of the clean budget that the pruned view answers (arg max) as the original does.
        restored: the same with the round's synthesized trigger on, the original's answer being that without it; None
            where the round made none.
    """

    cut: Cut
    pruned: Measures
    inverse: Measures
    agreement: float
    restored: float | None = None


def cut_order(masks: Masks, order: Order, scores: Tensor) -> list[int]:
    """All channels, the first to be cut first; equal ones in the network's order.

    Channels of the same score, as many have none, go by effective mask: what the mask cuts least comes last.

    Args:
        scores: of the channels (`evidence.scores`), float32 [channels].
    """
    by_mask = ranking(-masks.gate(View.PRUNED))
    return (by_mask if order is Order.MASK else by_mask[ranking(scores[by_mask])]).tolist()


def cuts(masks: Masks, order: Order) -> list[Cut]:
    """The cuts to be measured, about 25, from none upwards; denser where the masks change.

    By threshold: one for each different set of channels that `THRESHOLDS` cut. By score: as far as the last of these,
    in steps that grow fast with the number cut, for the first few channels carry most.
    """
    gate = masks.gate(View.PRUNED)
    counts = [int((gate < threshold).sum()) for threshold in THRESHOLDS]
    if order is Order.MASK:
        # Where two thresholds cut the same channels, the lower one stands for both.
        first = dict(zip(reversed(counts), reversed(THRESHOLDS), strict=True))
        return [Cut(0, 0.0), *(Cut(count, first[count]) for count in sorted(first) if count)]
    most = max(counts[-1], 1)
    steps = np.ceil(most * np.linspace(0, 1, TOP_STEPS) ** 3).astype(int)
    return [Cut(int(count)) for count in np.unique(steps)]


def hard_masks(masks: Masks, chosen: Sequence[int]) -> Masks:
    """Masks that cut these channels and no other.

    These get a = 0 and s = 0. Other channels that were selected (s < 0.5) get a = 1 and s = 0: whole in the pruned
    view, cut in the inverse. All others get s = 1, and both views leave them alone.

    Returns:
        masks with values 0 and 1 only, of a steepness of at least 20: their gates are within 0.0001 of 0 or 1.
    """
    mask, selection = torch.ones_like(masks.mask), (masks.selection >= 0.5).to(masks.selection.dtype)
    cut = torch.tensor(list(chosen), dtype=torch.long, device=mask.device)
    mask[cut], selection[cut] = 0.0, 0.0
    return Masks(mask, selection, max(masks.steepness, HARD))


class Grounds(StrEnum):
    """What a cut is proposed by."""

    PLATEAU = "plateau"
    """The fewest channels that restore the answers under the synthesized trigger as well as any."""
    CLEAN = "clean"
    """The hardest cut that keeps the answers to clean images, for the synthesized trigger tells nothing."""


@dataclass(frozen=True)
class Proposal:
    """The cut to begin with, and what it is proposed by."""

    point: CutPoint
    grounds: Grounds


def propose(points: Sequence[CutPoint], least: float = LEAST_AGREEMENT) -> Proposal | None:
    """The cut to begin with, chosen on the clean budget alone; None if none has been measured, or none is good.

    The rule: of the cuts measured that keep the original's answer for at least `least` of the clean budget, take the
    fewest channels on the plateau, where the pruned view answers images with the round's synthesized trigger on as the
    original answers them without: within `PLATEAU` of the best of these cuts. One trigger for all goes on the whole
    budget; of others, there are the few examples that are kept with the run. Labels, the attacker's trigger and test
    images do not enter it.

    Where the round made no perturbation, or none of these cuts restores `LEAST_RISE` more than no cut does, nothing
    tells what a cut is good for: then it is the hardest of them, for a backdoor is what clean images need least. With
    fewer than 34 images `least` is all of them.
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
