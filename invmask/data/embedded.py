"""The images that come with invmask: clean training images for budgets and test images for measuring.

Each set is one lossless PNG: square tiles, 100 to a row, in the order of the labels in the JSON beside it.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from invmask.data.images import DATASETS, LabelledImages
from invmask.errors import UserError

ASSETS = Path(__file__).resolve().parents[2] / "assets"
TILES_PER_ROW = 100
Part = Literal["budget", "test"]


@dataclass(frozen=True)
class EmbeddedPart:
    """Images with the places (`indices`, int64 [N]) that they have in the full set's part."""

    images: LabelledImages
    indices: np.ndarray


@lru_cache(maxsize=8)
def load_embedded(dataset: str, part: Part) -> EmbeddedPart:
    """The embedded images of a data set: `budget` (from its training set) or `test`.

    Raises:
        UserError: the data set has none, or the files are damaged.
    """
    if dataset not in DATASETS:
        raise UserError(f"There is no data set '{dataset}'; choose one of: {', '.join(sorted(DATASETS))}.")
    folder = ASSETS / dataset
    try:
        card: dict[str, Any] = json.loads((folder / f"{part}.json").read_text())
        with Image.open(folder / f"{part}.png") as sheet:
            pixels = np.asarray(sheet.convert("RGB"))
        side = DATASETS[dataset].shape[1]
        tiles = pixels.reshape(-1, side, TILES_PER_ROW, side, 3).swapaxes(1, 2).reshape(-1, side, side, 3)
        labels = np.asarray(card["labels"], dtype=np.int64)
        return EmbeddedPart(LabelledImages(tiles[: len(labels)].copy(), labels), np.asarray(card["indices"]))
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{folder / part}.png or .json is missing or damaged; check out assets/ again.") from error


def write_part(folder: Path, part: Part, images: LabelledImages, indices: np.ndarray, source: dict[str, str]) -> None:
    """Write one part as PNG and JSON; the number of images must be a multiple of 100."""
    side = images.pixels.shape[1]
    grid = images.pixels.reshape(-1, TILES_PER_ROW, side, side, 3).swapaxes(1, 2)
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(grid.reshape(-1, TILES_PER_ROW * side, 3)).save(folder / f"{part}.png", optimize=True)
    card = {**source, "labels": images.labels.tolist(), "indices": np.asarray(indices).tolist()}
    (folder / f"{part}.json").write_text(json.dumps(card) + "\n")


def pick(images: LabelledImages, per_class: int, seed: int) -> np.ndarray:
    """Indices of `per_class` images of every class, drawn without replacement, in the set's order; int64."""
    generator = np.random.default_rng(seed)
    classes = np.unique(images.labels)
    chosen = [generator.choice(np.flatnonzero(images.labels == c), per_class, replace=False) for c in classes]
    return np.sort(np.concatenate(chosen))
