"""The images that a defence and its measurements need: clean training images for budgets, and test images.

Some data sets' images come with invmask, in `assets`. For other data sets they are drawn from the full set
(`data.prepare`) and kept beside it. Each part is one lossless PNG of square tiles, at most 100 per row, in the order of
the labels in the JSON file beside it.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from invmask import disk, settings
from invmask.data.folders import is_folder
from invmask.data.images import LabelledImages
from invmask.data.own import INFO, is_own, own_folder
from invmask.data.registry import dataset_info
from invmask.errors import UserError
from invmask.memory import MIB, bounded

ASSETS = settings.ASSETS
PREPARED = "prepared"
"""Folder inside the data folder for data sets whose images do not come with invmask."""
TILES_PER_ROW = 100
IMAGE_BYTES = 512 * MIB
"""Bound of the cache of images: room for forty data sets like CIFAR-10, or one with pictures of 224 pixels."""
Part = Literal["budget", "test"]


@dataclass(frozen=True)
class EmbeddedPart:
    """Images, and their positions in the full data set's part (`indices`, int64 [N])."""

    images: LabelledImages
    indices: np.ndarray


def load_embedded(dataset: str, part: Part) -> EmbeddedPart:
    """Load the embedded images of a data set: part `budget` (from its training set) or `test`.

    Raises:
        UserError: no such data set; its images are not on this machine; they were drawn when it had other classes; or
            the files are damaged.
    """
    info = dataset_info(dataset)
    channels, height, width = info.shape
    folder = embedded_folder(dataset)
    return _load(folder, part, (height, width, channels), info.classes, tuple(map(stamp, _files(folder, part))))


def embedded_folder(dataset: str) -> Path:
    """The folder of a data set's embedded images, whether it exists or not."""
    if is_own(dataset):
        return own_folder(dataset)
    own = ASSETS / dataset
    return own if own.is_dir() else settings.data_folder() / PREPARED / dataset


def drawn_files(dataset: str) -> tuple[Path, ...]:
    """The files of images that were made on this machine and may be made again; empty for those in `assets`."""
    folder = embedded_folder(dataset)
    if folder.parent == ASSETS:
        return ()
    described = (folder / INFO,) if is_own(dataset) else ()
    return *described, *_files(folder, "budget"), *_files(folder, "test")


def stamp(path: Path) -> tuple[int, int]:
    """A value that changes when the file is written again; (0, 0) if there is no file."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


def _files(folder: Path, part: Part) -> tuple[Path, Path]:
    return folder / f"{part}.png", folder / f"{part}.json"


def is_embedded(dataset: str) -> bool:
    """Whether the data set's images are on this machine and were drawn for its present classes."""
    try:
        load_embedded(dataset, "budget")
        load_embedded(dataset, "test")
    except UserError:
        return False
    return True


@bounded(IMAGE_BYTES, latest_stays=True)
def _load(
    folder: Path,
    part: Part,
    shape: tuple[int, int, int],
    classes: tuple[str, ...],
    stamps: tuple[tuple[int, int], ...],  # noqa: ARG001  (they tell images drawn again from known ones)
) -> EmbeddedPart:
    height, width, channels = shape
    if not folder.is_dir():
        raise UserError(
            f"The images of {folder.name} for defences are not on this machine; make them with 'python -m invmask data "
            f"{folder.name}'."
        )
    try:
        picture, labelling = _files(folder, part)
        card: dict[str, Any] = json.loads(labelling.read_text())
        with Image.open(picture) as sheet:
            pixels = np.asarray(sheet.convert("L" if channels == 1 else "RGB"))
        tiles = pixels.reshape(-1, height, pixels.shape[1] // width, width, channels).swapaxes(1, 2).reshape(-1, *shape)
        labels = np.asarray(card["labels"], dtype=np.int64)
        if card.get("classes", None if is_folder(folder.name) else list(classes)) != list(classes):
            raise UserError(
                f"The images of {folder.name} for defences were drawn when it had other classes, or by an earlier "
                f"invmask; draw them again with 'python -m invmask data {folder.name}'."
            )
        return EmbeddedPart(LabelledImages(tiles[: len(labels)].copy(), labels), np.asarray(card["indices"]))
    except (OSError, ValueError, KeyError, Image.DecompressionBombError) as error:
        again = (
            "check out assets/, or install invmask, again"
            if folder.parent == ASSETS
            else f"delete {folder} and make them again"
        )
        raise UserError(f"{folder / part}.png or .json is missing or damaged; {again}.") from error


def write_part(folder: Path, part: Part, images: LabelledImages, indices: np.ndarray, about: dict[str, Any]) -> None:
    """Write one part as PNG and JSON. Unused tiles of the last row are black.

    Args:
        about: further content of the JSON file; for a user's folder, whose classes can change, their names as
            `classes`.
    """
    shape = images.pixels.shape[1:]
    height, _, channels = shape
    across = min(TILES_PER_ROW, len(images))
    rows = -(-len(images) // across)
    padded = np.zeros((rows * across, *shape), np.uint8)
    padded[: len(images)] = images.pixels
    grid = padded.reshape(rows, across, *shape).swapaxes(1, 2).reshape(rows * height, -1, channels)
    folder.mkdir(parents=True, exist_ok=True)
    with disk.replacing(folder / f"{part}.png") as file:
        Image.fromarray(grid[..., 0] if channels == 1 else grid).save(file, "PNG", optimize=True)
    card = {**about, "labels": images.labels.tolist(), "indices": np.asarray(indices).tolist()}
    disk.write_bytes(folder / f"{part}.json", (json.dumps(card) + "\n").encode())


def pick(images: LabelledImages, per_class: int, seed: int, fewer: bool = False) -> np.ndarray:
    """Draw `per_class` images of every class without replacement; returns their indices, int64, in the set's order.

    Args:
        fewer: whether a class may have fewer images, and then gives all.

    Raises:
        ValueError: a class has fewer images, and may not.
    """
    generator = np.random.default_rng(seed)
    classes = np.unique(images.labels)
    chosen = []
    for label in classes:
        places = np.flatnonzero(images.labels == label)
        number = min(per_class, len(places)) if fewer else per_class
        chosen.append(generator.choice(places, number, replace=False))
    return np.sort(np.concatenate(chosen))
