"""Draw the images that a defence needs from a full data set, with a fixed seed."""

from pathlib import Path
from typing import Any

import numpy as np

from invmask.data.budget import MAX_SPC
from invmask.data.embedded import Part, pick, write_part
from invmask.data.folders import is_folder
from invmask.data.images import LabelledImages
from invmask.data.registry import dataset_info, load_dataset
from invmask.errors import UserError

TEST_IMAGES = 2_000
"""Approximate number of test images; the same number of every class."""
MOST_PIXELS = 1 << 26
"""Most pixels in a part. Pillow refuses much larger sheets, and their images would not fit into memory."""
SEEDS: dict[Part, int] = {"budget": 2025, "test": 2026}


def prepare(dataset: str, root: Path, folder: Path) -> None:
    """Write both parts into `folder`: at most 100 clean training images of every class, and test images.

    If a part would have more than 64 megapixels, it gets fewer images.

    Args:
        root: the data folder with the full set.

    Raises:
        UserError: the full set is missing or cannot be read, or even one image per class is too many pixels.
    """
    info = dataset_info(dataset)
    classes = {"classes": list(info.classes)} if is_folder(dataset) else {}
    wanted: dict[Part, int] = {"budget": MAX_SPC, "test": max(1, TEST_IMAGES // len(info.classes))}
    room = MOST_PIXELS // (info.shape[1] * info.shape[2] * len(info.classes))
    if room < 1:
        raise UserError(
            f"Images of {info.shape[1]}x{info.shape[2]} are too large for {len(info.classes)} classes; take a smaller "
            "side."
        )
    drawn: dict[Part, tuple[LabelledImages, np.ndarray, dict[str, Any]]] = {}
    for part, most in wanted.items():
        images = load_dataset(dataset, root, train=part == "budget")
        per_class = min(most, room, int(np.bincount(images.labels).min()))
        chosen = pick(images, per_class, SEEDS[part])
        of = "training" if part == "budget" else "test"
        how = f"{per_class} images of every class of the {of} set, seed {SEEDS[part]}"
        about = {"source": f"{info.title}, {info.source}", "citation": info.citation, "drawn": how, **classes}
        drawn[part] = images.take(chosen), chosen, about
    # Move both parts into place at the end: one part alone would be taken for a damaged set.
    for part, (images, chosen, about) in drawn.items():
        write_part(folder, part, images, chosen, about)
