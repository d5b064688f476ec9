"""What a defender can measure: how well a network answers the clean images and shifted copies of them."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from invmask.augmentation import augment
from invmask.defenses.base import Subject
from invmask.masks.repair import Network

COPIES = 4
"""Number of random crops of every image on which networks are judged."""
TINY = 1e-12


@dataclass(frozen=True)
class Judgement:
    """How a network answers labelled images: its accuracy in [0, 1], and its cross entropy in nats."""

    accuracy: float
    cross_entropy: float


def labels_of(subject: Subject) -> Tensor:
    """The images' classes, int64 [N]. If no labels were given, these are the network's own predictions."""
    if subject.labels is not None:
        return subject.labels
    return subject.answers(subject.reference, subject.images).argmax(1)


def crops(subject: Subject, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """`COPIES` random crops of every clean image, and their labels.

    They are more images than there are, and not the very ones from which a defence learned.
    """
    images = augment(subject.images.repeat(COPIES, 1, 1, 1), generator, padding=4, flip=subject.mirrors)
    return images, labels_of(subject).repeat(COPIES)


def judge(subject: Subject, network: Network, images: Tensor, labels: Tensor) -> Judgement:
    """How `network` answers `images`, float [N, C, H, W] in [0, 1], of the classes `labels`, int64 [N]."""
    answers = subject.answers(network, images)
    return Judgement(
        accuracy=float((answers.argmax(1) == labels).double().mean()),
        cross_entropy=float(F.nll_loss((answers + TINY).log(), labels)),
    )


def least_accuracy(whole: float, share: float, classes: int) -> float:
    """The accuracy to keep: a share of the network's own. One that only guesses has none to keep.

    Args:
        whole: the accuracy of the unchanged network, in [0, 1].
        share: of it that is to be kept, in [0, 1].
        classes: number of classes.
    """
    return share * whole if whole > 1 / classes else 0.0
