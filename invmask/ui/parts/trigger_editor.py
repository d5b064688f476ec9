"""An editor for a drawn trigger, for mouse, touch and keyboard: a grid for the pattern, and its place on a picture."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st
from streamlit.components.v2 import component

from invmask.attacks.triggers.drawn import COLOURS, EMPTY, GREYS
from invmask.attacks.triggers.picture import LUMA
from invmask.ui.parts.samples import image_data_uri
from invmask.ui.parts.trigger_editor_code import JS
from invmask.ui.parts.trigger_editor_look import CSS, HTML

GRID = 8
"""Rows and columns of the editor's grid."""


@dataclass(frozen=True)
class Drawing:
    """What the editor holds.

    Attributes:
        pixels: the pattern without empty rows and columns around it (see `DrawnTrigger`); empty if nothing is drawn.
        left, top: place of its left upper pixel on the picture.
        opacity: in per cent, from 1 to 100.
    """

    pixels: str = ""
    left: int = 0
    top: int = 0
    opacity: int = 100

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of a `DrawnTrigger`."""
        return {"pixels": self.pixels, "left": self.left, "top": self.top, "opacity": self.opacity / 100}


def fits(pixels: str) -> bool:
    """Whether a pattern fits into the editor's grid; an empty one does."""
    rows = pixels.split("/")
    return len(rows) <= GRID and all(len(row) <= GRID for row in rows)


def trigger_editor(
    drawing: Drawing, picture: np.ndarray, on_drawn: Callable[[Drawing], None], key: str, presets: bool = True
) -> None:
    """Draw the editor.

    Args:
        drawing: what to begin with. Later, a drawing that the editor has not sent itself replaces what it holds.
        picture: uint8 [H, W, C], the picture that the pattern is placed on.
        on_drawn: called with the drawing after each stroke, move or choice.
        presets: whether it offers ready-made patterns.
    """
    grey = picture.shape[-1] == 1
    data = {
        "grid": GRID,
        "pixels": drawing.pixels,
        "left": drawing.left,
        "top": drawing.top,
        "opacity": drawing.opacity,
        "picture": image_data_uri(picture),
        "width": picture.shape[1],
        "height": picture.shape[0],
        "colours": {letter: [name, _hex(value, grey)] for letter, (name, value) in COLOURS.items()},
        "offered": [letter for letter in COLOURS if not grey or letter in GREYS],
        "presets": presets,
    }

    def drawn() -> None:
        if (found := _read(st.session_state[key]["drawn"])) is not None:
            on_drawn(found)

    _EDITOR(key=key, data=data, on_drawn_change=drawn)


def _read(value: Any) -> Drawing | None:
    """What the browser sent; None if it is no drawing, because anything may arrive here."""
    if not isinstance(value, dict):
        return None
    pixels = value.get("pixels")
    numbers = [number for name in ("left", "top", "opacity") if isinstance(number := value.get(name), int)]
    if not isinstance(pixels, str) or len(numbers) < 3 or not all(0 <= number < 512 for number in numbers):
        return None
    if set(pixels) - {*COLOURS, EMPTY, "/"} or not fits(pixels):
        return None
    left, top, opacity = numbers
    return Drawing(pixels, left, top, min(max(opacity, 1), 100))


def _hex(value: int, grey: bool) -> str:
    if grey:
        parts = (value >> 16, value >> 8 & 255, value & 255)
        value = round(sum(share * part for share, part in zip(LUMA, parts, strict=True))) * 0x010101
    return f"#{value:06X}"


_EDITOR = component("invmask_trigger_editor", html=HTML, css=CSS, js=JS)
