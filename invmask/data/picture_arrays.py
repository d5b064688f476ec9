"""Images and labels in NumPy files (.npz, .npy). This module does not import torch."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from invmask.data.picture_decoding import common_size, fit
from invmask.errors import UserError

_IMAGES = ("images", "x", "data", "pixels", "imgs", "inputs", "arr_0")
_LABELS = ("labels", "label", "y", "targets", "target", "classes", "arr_1")
_NAMES = ("class_names", "names", "label_names")
_SUFFIXES = ("", "_test", "_val", "_train")
"""The first of these that is there is used."""
_MOST_SIDE = 1024


def read_arrays(file: Path | bytes, name: str) -> tuple[np.ndarray, list[str] | None, list[str], list[str]]:
    """Images and their labels from a NumPy file.

    Args:
        file: .npz with an array of images and perhaps one of labels, or .npy with images alone.
        name: for messages.

    Returns:
        The images as stored, [N, H, W, C] (any type); their classes, or None without labels; names of all classes by
        number, if the file has them; notes.

    Raises:
        UserError: there are no images in it, or not in a form that is understood.
    """
    try:
        loaded: Any = np.load(io.BytesIO(file) if isinstance(file, bytes) else file, allow_pickle=False)
        arrays: Mapping[str, Any] = {"images": loaded} if isinstance(loaded, np.ndarray) else loaded
        images_key, labels_key = _keys(list(arrays))
        images = np.asarray(arrays[images_key])
        labels = np.asarray(arrays[labels_key]) if labels_key else None
        titles = next((np.asarray(arrays[key]) for key in _NAMES if key in arrays), None)
    except MemoryError:
        raise
    except Exception as error:  # a damaged or hostile file can cause nearly any
        raise UserError(
            f"{name} holds no arrays that can be read safely; store plain numbers with numpy.savez(file, images=..., "
            "labels=...)."
        ) from error
    if isinstance(loaded, np.lib.npyio.NpzFile):
        loaded.close()
    notes = [] if images_key in ("images", "arr_0") else [f"The images are those under '{images_key[:40]}'."]
    images = _by_place(images, name)
    if labels is None:
        return images, None, [], notes
    names = [str(one)[:200] for one in titles] if titles is not None and titles.ndim == 1 else []
    return images, _classes(labels, len(images), name), names, notes


def as_pixels(
    images: np.ndarray, chosen: list[int], channels: int, size: tuple[int, int] | None, done: set[str], name: str
) -> np.ndarray:
    """The chosen images as uint8 [N, H, W, C] of `size` (H, W); their own size if it is None.

    Raises:
        UserError: the values are not those of images.
    """
    low, high = _range(images, name)
    wanted = size or common_size([(images.shape[1], images.shape[2])])
    pixels = np.empty((len(chosen), *wanted, channels), np.uint8)
    scale = 255.0 if images.dtype.kind == "f" and high <= 1 else 1.0
    if images.dtype != np.uint8:
        done.add("rounded")
    if low < 0 or high > 255:
        raise UserError(f"The images in {name} have values from {low:g} to {high:g}; give them as 0 to 255 or 0 to 1.")
    for place, one in enumerate(chosen):
        image = images[one] if images.dtype == np.uint8 else (images[one].astype(np.float32) * scale).round()
        plain = np.ascontiguousarray(image, dtype=np.uint8)
        picture = Image.fromarray(plain[..., 0] if plain.shape[-1] == 1 else plain[..., :3])
        if (picture.mode == "L") != (channels == 1):
            done.add("grey" if channels == 1 else "colour")
        pixels[place] = fit(picture.convert("L" if channels == 1 else "RGB"), wanted, done)
    return pixels


def _keys(keys: list[str]) -> tuple[str, str | None]:
    lower = {key.lower(): key for key in keys}
    for suffix in _SUFFIXES:
        images = next((lower[name + suffix] for name in _IMAGES if name + suffix in lower), None)
        if images is not None:
            return images, next((lower[name + suffix] for name in _LABELS if name + suffix in lower), None)
    raise KeyError(_IMAGES[0])


def _by_place(images: np.ndarray, name: str) -> np.ndarray:
    """The images as [N, H, W, C]."""
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim == 4 and images.shape[-1] not in (1, 3, 4) and images.shape[1] in (1, 3, 4):
        images = images.transpose(0, 2, 3, 1)
    if (
        images.ndim != 4
        or images.shape[-1] not in (1, 3, 4)
        or images.dtype.kind not in "uif"
        or not 0 < min(images.shape[1:3]) <= max(images.shape[1:3]) <= _MOST_SIDE
    ):
        raise UserError(
            f"The images in {name} are of type {images.dtype.name[:20]} and shape {list(images.shape)[:6]}; give "
            f"numbers as [N, H, W, C] or [N, C, H, W] with 1 or 3 channels and sides up to {_MOST_SIDE}."
        )
    if not len(images):
        raise UserError(f"{name} holds no images; give some.")
    return images


def _range(images: np.ndarray, name: str) -> tuple[float, float]:
    low, high = float(images.min()), float(images.max())
    if not np.isfinite([low, high]).all():
        raise UserError(f"The images in {name} have values that are not numbers; give them as 0 to 255 or 0 to 1.")
    return low, high


def _classes(labels: np.ndarray, count: int, name: str) -> list[str]:
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    elif labels.ndim == 2 and labels.dtype.kind in "uifb":
        labels = labels.argmax(1)  # one-hot
    if labels.shape != (count,):
        shape = list(labels.shape)[:4]
        raise UserError(f"{name} holds {count:,} images, but labels of shape {shape}; give one for each.")
    if labels.dtype.kind == "f" and np.isfinite(labels).all() and (labels == labels.round()).all():
        labels = labels.astype(np.int64)
    if labels.dtype.kind not in "uiUb":
        raise UserError(f"The labels in {name} are {labels.dtype.name[:20]}; give whole numbers or names.")
    return [str(int(one)) if labels.dtype.kind != "U" else str(one)[:200] for one in labels]
