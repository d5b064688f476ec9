"""From soft masks to a hard cut: which channels to cut, how hard, and which cut to propose from clean images alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import torch
from torch import Tensor

from invmask.evidence.scores import ranking
from invmask.masks.state import HARD, Masks, View
from invmask.metrics import Measures

THRESHOLDS = (0.001, 0.01, *(round(0.05 * i, 2) for i in range(1, 20)), 0.99, 0.999)
"""Of the effective mask; closer together at the ends, where most masks lie."""
TOP_STEPS = 24
ORDER_VERSION = 2
"""Raised with every change of `cut_order`, so that curves that rest on it are measured anew."""
LEAST_AGREEMENT = 0.98
"""See `propose` and `is_dear`."""


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
    in steps that grow with the number cut.
    """
    gate = masks.gate(View.PRUNED)
    counts = [int((gate < threshold).sum()) for threshold in THRESHOLDS]
    if order is Order.MASK:
        # Where two thresholds cut the same channels, the lower one stands for both.
        first = dict(zip(reversed(counts), reversed(THRESHOLDS), strict=True))
        return [Cut(0, 0.0), *(Cut(count, first[count]) for count in sorted(first) if count)]
    most = max(counts[-1], 1)
    steps = np.ceil(most * np.linspace(0, 1, TOP_STEPS) ** 2).astype(int)
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


def propose(points: Sequence[CutPoint], least: float = LEAST_AGREEMENT) -> CutPoint | None:
    """The cut to begin with, chosen on the clean budget alone; None if none has been measured, or none is good.

    The rule: of the cuts measured, the one with the greatest sum of two shares: of the budget's images that the pruned
    view answers as the original view does, and of images with the round's synthesized trigger on that it answers as
    the original does without. The latter are the whole budget where one trigger is for all, and else the few examples
    that are kept with the run. Of equals, the cut of the fewest channels. Labels, the attacker's trigger and test
    images do not enter it. The first share may be small where the second is large: see `is_dear`.

    Where the round made no perturbation nothing tells what a cut is good for: then it is the hardest cut under which
    that answer stays for at least `least` of the budget; with fewer than 50 images, that is for all of them.
    """
    restored = [point for point in points if point.restored is not None]
    if restored:
        return max(restored, key=lambda point: (point.agreement + (point.restored or 0.0), -point.cut.channels))
    good = [point for point in points if point.agreement >= least]
    return max(good, key=lambda point: point.cut.channels, default=None)


def is_dear(point: CutPoint, least: float = LEAST_AGREEMENT) -> bool:
    """Whether a cut changes more of the answers to clean images than `propose` allows where no trigger was made."""
    return point.agreement < least
