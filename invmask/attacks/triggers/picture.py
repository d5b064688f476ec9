"""A trigger that the user draws: a small picture, with transparency, laid over every image."""

import base64
import io
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from invmask.attacks.base import Attack
from invmask.errors import UserError

MAX_BYTES = 60 << 10
MAX_SIDE = 512
_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)
LUMA = (0.299, 0.587, 0.114)
# The default picture: a yellow ring of 5 x 5 pixels.
RING = (
    "iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAALElEQVR42mNkYGBg+H+H4T8DFDCqMDAywQQYVRgY4QqQVcEEmZC1w3VhMxMA4lwXSdCF"
    "xdAAAAAASUVORK5CYII="
)


@dataclass(frozen=True)
class PictureTrigger(Attack):
    """x' = (1 - opacity a) x + opacity a c where the picture lies; c are its colours, a is its alpha channel.

    Attributes:
        png: the picture itself, a PNG file in base64: the settings hold all of the trigger.
        opacity: in [0.01, 1]; multiplies the picture's own alpha channel.
        size: the picture's longer side as a share of the image's shorter side, in [0.01, 1].
        x, y: position in [0, 1]: 0 is the left or top edge, 1 the right or bottom edge.
    """

    name: ClassVar[str] = "picture"
    title: ClassVar[str] = "Own picture"
    explanation: ClassVar[str] = "A small picture of the attacker's own is laid over every image, at one place."
    limits: ClassVar[dict[str, tuple[float, float]]] = {
        "opacity": (0.01, 1),
        "size": (0.01, 1),
        "x": (0, 1),
        "y": (0, 1),
    }

    png: str = RING
    opacity: float = 1.0
    size: float = 0.16
    x: float = 0.95
    y: float = 0.95

    def __post_init__(self) -> None:
        # Reject anything that is not a picture now, before it is used.
        _ = self._picture

    @cached_property
    def _picture(self) -> Tensor:
        """float32 [4, h, w] in [0, 1]: red, green, blue, and 1 where the picture is opaque."""
        return _decode(self.png)

    def _trigger(self, images: Tensor) -> Tensor:
        channels, height, width = images.shape[1:]
        rows, columns = self._picture.shape[1:]
        scale = self.size * min(height, width) / max(rows, columns)
        shape = max(1, math.floor(rows * scale + 0.5)), max(1, math.floor(columns * scale + 0.5))
        colours, opaque = self._picture[:3], self._picture[3:]
        # Transparent pixels have a colour too; it must not bleed into its neighbours when resized.
        small = F.interpolate(
            torch.cat([colours * opaque, opaque])[None], shape, mode="bilinear", antialias=True, align_corners=False
        )[0].clamp(0, 1)
        weight = self.opacity * small[3:]
        added = self.opacity * small[:3]
        if channels == 1:
            added = (added * torch.tensor(LUMA)[:, None, None]).sum(0, keepdim=True)
        top, left = (
            math.floor(place * (side - part) + 0.5)
            for place, side, part in ((self.y, height, shape[0]), (self.x, width, shape[1]))
        )
        out = images.clone()
        window = out[:, :, top : top + shape[0], left : left + shape[1]]
        window.mul_(1 - weight.to(images)).add_(added.to(images))
        return out


def picture_settings(path: Path) -> dict[str, Any]:
    """The setting that holds the picture in a PNG file.

    Raises:
        UserError: there is no such file, or it is not a PNG, or it is too large.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UserError(f"The picture {path} cannot be read: {error.strerror or error}.") from error
    png = base64.b64encode(content).decode()
    _decode(png)
    return {"png": png}


def _decode(png: str) -> Tensor:
    # Base64 encodes three bytes as four letters.
    if len(png) > 4 * (MAX_BYTES // 3):
        raise UserError(f"A picture may have at most {MAX_BYTES >> 10} KB; make it smaller.")
    try:
        with Image.open(io.BytesIO(base64.b64decode(png, validate=True)), formats=["PNG"]) as picture:
            if max(picture.size) > MAX_SIDE:
                raise UserError(f"A picture may be at most {MAX_SIDE} pixels wide and high; make it smaller.")
            pixels = np.asarray(picture.convert("RGBA"), dtype=np.float32) / 255
    except (OSError, ValueError, SyntaxError, *_BOMBS) as error:
        raise UserError("A picture for a trigger has to be a PNG file; export yours as PNG and try again.") from error
    if not pixels[..., 3].any():
        raise UserError("Nothing of this picture would be seen, for all of it is transparent.")
    return torch.from_numpy(pixels).permute(2, 0, 1)
