"""Clean budgets: the few images that the defender holds."""

import numpy as np

from invmask.data.embedded import load_embedded, pick
from invmask.data.images import LabelledImages
from invmask.errors import UserError

MAX_SPC = 100


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
    """The first `per_class` embedded test images of every class, class by class."""
    images = load_embedded(dataset, "test").images
    chosen = [np.flatnonzero(images.labels == c)[:per_class] for c in np.unique(images.labels)]
    return images.take(np.concatenate(chosen))
