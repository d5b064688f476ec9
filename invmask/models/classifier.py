"""A classifier that takes images in [0, 1] and normalises them itself."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Classifier(nn.Module):
    """A network with its input normalisation inside.

    Everything else in invmask uses images in pixel space [0, 1]; so do perturbations and their bounds.

    Args:
        network: maps normalised images [N, C, H, W] to logits [N, K].
        mean, std: one number per input channel, in the units of [0, 1].
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        return self.network((images - self.mean) / self.std)
