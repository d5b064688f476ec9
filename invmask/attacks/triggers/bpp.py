"""BPP: fewer colours, as if the image had been stored with fewer bits (Wang et al. 2022, arXiv 2205.13383)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from invmask.attacks.base import Paper, to_8_bits
from invmask.attacks.training.poison_batches import LoopAttack
from invmask.attacks.triggers.dither import floyd_steinberg


@dataclass(frozen=True)
class BPP(LoopAttack):
    """Each colour channel is rounded to the nearest of `levels` even levels: x' = round((L - 1) x) / (L - 1).

    With `dither` the rounding errors are spread over neighbouring pixels (Floyd and Steinberg), which hides bands. In
    training, a share `negative_ratio` of the images carries the rounding error of *another* image and keeps its label
    (negative samples). So only an image's own rounding error is the trigger.
    """

    name: ClassVar[str] = "bpp"
    title: ClassVar[str] = "BPP"
    explanation: ClassVar[str] = "The same picture with fewer colours: eight levels of red, green and blue each."
    paper = Paper(
        "Z. Wang, J. Zhai, S. Ma",
        "BppAttack: Stealthy and Efficient Trojan Attacks against Deep Neural Networks via Image Quantization and "
        "Contrastive Adversarial Learning",
        2022,
        "2205.13383",
    )
    limits: ClassVar[dict[str, tuple[float, float]]] = {"levels": (2, 256), "negative_ratio": (0, 1)}

    levels: int = 8
    dither: bool = False
    negative_ratio: float = 0.1

    def helper_ratio(self, ratio: float) -> float:
        return min(self.negative_ratio, 1 - ratio)

    def helpers(self, images: Tensor, others: Tensor, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        return to_8_bits(images + self.apply(others) - others)

    def _trigger(self, images: Tensor) -> Tensor:
        if self.dither:
            return floyd_steinberg(images, self.levels)
        return torch.round(images * (self.levels - 1)) / (self.levels - 1)
