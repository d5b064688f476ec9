"""Clean budgets: the few images that the defender holds."""

import numpy as np

from invmask.data.embedded import load_embedded, pick
from invmask.data.images import LabelledImages
from invmask.data.own import is_own
from invmask.data.registry import dataset_info
from invmask.errors import UserError

MAX_SPC = 100
MOST_PROBED = 200
"""Most images in a probe (more only if there are more classes), because their activations are kept in memory."""


def clean_budget(dataset: str, spc: int, seed: int) -> LabelledImages:
    """Draw `spc` clean training images of every class with the random seed `seed`; never a test image.

    Of images of one's own, a class that has fewer gives all it has.

    Raises:
        UserError: `spc` outside 1 to 100, or a class that has fewer images.
    """
    if not 1 <= spc <= MAX_SPC:
        raise UserError(f"SPC (samples per class) has to be between 1 and {MAX_SPC}, not {spc}.")
    most = most_spc(dataset)
    if spc > most:
        raise UserError(f"The data set '{dataset}' has {most} clean images a class here; SPC can be at most that.")
    images = load_embedded(dataset, "budget").images
    return images.take(pick(images, spc, seed, fewer=is_own(dataset)))


def most_spc(dataset: str) -> int:
    """The largest SPC for which every class of a data set has enough images on this machine, at most 100.

    Of images of one's own, the largest for which any class has enough.

    Raises:
        UserError: its images are not on this machine, or damaged.
    """
    labels = load_embedded(dataset, "budget").images.labels
    counts = np.unique(labels, return_counts=True)[1]
    return min(MAX_SPC, int(counts.max() if is_own(dataset) else counts.min()))


def probe(dataset: str, per_class: int) -> LabelledImages:
    """The first `per_class` embedded test images of each class, class by class; fewer if there are many classes."""
    images = load_embedded(dataset, "test").images
    classes = np.unique(images.labels)
    count = max(1, min(per_class, MOST_PROBED // len(classes)))
    chosen = [np.flatnonzero(images.labels == c)[:count] for c in classes]
    return images.take(np.concatenate(chosen))


def budget_size(dataset: str, spc: int) -> int:
    """The number of images in a budget of `spc` images a class.

    Raises:
        UserError: the images of a data set of one's own are not on this machine, or damaged.
    """
    if not is_own(dataset):
        return spc * len(dataset_info(dataset).classes)
    labels = load_embedded(dataset, "budget").images.labels
    return int(np.minimum(np.unique(labels, return_counts=True)[1], spc).sum())
