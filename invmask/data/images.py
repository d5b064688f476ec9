"""Labelled images in memory, and what is known of each data set."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class DatasetInfo:
    """What a data set is: its name, the names of its classes, and its channel statistics in [0, 1]."""

    name: str
    title: str
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    shape: tuple[int, int, int]


CIFAR10 = DatasetInfo(
    name="cifar10",
    title="CIFAR-10",
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2470, 0.2435, 0.2616),
    shape=(3, 32, 32),
)

DATASETS: dict[str, DatasetInfo] = {CIFAR10.name: CIFAR10}


@dataclass(frozen=True)
class LabelledImages:
    """Images with their labels, as stored.

    Attributes:
        pixels: uint8, [N, H, W, C], 0 to 255.
        labels: int64, [N].
    """

    pixels: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 4:
            raise ValueError(f"pixels must be uint8 [N, H, W, C], not {self.pixels.dtype} {self.pixels.shape}")
        if self.labels.shape != self.pixels.shape[:1]:
            raise ValueError(f"{len(self.pixels)} images but {self.labels.shape} labels")

    def __len__(self) -> int:
        return len(self.pixels)

    def take(self, indices: np.ndarray) -> "LabelledImages":
        """The images at `indices` (int or bool, [M]), in that order."""
        return LabelledImages(self.pixels[indices], self.labels[indices])

    def tensor(self) -> Tensor:
        """Images as float32 [N, C, H, W] in [0, 1]."""
        return torch.from_numpy(np.ascontiguousarray(self.pixels.transpose(0, 3, 1, 2))).float().div_(255)

    def label_tensor(self) -> Tensor:
        """Labels as int64 [N]."""
        return torch.from_numpy(self.labels.astype(np.int64))
