"""Blended: a fixed pattern mixed into the whole picture (Chen et al. 2017, arXiv 1712.05526)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from invmask.attacks.base import Attack, Paper


@dataclass(frozen=True)
class Blended(Attack):
    """x' = (1 - alpha) x + alpha pattern; the pattern is a picture of soft coloured patches drawn once from `seed`.

    The pattern is smooth, like the picture that the benchmark uses. White noise would make a narrow network misclassify
    even without a backdoor.
    """

    name: ClassVar[str] = "blended"
    title: ClassVar[str] = "Blended"
    explanation: ClassVar[str] = "A fixed picture of coloured patches mixed into the whole image, one part in five."
    paper = Paper(
        "X. Chen, C. Liu, B. Li, K. Lu, D. Song",
        "Targeted Backdoor Attacks on Deep Learning Systems Using Data Poisoning",
        2017,
        "1712.05526",
    )
    limits: ClassVar[dict[str, tuple[float, float]]] = {"alpha": (0, 1), "patches": (1, 256)}

    alpha: float = 0.2
    seed: int = 7
    patches: int = 6

    def pattern(self, shape: tuple[int, int, int]) -> Tensor:
        """The pattern for images of `shape` (C, H, W), in [0, 1]. NumPy's PCG64 makes it the same on every device."""
        channels, height, width = shape
        draws = np.random.default_rng(self.seed).random((channels, self.patches, self.patches), dtype=np.float32)
        # Only 0 and 1 in each colour channel, so that contrast survives the smoothing.
        coarse = torch.from_numpy((draws > 0.5).astype(np.float32))[None]
        return F.interpolate(coarse, (height, width), mode="bilinear", align_corners=True)[0]

    def _trigger(self, images: Tensor) -> Tensor:
        channels, height, width = images.shape[1:]
        pattern = self.pattern((channels, height, width)).to(images)
        return (1 - self.alpha) * images + self.alpha * pattern
