"""Synthesized triggers made visible: the clean image, the perturbation amplified, and their sum."""

from dataclasses import dataclass

import numpy as np

FACTORS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


@dataclass(frozen=True)
class TriggerTiles:
    """Three pictures of each example, uint8 [E, H, W, C], and how the perturbation was made visible.

    Attributes:
        clean: the clean images.
        perturbation: mid grey without a change, brighter or darker by `factor` times the change.
        perturbed: the sum of image and perturbation, clipped to [0, 255].
        factor: the amplification, the same for all examples, so that they can be compared.
        largest: the largest absolute change of a pixel, [E], in the units of [0, 1].
    """

    clean: np.ndarray
    perturbation: np.ndarray
    perturbed: np.ndarray
    factor: int
    largest: np.ndarray


def trigger_tiles(images: np.ndarray, perturbations: np.ndarray) -> TriggerTiles:
    """The pictures of examples.

    Args:
        images: the clean images, float [E, C, H, W] in [0, 1].
        perturbations: float [E, C, H, W] in the units of [0, 1]; may be negative.
    """
    changes = perturbations.astype(np.float32)
    factor = amplification(float(np.abs(changes).max()) if changes.size else 0.0)
    return TriggerTiles(
        clean=_pixels(images),
        perturbation=_pixels(0.5 + factor * changes),
        perturbed=_pixels(images + changes),
        factor=factor,
        largest=np.abs(changes).reshape(len(changes), -1).max(1) if changes.size else np.zeros(len(changes)),
    )


def amplification(largest: float) -> int:
    """The largest round factor for which a change of `largest` stays within the range around mid grey."""
    return max((factor for factor in FACTORS if factor * largest <= 0.5), default=1)


def _pixels(images: np.ndarray) -> np.ndarray:
    return (np.clip(images, 0, 1) * 255).round().astype(np.uint8).transpose(0, 2, 3, 1)
