"""A trigger drawn pixel by pixel: a small pattern of colours, its place, and its opacity."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from invmask.attacks.base import Attack
from invmask.attacks.triggers.picture import LUMA
from invmask.errors import UserError

MOST_SIDE = 16
EMPTY = "."
COLOURS: dict[str, tuple[str, int]] = {
    "w": ("white", 0xFFFFFF),
    "s": ("light grey", 0xBFBFBF),
    "g": ("grey", 0x808080),
    "d": ("dark grey", 0x404040),
    "k": ("black", 0x000000),
    "r": ("red", 0xFF0000),
    "y": ("yellow", 0xFFFF00),
    "n": ("green", 0x00C000),
    "c": ("cyan", 0x00FFFF),
    "b": ("blue", 0x0000FF),
    "m": ("magenta", 0xFF00FF),
}
"""The colours by the letter that stands for them in a pattern: their names, and red, green and blue in one number."""
GREYS = ("w", "s", "g", "d", "k")
"""The letters of the colours that grey images can show."""
_PATTERN = re.compile(f"[{''.join(COLOURS)}{re.escape(EMPTY)}/]{{1,{MOST_SIDE * (MOST_SIDE + 1)}}}")


@dataclass(frozen=True)
class DrawnTrigger(Attack):
    """x' = (1 - opacity) x + opacity c at every drawn pixel, of colour c; all other pixels stay as they are.

    Attributes:
        pixels: the pattern's rows from top to bottom, separated by `/`, one letter of `COLOURS` a pixel, and `.` for a
            pixel that is not drawn. From 1 to 16 rows and columns.
        left, top: place of the pattern's left upper pixel, counted from 0. A pattern that would cross the image's edge
            is moved inside.
        opacity: in [0.01, 1].
    """

    name: ClassVar[str] = "drawn"
    title: ClassVar[str] = "Drawn trigger"
    explanation: ClassVar[str] = "A few pixels that the attacker has drawn, at one place of every image."
    limits: ClassVar[dict[str, tuple[float, float]]] = {"left": (0, 511), "top": (0, 511), "opacity": (0.01, 1)}

    pixels: str = "w.w/.w./w.w"
    left: int = 24
    top: int = 24
    opacity: float = 1.0

    def __post_init__(self) -> None:
        rows = self.pixels.split("/")
        if not self.pixels.strip("./"):
            raise UserError("Nothing is drawn yet: a trigger needs at least one pixel.")
        if (
            not _PATTERN.fullmatch(self.pixels)
            or len(rows) > MOST_SIDE
            or not 1 <= len(rows[0]) <= MOST_SIDE
            or any(len(row) != len(rows[0]) for row in rows)
        ):
            raise UserError(
                f"A drawn trigger is 1 to {MOST_SIDE} rows of equally many letters, separated by '/', of the colours "
                f"{' '.join(COLOURS)}, and '{EMPTY}' for a pixel that stays as it is."
            )

    @cached_property
    def _drawn(self) -> Tensor:
        """float32 [4, h, w] in [0, 1]: red, green, blue, and 1 where a pixel is drawn."""
        values = [[_channels(letter) for letter in row] for row in self.pixels.split("/")]
        return torch.tensor(values).permute(2, 0, 1).contiguous()

    def _trigger(self, images: Tensor) -> Tensor:
        channels, height, width = images.shape[1:]
        drawn = self._drawn[:, :height, :width]
        colours, opaque = drawn[:3], drawn[3:]
        if channels == 1:
            colours = (colours * torch.tensor(LUMA)[:, None, None]).sum(0, keepdim=True)
        rows, columns = opaque.shape[1:]
        top, left = min(self.top, height - rows), min(self.left, width - columns)
        weight = (self.opacity * opaque).to(images)
        out = images.clone()
        window = out[:, :, top : top + rows, left : left + columns]
        window.mul_(1 - weight).add_(weight * colours.to(images))
        return out


def _channels(letter: str) -> tuple[float, float, float, float]:
    if letter == EMPTY:
        return 0.0, 0.0, 0.0, 0.0
    colour = COLOURS[letter][1]
    return (colour >> 16) / 255, (colour >> 8 & 255) / 255, (colour & 255) / 255, 1.0
