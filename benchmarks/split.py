"""The split of the embedded test images: choices are made on tuning images, tables are of the others.

Tuning images are the first of every class, a quarter of them all. Those on which each round's views are measured while
a run goes on (`invmask.data.budget.probe`) are among them, for whoever watches runs has seen these.
"""

import numpy as np

from invmask.data.embedded import load_embedded
from invmask.data.images import LabelledImages

SHARE = 4
"""One in so many is a tuning image."""


def tuning_places(dataset: str) -> np.ndarray:
    """Places of the tuning images among the embedded test images, rising; int64: 500 of the 2,000 of CIFAR-10.

    Raises:
        UserError: the data set's images are not on this machine.
    """
    labels = load_embedded(dataset, "test").images.labels
    of_classes = (np.flatnonzero(labels == label) for label in np.unique(labels))
    return np.sort(np.concatenate([of_class[: len(of_class) // SHARE] for of_class in of_classes]))


def other_places(dataset: str) -> np.ndarray:
    """Places of all others, which no choice may be made on, rising; int64."""
    count = len(load_embedded(dataset, "test").images)
    return np.setdiff1d(np.arange(count), tuning_places(dataset))


def tuning_images(dataset: str) -> LabelledImages:
    """Test images to make choices on."""
    return load_embedded(dataset, "test").images.take(tuning_places(dataset))


def other_images(dataset: str) -> LabelledImages:
    """Test images for tables."""
    return load_embedded(dataset, "test").images.take(other_places(dataset))
