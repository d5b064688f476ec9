"""Poisoning a training set: who gets the trigger, and the target label with it."""

from dataclasses import dataclass

import numpy as np

from invmask.attacks.base import Attack
from invmask.data.images import LabelledImages


@dataclass(frozen=True)
class PoisonedSet:
    """A training set after the attacker had it. `poisoned` is bool [N]: which images carry the trigger."""

    images: LabelledImages
    poisoned: np.ndarray


def poison(clean: LabelledImages, attack: Attack, ratio: float, target_label: int, seed: int) -> PoisonedSet:
    """Put the trigger and the target label on a share of the images (all-to-one, dirty label).

    Args:
        clean: the training set; left unchanged.
        ratio: the share of the *whole* set to poison, in [0, 1]; drawn without replacement among the
            images of the other classes.
        target_label: the label that the backdoor shall answer.
        seed: fixes which images are drawn.

    Raises:
        ValueError: a ratio that needs more images than the other classes have.
    """
    candidates = np.flatnonzero(clean.labels != target_label)
    count = round(ratio * len(clean))
    if not 0 <= count <= len(candidates):
        raise ValueError(f"cannot poison {count} of {len(candidates)} images")
    chosen = np.sort(np.random.default_rng(seed).choice(candidates, count, replace=False))
    pixels, labels = clean.pixels.copy(), clean.labels.copy()
    if count:
        triggered = attack.apply(clean.take(chosen).tensor())
        pixels[chosen] = (triggered * 255).round().byte().numpy().transpose(0, 2, 3, 1)
        labels[chosen] = target_label
    poisoned = np.zeros(len(clean), dtype=bool)
    poisoned[chosen] = True
    return PoisonedSet(LabelledImages(pixels, labels), poisoned)
