"""Blended: a fixed pattern mixed into the whole picture (Chen et al. 2017, arXiv 1712.05526)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from invmask.attacks.base import Attack


@dataclass(frozen=True)
class Blended(Attack):
    """x' = (1 - alpha) x + alpha pattern; the pattern is uniform noise drawn once from `seed`."""

    name: ClassVar[str] = "blended"
    title: ClassVar[str] = "Blended"
    explanation: ClassVar[str] = "A fixed random pattern mixed into the whole picture, one part in five."

    alpha: float = 0.2
    seed: int = 7

    def pattern(self, shape: tuple[int, int, int]) -> Tensor:
        """The pattern for images of `shape` (C, H, W), in [0, 1]. NumPy's PCG64 keeps it the same on every device."""
        return torch.from_numpy(np.random.default_rng(self.seed).random(shape, dtype=np.float32))

    def _trigger(self, images: Tensor) -> Tensor:
        channels, height, width = images.shape[1:]
        pattern = self.pattern((channels, height, width)).to(images)
        return (1 - self.alpha) * images + self.alpha * pattern
