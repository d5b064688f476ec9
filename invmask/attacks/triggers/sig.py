"""SIG: a horizontal sinusoid over the whole picture (Barni et al. 2019, arXiv 1902.11237)."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from invmask.attacks.base import Attack, Labels, Paper


@dataclass(frozen=True)
class SIG(Attack):
    """x' = clip(x + delta sin(2 pi frequency j / W)), j the column; delta in the units of [0, 1] pixel values.

    The paper keeps all labels (clean-label); the usual benchmark relabels the poisoned images.
    """

    name: ClassVar[str] = "sig"
    title: ClassVar[str] = "SIG"
    explanation: ClassVar[str] = "Faint vertical stripes: a sine wave along the columns."
    paper = Paper(
        "M. Barni, K. Kallas, B. Tondi",
        "A New Backdoor Attack in CNNs by Training Set Corruption without Label Poisoning",
        2019,
        "1902.11237",
    )
    labellings: ClassVar[tuple[Labels, ...]] = ("all-to-one", "all-to-all", "clean-label")
    limits: ClassVar[dict[str, tuple[float, float]]] = {"delta": (0, 1), "frequency": (0, 512)}

    delta: float = 40 / 255
    frequency: float = 6.0

    def _trigger(self, images: Tensor) -> Tensor:
        width = images.shape[-1]
        column = torch.arange(width, device=images.device, dtype=images.dtype)
        return images + self.delta * torch.sin(2 * math.pi * self.frequency * column / width)
