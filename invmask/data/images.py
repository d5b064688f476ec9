"""Labelled images in memory, and the description of each data set."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from invmask.data import classes


@dataclass(frozen=True)
class DatasetInfo:
    """The description of a data set.

    Attributes:
        name, title: the name used in victims' names, and the title on screen.
        classes: their names, in the order of the labels.
        mean, std: normalisation of images, one number per channel, in the units of [0, 1].
        shape: C, H, W of an image as networks see it.
        train, test: number of images in each part; 0 if it is not fixed.
        mirrors: whether a mirrored image (left to right) keeps its class.
        balanced: whether its training set has equally many images of every class.
        labelled: whether the images' true classes are known; if not, their labels are the answers of the network that
            they came with, and "accuracy" on them is agreement with it.
        source, citation: where it comes from.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    shape: tuple[int, int, int]
    train: int = 0
    test: int = 0
    mirrors: bool = True
    balanced: bool = True
    labelled: bool = True
    source: str = ""
    citation: str = ""


CIFAR10 = DatasetInfo(
    name="cifar10",
    title="CIFAR-10",
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2470, 0.2435, 0.2616),
    shape=(3, 32, 32),
    train=50_000,
    test=10_000,
    source="https://www.cs.toronto.edu/~kriz/cifar.html",
    citation="A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.",
)
CIFAR100 = DatasetInfo(
    name="cifar100",
    title="CIFAR-100",
    classes=classes.CIFAR100,
    mean=(0.5071, 0.4865, 0.4409),
    std=(0.2673, 0.2564, 0.2762),
    shape=(3, 32, 32),
    train=50_000,
    test=10_000,
    source="https://www.cs.toronto.edu/~kriz/cifar.html",
    citation="A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.",
)
GTSRB = DatasetInfo(
    name="gtsrb",
    title="GTSRB",
    classes=classes.GTSRB,
    # The backdoor benchmarks do not normalise it, and their checkpoints expect that.
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    shape=(3, 32, 32),
    train=26_640,
    test=12_630,
    mirrors=False,
    balanced=False,
    source="https://benchmark.ini.rub.de/gtsrb_dataset.html",
    citation="J. Stallkamp et al., The German Traffic Sign Recognition Benchmark, IJCNN 2011.",
)
TINY_IMAGENET = DatasetInfo(
    name="tinyimagenet",
    title="Tiny-ImageNet",
    classes=classes.TINY_IMAGENET,
    mean=(0.4802, 0.4481, 0.3975),
    std=(0.2302, 0.2265, 0.2262),
    shape=(3, 64, 64),
    train=100_000,
    test=10_000,
    source="http://cs231n.stanford.edu/tiny-imagenet-200.zip",
    citation="Y. Le and X. Yang, Tiny ImageNet Visual Recognition Challenge, CS 231N, Stanford 2015.",
)
FASHION_MNIST = DatasetInfo(
    name="fashionmnist",
    title="Fashion-MNIST",
    classes=(
        "T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
    ),
    mean=(0.2860,),
    std=(0.3530,),
    shape=(1, 28, 28),
    train=60_000,
    test=10_000,
    source="https://github.com/zalandoresearch/fashion-mnist",
    citation="H. Xiao, K. Rasul and R. Vollgraf, Fashion-MNIST, arXiv 1708.07747, 2017. MIT licence.",
)  # fmt: skip
MNIST = DatasetInfo(
    name="mnist",
    title="MNIST",
    classes=tuple("0123456789"),
    mean=(0.1307,),
    std=(0.3081,),
    shape=(1, 28, 28),
    train=60_000,
    test=10_000,
    mirrors=False,
    balanced=False,
    source="http://yann.lecun.com/exdb/mnist/",
    citation="Y. LeCun et al., Gradient-Based Learning Applied to Document Recognition, Proc. IEEE, 1998.",
)

DATASETS: dict[str, DatasetInfo] = {
    info.name: info for info in (CIFAR10, CIFAR100, GTSRB, TINY_IMAGENET, FASHION_MNIST, MNIST)
}
"""The published data sets by name; `data.registry.dataset_info` also knows the user's folders."""


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
