"""The split of the embedded test images: choices are made on the tuning images, tables use the others.

The tuning images are the first quarter of every class. They include the images on which each round's views are measured
(`invmask.data.budget.probe`), because anyone who watches runs has seen these.
"""

import numpy as np

from invmask.data.embedded import load_embedded
from invmask.data.images import LabelledImages

SHARE = 4
"""One in `SHARE` images is a tuning image."""


def tuning_places(dataset: str) -> np.ndarray:
    """Indices of the tuning images among the embedded test images, rising, int64; 500 of 2,000 for CIFAR-10.

    Raises:
        UserError: the data set's images are not on this machine.
    """
    labels = load_embedded(dataset, "test").images.labels
    of_classes = (np.flatnonzero(labels == label) for label in np.unique(labels))
    return np.sort(np.concatenate([of_class[: len(of_class) // SHARE] for of_class in of_classes]))


def other_places(dataset: str) -> np.ndarray:
    """Indices of all other test images, rising, int64. No choice may be made on these images."""
    count = len(load_embedded(dataset, "test").images)
    return np.setdiff1d(np.arange(count), tuning_places(dataset))


def tuning_images(dataset: str) -> LabelledImages:
    """Test images on which choices are made."""
    return load_embedded(dataset, "test").images.take(tuning_places(dataset))


def other_images(dataset: str) -> LabelledImages:
    """Test images for tables."""
    return load_embedded(dataset, "test").images.take(other_places(dataset))
