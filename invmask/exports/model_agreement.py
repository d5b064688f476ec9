"""Comparison of an exported model with the repaired model, image by image."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from invmask.data.embedded import load_embedded
from invmask.data.images import LabelledImages
from invmask.exports.source import MaskSource
from invmask.masks.attach import attached, sharing_copy
from invmask.masks.state import View

TOLERANCE = 1e-3
"""The largest difference between logits that counts as agreement."""
BATCH_SIZE = 250


@dataclass(frozen=True)
class Agreement:
    """For `same` of `images` test images the arg max is equal; `largest` is the largest difference between logits."""

    images: int
    same: int
    largest: float

    @property
    def holds(self) -> bool:
        """Whether all answers are equal and no logit differs by more than `TOLERANCE`."""
        return self.same == self.images and self.largest <= TOLERANCE

    def sentence(self) -> str:
        """The result as a sentence."""
        verdict = "It agrees" if self.holds else "It does NOT agree"
        return (
            f"{verdict} with the model on screen: same answer on {self.same:,} of {self.images:,} test images, "
            f"largest difference of a logit {self.largest:.1e} (allowed {TOLERANCE:.0e})."
        )


@torch.no_grad()
def compare(
    source: MaskSource, view: View, exported: Callable[[Tensor], Tensor], images: LabelledImages | None = None
) -> Agreement:
    """Compare `exported` with the victim with the view's gates attached.

    Args:
        exported: maps images, float32 [N, C, H, W] in [0, 1], to logits [N, K].
        images: None for all embedded test images of the victim's data set.
    """
    images = images or load_embedded(source.victim.card.dataset, "test").images
    model, gates = source.parts(view)
    model = sharing_copy(model)
    same, largest = 0, 0.0
    for batch in images.tensor().split(BATCH_SIZE):
        with attached(model, source.layout, gates):
            wanted = model(batch)
        given = exported(batch)
        same += int((wanted.argmax(1) == given.argmax(1)).sum())
        # Python's max() could ignore a NaN, which has to show.
        largest = float(torch.tensor([largest, float((wanted - given).abs().max())]).max())
    return Agreement(len(images), same, largest)
