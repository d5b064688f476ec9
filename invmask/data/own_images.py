"""A user's own clean images: folders of classes, one folder with or without a table of labels, NumPy files, archives.

They are read in a process of its own (`invmask.confined`). Nothing is unpacked to the disk.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from invmask import confined
from invmask.data.images import LabelledImages
from invmask.data.picture_reading import PIXELS, read_pictures
from invmask.errors import UserError

MOST_IMAGES = 5000
MOST_SIDE = 1024
_MEMORY = 4 << 30
_SECONDS, _SECONDS_AN_IMAGE = 60.0, 0.05


@dataclass(frozen=True)
class OwnImages:
    """Clean images of one size, from files of the user's.

    Attributes:
        images: labels are places in `class_names`; -1 for all if there are none.
        labelled: whether the classes are known.
        class_names: sorted, or as the caller listed them; empty without labels.
        counts: number of images of each class.
        left_out: number of damaged pictures.
        notes: plain sentences: how pictures were resized and converted, and what was passed over.
    """

    images: LabelledImages
    labelled: bool
    class_names: tuple[str, ...]
    counts: tuple[int, ...]
    left_out: int
    notes: tuple[str, ...]


def read_images(
    path: Path,
    channels: int,
    size: tuple[int, int] | None = None,
    labels: Path | None = None,
    classes: Sequence[str] | None = None,
    limit: int = MOST_IMAGES,
) -> OwnImages:
    """Read images from a folder, a .zip of one, or a NumPy file (.npz with `images` and `labels`, or .npy).

    In a folder, each subfolder is a class. Pictures in one folder are labelled by a table (CSV), if there is one. Of
    folders named train, val and test, val or test is used. Damaged pictures are left out.

    Args:
        channels: 1 or 3. Other pictures are converted.
        size: H, W of the images; pictures are resized to cover it, and the middle is cut out. If None, it is the size
            that all pictures have, or else a square of at most 224 pixels.
        labels: a table of names of pictures and their labels, instead of one that lies in the folder.
        classes: names of all classes in the order of their labels. Folders and labels are found in it by name, or by
            number.
        limit: most images; of more, an even selection from all classes.

    Raises:
        UserError: no images can be read, or a class is not in `classes`; the sentence says what to do.
    """
    if channels not in (1, 3):
        raise UserError(f"Images have 1 or 3 channels, not {channels}.")
    if size is not None and not all(1 <= side <= MOST_SIDE for side in size):
        raise UserError(f"Images may have 1 to {MOST_SIDE} pixels on each side, not {size[0]} x {size[1]}.")
    if limit < 1:
        raise UserError(f"At least one image has to be read, not {limit}.")
    try:
        there = path.is_dir() or path.is_file()
    except (OSError, ValueError):
        there = False
    if not there:
        raise UserError(f"There is no folder or file {str(path)[:200]!r}; check its name.")
    with tempfile.TemporaryDirectory(prefix="invmask-images-") as folder:
        scratch = Path(folder)
        said = confined.call(
            read_pictures,
            path.absolute(),
            channels,
            size,
            labels.absolute() if labels else None,
            list(classes) if classes else None,
            limit,
            scratch,
            what=path.name,
            scratch=scratch,
            seconds=_SECONDS + _SECONDS_AN_IMAGE * limit,
            memory_bytes=_MEMORY,
        )
        pixels = np.load(scratch / PIXELS, allow_pickle=False)
    numbers = np.array(said["labels"], dtype=np.int64)
    names = tuple(said["class_names"])
    return OwnImages(
        images=LabelledImages(pixels, numbers),
        labelled=bool(names),
        class_names=names,
        counts=tuple(np.bincount(numbers, minlength=len(names)).tolist()) if names else (),
        left_out=said["left_out"],
        notes=tuple(said["notes"]),
    )
