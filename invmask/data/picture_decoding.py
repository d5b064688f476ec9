"""Strangers' pictures and arrays as uint8 images of one size. This module does not import torch."""

import io
from collections import Counter
from collections.abc import Sequence

import numpy as np
from PIL import Image

MOST_PIXELS = 40_000_000
SIDE, LARGEST = 224, 512
"""Side of images if the pictures have different sizes, and the largest side up to which a common size is kept."""
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "PPM", "TIFF", "GIF")


def size_in(content: bytes) -> tuple[int, int]:
    """Height and width that a picture's file states. Damaged files raise errors of nearly any type."""
    with Image.open(io.BytesIO(content), formats=_FORMATS) as picture:
        return picture.height, picture.width


def common_size(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The images' size (height, width) if none is asked for: that of all pictures, or else a square."""
    (first, count), *_ = Counter(sizes).most_common(1)
    if count == len(sizes) and max(first) <= LARGEST:
        return first
    side = min(int(np.median([min(size) for size in sizes])), SIDE)
    return side, side


def decode(content: bytes, channels: int, size: tuple[int, int], done: set[str]) -> np.ndarray:
    """A picture as an image: uint8 [H, W, C].

    It is resized until it covers `size`, and then its middle is cut out. As in torchvision's loader, transparency and
    the camera's orientation are not looked at.

    Args:
        channels: 1 or 3.
        size: H, W.
        done: receives "grey", "colour", "resized", "cropped" and "16 bits", whichever was done to it.

    Raises:
        Exception: of nearly any type, if the file is damaged.
    """
    with Image.open(io.BytesIO(content), formats=_FORMATS) as picture:
        # The size is known before anything is decoded.
        if not 0 < picture.width * picture.height <= MOST_PIXELS:
            raise ValueError("too many pixels")
        # A JPEG can be decoded at a fraction of its size.
        picture.draft(None, (2 * size[1], 2 * size[0]))
        plain = _eight_bits(picture, done)
        mode = "L" if channels == 1 else "RGB"
        if (plain.mode in ("L", "LA", "1")) != (channels == 1):
            done.add("grey" if channels == 1 else "colour")
        return fit(plain.convert(mode), size, done)


def fit(picture: Image.Image, size: tuple[int, int], done: set[str]) -> np.ndarray:
    """An image of mode L or RGB, resized and cut to `size` (H, W): uint8 [H, W, C]."""
    height, width = size
    if picture.size != (width, height):
        done.add("resized")
        scale = min(picture.width / width, picture.height / height)
        across, down = width * scale, height * scale
        if picture.width - across > 0.5 * scale or picture.height - down > 0.5 * scale:
            done.add("cropped")
        left, top = max((picture.width - across) / 2, 0), max((picture.height - down) / 2, 0)
        box = (left, top, min(left + across, picture.width), min(top + down, picture.height))
        picture = picture.resize((width, height), Image.Resampling.BILINEAR, box=box, reducing_gap=3.0)
    pixels = np.asarray(picture, dtype=np.uint8)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _eight_bits(picture: Image.Image, done: set[str]) -> Image.Image:
    if not picture.mode.startswith(("I", "F")):
        return picture
    # Pillow would cut all values above 255 off.
    values = np.asarray(picture, dtype=np.float64)
    most = 65535.0 if picture.mode.startswith("I") and values.max(initial=0) > 255 else 255.0
    if picture.mode == "F" and values.max(initial=0) <= 1:
        most = 1.0
    done.add("16 bits")
    return Image.fromarray(np.nan_to_num(values * (255 / most)).clip(0, 255).round().astype(np.uint8))
