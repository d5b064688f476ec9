"""LF: one smooth, low-frequency change added to every image (Zeng et al. 2021, arXiv 2104.03413)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from invmask.attacks.base import Attack, Paper


@dataclass(frozen=True)
class LF(Attack):
    """x' = clip(x + amplitude u), u smooth with max |u| = 1, the same for every image.

    The paper optimises the change against a network, under a low-pass filter and a bound on its size. Ours is not
    optimised: u is a random sum of waves drawn from `seed`, with at most `cutoff` periods per side in each direction,
    weighted by a Gaussian low-pass filter (standard deviation half the cutoff), without a constant part. It has the
    property that the paper is about: no high frequency reveals it. It needs no network to be reproduced.
    """

    name: ClassVar[str] = "lf"
    title: ClassVar[str] = "LF"
    explanation: ClassVar[str] = "Soft clouds of light and colour, without any fine detail, added to the whole image."
    paper = Paper(
        "Y. Zeng, W. Park, Z. M. Mao, R. Jia",
        "Rethinking the Backdoor Attacks' Triggers: A Frequency Perspective",
        2021,
        "2104.03413",
    )
    limits: ClassVar[dict[str, tuple[float, float]]] = {"amplitude": (0, 1), "cutoff": (1, 32)}

    amplitude: float = 32 / 255
    cutoff: int = 4
    seed: int = 0

    def change(self, shape: tuple[int, int, int]) -> Tensor:
        """u for images of `shape` (C, H, W), float32 in [-1, 1]. NumPy's PCG64 makes it the same on every device."""
        channels, height, width = shape
        waves = np.arange(-self.cutoff, self.cutoff + 1)
        weight = np.exp(-(waves[:, None] ** 2 + waves[None, :] ** 2) / (2 * (self.cutoff / 2) ** 2))
        weight[self.cutoff, self.cutoff] = 0
        draws = np.random.default_rng(self.seed).standard_normal((2, channels, *weight.shape))
        # cos(a + b) of the two directions at once: the real part of a sum of complex waves.
        rows, columns = (
            np.exp(2j * np.pi * waves[:, None] * np.arange(side)[None, :] / side) for side in (height, width)
        )
        smooth = np.einsum("cuv,uh,vw->chw", (draws[0] + 1j * draws[1]) * weight, rows, columns).real
        return torch.from_numpy((smooth / np.abs(smooth).max()).astype(np.float32))

    def _trigger(self, images: Tensor) -> Tensor:
        channels, height, width = images.shape[1:]
        return images + self.amplitude * self.change((channels, height, width)).to(images)
