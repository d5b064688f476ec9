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
    images = load_embedded(dataset, "budget").images
    fewest = int(np.unique(images.labels, return_counts=True)[1].min())
    if spc > fewest:
        raise UserError(f"The data set '{dataset}' has {fewest} clean images a class here; SPC can be at most that.")
    return images.take(pick(images, spc, seed))


def probe(dataset: str, per_class: int) -> LabelledImages:
    """The first `per_class` embedded test images of every class, class by class; of many classes fewer of each."""
    images = load_embedded(dataset, "test").images
    classes = np.unique(images.labels)
    count = max(1, min(per_class, MOST_PROBED // len(classes)))
    chosen = [np.flatnonzero(images.labels == c)[:count] for c in classes]
    return images.take(np.concatenate(chosen))
