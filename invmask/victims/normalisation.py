"""How images are normalised for a network of unknown training: the usual statistics, each tried on clean images."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from invmask.data.folders import IMAGENET_MEAN, IMAGENET_STD
from invmask.data.images import CIFAR10, CIFAR100, FASHION_MNIST, MNIST, TINY_IMAGENET, LabelledImages
from invmask.errors import UserError
from invmask.models import Classifier

MOST_TRIED = 256
"""Most images that each normalisation is tried on; fewer where pictures are large."""
MOST_TRIED_PIXELS = 6_500_000
GIVEN = "given"


@dataclass(frozen=True)
class Normalisation:
    """What is subtracted from an image in [0, 1], and what the rest is divided by: one number a channel."""

    name: str
    title: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Trial:
    """One normalisation, and how well the network answers with it.

    Attributes:
        acc: clean accuracy in [0, 1]; None without labels.
        information: what an answer tells about its image, in [0, 1]: the entropy of the mean answer minus the mean
            entropy of an answer, in units of log K. It is high if answers are sure and not always the same.
        images: number of images.
    """

    normalisation: Normalisation
    acc: float | None
    information: float
    images: int

    @property
    def score(self) -> tuple[float, float]:
        """What trials are ordered by: accuracy, and where it is equal or unknown, information."""
        return (0.0 if self.acc is None else self.acc), self.information


def usual(images: LabelledImages) -> tuple[Normalisation, ...]:
    """The statistics that networks for images of so many channels are usually trained with, and those of `images`."""
    channels = images.pixels.shape[-1]
    own = images.pixels.reshape(-1, channels)[:4_000_000].astype(np.float64) / 255
    of_these = Normalisation(
        "images", "these images' own", tuple(own.mean(0).tolist()), tuple(np.maximum(own.std(0), 1e-3).tolist())
    )
    common = (
        Normalisation("none", "none", (0.0,) * channels, (1.0,) * channels),
        Normalisation("half", "0.5 / 0.5", (0.5,) * channels, (0.5,) * channels),
        Normalisation("bytes", "none, images from 0 to 255", (0.0,) * channels, (1 / 255,) * channels),
    )
    if channels == 1:
        sets = tuple(Normalisation(of.name, of.title, of.mean, of.std) for of in (MNIST, FASHION_MNIST))
        return *common, *sets, of_these
    return (
        *common,
        Normalisation("imagenet", "ImageNet", IMAGENET_MEAN, IMAGENET_STD),
        *(Normalisation(of.name, of.title, of.mean, of.std) for of in (CIFAR10, CIFAR100, TINY_IMAGENET)),
        # Widespread in training programs: the mean of the deviations within each image.
        Normalisation("cifar10-within", "CIFAR-10, within images", CIFAR10.mean, (0.2023, 0.1994, 0.2010)),
        of_these,
    )


def given(mean: Sequence[float], std: Sequence[float], channels: int) -> Normalisation:
    """The normalisation that the user has set; one number stands for all channels.

    Raises:
        UserError: another number of values, or values that no normalisation has.
    """
    both = [tuple(values) * (channels if len(values) == 1 else 1) for values in (mean, std)]
    if any(len(values) != channels for values in both):
        raise UserError(f"The images have {channels} channels, so mean and std need {channels} numbers each, or one.")
    if not all(math.isfinite(value) for values in both for value in values) or min(both[1]) <= 0:
        raise UserError("Mean and std are in the units of images from 0 to 1, and each std has to be above 0.")
    return Normalisation(GIVEN, "as given", *both)


@torch.no_grad()
def trials(
    network: nn.Module, images: LabelledImages, labelled: bool, among: Sequence[Normalisation]
) -> tuple[Trial, ...]:
    """Try normalisations on some of the images; returns the trials, the best first.

    Args:
        network: maps normalised images to logits [N, K], in eval mode.
        labelled: whether the images' labels are true.
    """
    chosen = images.take(_some(images))
    tensor, labels = chosen.tensor(), chosen.label_tensor()
    found = []
    for each in among:
        model = Classifier(network, each.mean, each.std)
        logits = torch.cat([model(batch).float() for batch in tensor.split(32)])
        acc = float((logits.argmax(1) == labels).double().mean()) if labelled else None
        found.append(Trial(each, acc, _information(logits), len(chosen)))
    return tuple(sorted(found, key=lambda trial: trial.score, reverse=True))


def _some(images: LabelledImages) -> np.ndarray:
    """Indices of images to try on, spread over the classes."""
    _, height, width, _ = images.pixels.shape
    most = max(16, min(MOST_TRIED, MOST_TRIED_PIXELS // (height * width)))
    return np.sort(np.random.default_rng(0).permutation(len(images))[:most])


def _information(logits: Tensor) -> float:
    said = logits.double().softmax(1).nan_to_num()
    whole, each = _entropy(said.mean(0)), _entropy(said).mean()
    return float((whole - each) / math.log(max(2, logits.shape[1])))


def _entropy(shares: Tensor) -> Tensor:
    return torch.special.entr(shares).sum(-1)
