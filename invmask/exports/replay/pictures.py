"""Small pictures as PNG in `data:` addresses."""

import base64
import io
import math

import numpy as np
from PIL import Image

LARGEST_SIDE = 64
"""The larger side of a picture in pixels, at most: larger pictures lose pixels evenly."""


def data_uri(pixels: np.ndarray) -> str:
    """A lossless PNG of uint8 [H, W, C], C = 1 or 3, as a `data:` address."""
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def small(pixels: np.ndarray) -> np.ndarray:
    """Pictures, uint8 [N, H, W, C], at most `LARGEST_SIDE` pixels wide and high."""
    step = math.ceil(max(pixels.shape[1:3]) / LARGEST_SIDE)
    return pixels[:, ::step, ::step]


def strip(*rows: np.ndarray) -> np.ndarray:
    """Rows of N pictures, each uint8 [N, H, W, C], as one picture, uint8 [rows * H, N * W, C]."""
    return np.ascontiguousarray(np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0))


def pixels_of(images: np.ndarray) -> np.ndarray:
    """Images, float [N, C, H, W] in [0, 1], as uint8 [N, H, W, C]; other values are clipped."""
    return (np.clip(images, 0, 1) * 255).round().astype(np.uint8).transpose(0, 2, 3, 1)
