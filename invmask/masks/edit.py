"""Cut or restore channels by hand: new masks in which only these channels differ."""

from collections.abc import Iterable

import torch

from invmask.masks.state import HARD, Masks


def nothing_cut(like: Masks) -> Masks:
    """Masks with the size and steepness of `like` that change no channel: every view is the original network."""
    return Masks(torch.ones_like(like.mask), torch.ones_like(like.mask), like.steepness)


def cut(masks: Masks, channels: Iterable[int]) -> Masks:
    """The masks with these channels selected and cut in the pruned view (a = 0, s = 0).

    With a steepness below `state.HARD` a part of these channels would pass. Then all masks are rewritten for the
    steepness `state.HARD`, which changes no other gate.
    """
    return _with(masks, channels, mask=0.0, selection=0.0)


def restored(masks: Masks, channels: Iterable[int]) -> Masks:
    """The masks with these channels left alone in every view (s = 1)."""
    return _with(masks, channels, mask=1.0, selection=1.0)


def _with(masks: Masks, channels: Iterable[int], mask: float, selection: float) -> Masks:
    places, steepness = list(channels), max(masks.steepness, HARD)
    new_mask, new_selection = masks.mask.clone(), masks.selection.clone()
    if steepness > masks.steepness:
        # Keeps k (a - 1/2) constant.
        new_mask = 0.5 + (new_mask - 0.5) * (masks.steepness / steepness)
    new_mask[places], new_selection[places] = mask, selection
    return Masks(new_mask, new_selection, steepness)
