"""Clean budgets: the few images that the defender holds."""

import numpy as np

from invmask.data.embedded import load_embedded, pick
from invmask.data.images import LabelledImages
from invmask.errors import UserError

MAX_SPC = 100
MOST_PROBED = 200
"""Images of a probe, where every class has one: what a network makes of them is kept in memory."""


def clean_budget(dataset: str, spc: int, seed: int) -> LabelledImages:
    """`spc` clean training images of every class, drawn by `seed`; never a test image.

    Raises:
        UserError: `spc` outside 1 to 100, or a class that has fewer images.
    """
    if not 1 <= spc <= MAX_SPC:
        raise UserError(f"SPC (samples per class) has to be between 1 and {MAX_SPC}, not {spc}.")
    most = most_spc(dataset)
    if spc > most:
        raise UserError(f"The data set '{dataset}' has {most} clean images a class here; SPC can be at most that.")
    images = load_embedded(dataset, "budget").images
    return images.take(pick(images, spc, seed))


def most_spc(dataset: str) -> int:
    """The largest budget that every class of a data set has images for here, at most 100.

    Raises:
        UserError: its images are not on this machine, or damaged.
    """
    labels = load_embedded(dataset, "budget").images.labels
    return min(MAX_SPC, int(np.unique(labels, return_counts=True)[1].min()))


def probe(dataset: str, per_class: int) -> LabelledImages:
    """The first `per_class` embedded test images of every class, class by class; of many classes fewer of each."""
    images = load_embedded(dataset, "test").images
    classes = np.unique(images.labels)
    count = max(1, min(per_class, MOST_PROBED // len(classes)))
    chosen = [np.flatnonzero(images.labels == c)[:count] for c in classes]
    return images.take(np.concatenate(chosen))
