"""Poisoning a training set: which images get the trigger, and which label they get."""

from dataclasses import dataclass

import numpy as np
import torch

from invmask.attacks.base import Attack, Labels
from invmask.data.images import LabelledImages
from invmask.measure.target_labels import Targets

ALL_TO_ONE: Labels = "all-to-one"
ALL_TO_ALL: Labels = "all-to-all"
CLEAN_LABEL: Labels = "clean-label"
LABELLINGS: dict[Labels, str] = {
    ALL_TO_ONE: "Poisoned images of all other classes get the target label.",
    ALL_TO_ALL: "Each poisoned image gets the label after its own, the last class the first.",
    CLEAN_LABEL: "Only images of the target class are poisoned, and every label stays as it was.",
}


@dataclass(frozen=True)
class PoisonedSet:
    """A training set after poisoning. `poisoned` is bool [N]: which images carry the trigger."""

    images: LabelledImages
    poisoned: np.ndarray

    @classmethod
    def untouched(cls, images: LabelledImages) -> "PoisonedSet":
        """A training set without poisoned images."""
        return cls(images, np.zeros(len(images), dtype=bool))


def poison(
    clean: LabelledImages, attack: Attack, ratio: float, targets: Targets, seed: int, labels: Labels = ALL_TO_ONE
) -> PoisonedSet:
    """Put the trigger on a share of the images and relabel them as `labels` says.

    Args:
        clean: the training set; left unchanged.
        ratio: share of the *whole* set to poison, in [0, 1]. The images are drawn without replacement from those that
            `labels` allows.
        targets: the label that the backdoor shall cause for each class.
        seed: decides which images are drawn.
        labels: which images may be drawn, and how they are labelled (see `LABELLINGS`).

    Raises:
        ValueError: the ratio needs more images than may be drawn.
    """
    wanted = targets.of(torch.from_numpy(clean.labels)).numpy()
    candidates = np.flatnonzero((wanted == clean.labels) if labels == CLEAN_LABEL else (wanted != clean.labels))
    count = round(ratio * len(clean))
    if not 0 <= count <= len(candidates):
        raise ValueError(f"cannot poison {count} of {len(candidates)} images")
    chosen = np.sort(np.random.default_rng(seed).choice(candidates, count, replace=False))
    pixels, given = clean.pixels.copy(), clean.labels.copy()
    if count:
        triggered = attack.apply(clean.take(chosen).tensor())
        pixels[chosen] = (triggered * 255).round().byte().numpy().transpose(0, 2, 3, 1)
        given[chosen] = wanted[chosen]
    poisoned = np.zeros(len(clean), dtype=bool)
    poisoned[chosen] = True
    return PoisonedSet(LabelledImages(pixels, given), poisoned)
