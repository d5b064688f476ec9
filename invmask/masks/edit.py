"""Channels cut or restored by hand: other masks, in which these channels are decided and all others as they were."""

from collections.abc import Iterable

import torch

from invmask.masks.state import HARD, Masks


def nothing_cut(like: Masks) -> Masks:
    """Masks as large and as steep as others that leave every channel alone: the original network in every view."""
    return Masks(torch.ones_like(like.mask), torch.ones_like(like.mask), like.steepness)


def cut(masks: Masks, channels: Iterable[int]) -> Masks:
    """The masks with these channels selected and cut in the pruned view (a = 0, s = 0).

    At a steepness under `state.HARD` that would leave part of them: then all masks are told at that one instead, which
    changes no other gate.
    """
    return _with(masks, channels, mask=0.0, selection=0.0)


def restored(masks: Masks, channels: Iterable[int]) -> Masks:
    """The masks with these channels left alone in every view (s = 1)."""
    return _with(masks, channels, mask=1.0, selection=1.0)


def _with(masks: Masks, channels: Iterable[int], mask: float, selection: float) -> Masks:
    places, steepness = list(channels), max(masks.steepness, HARD)
    new_mask, new_selection = masks.mask.clone(), masks.selection.clone()
    if steepness > masks.steepness:
        # So that k (a - 1/2) stays what it was.
        new_mask = 0.5 + (new_mask - 0.5) * (masks.steepness / steepness)
    new_mask[places], new_selection[places] = mask, selection
    return Masks(new_mask, new_selection, steepness)
