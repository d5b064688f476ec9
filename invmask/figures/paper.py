"""Figures for print: as wide as one column of a paper or as two, with type that can be read there."""

from functools import lru_cache, partial
from typing import Any

import numpy as np
import plotly.graph_objects as go

from invmask.figures.palette import GRID, GROUND, NEUTRAL, SEQUENCE, TEXT, VIEW_TITLES, Theme, view_colour
from invmask.figures.ramps import RECEDING_COLOURS, SELECTED_COLOURS, gate_scale, selection_scale
from invmask.figures.template import template

COLUMN_MM = 88.0
"""One column of a paper in two columns; publishers ask for 85 to 90 mm."""
PAGE_MM = 180.0
"""Both columns, with the gap between them."""
WIDTHS_MM = (88, 180)
"""What there is to choose from: `COLUMN_MM` and `PAGE_MM`."""
PIXELS_PER_MM = 96 / 25.4
DRAWN_WIDTH = 420
"""A figure for one column is laid out so many pixels wide, where type has its size on screen, then made smaller."""
FACTOR = round(COLUMN_MM * PIXELS_PER_MM) / DRAWN_WIDTH
"""By how much, whatever the width: letters are as high in a wide figure as in a narrow one."""
DRAWN_PAGE = round(PAGE_MM * PIXELS_PER_MM / FACTOR)
"""The same of a figure for two columns."""
LETTERS = 12
"""Height of the smallest letters in pixels, as they are laid out: 7 points in print, the least that can be read."""
DPI = 300

_FONTS = ("font", "tickfont", "textfont", "insidetextfont", "outsidetextfont", "grouptitlefont")
# Lengths in pixels wherever they stand; the rest of a figure is in the units of its data or in shares.
_LENGTHS = {
    "xshift", "yshift", "standoff", "ticklen", "tickwidth", "linewidth", "gridwidth", "zerolinewidth", "thickness",
    "xpad", "ypad", "outlinewidth", "borderwidth", "borderpad", "arrowwidth", "startstandoff", "ticklabelstandoff",
    "itemwidth", "tracegroupgap",
}  # fmt: skip
_WHOLE = {"ticklabelstandoff"}
_WITH_WIDTH = ("line", "contours")
_WITH_SIZE = (*_FONTS, "marker")
_WITH_SIDES = ("margin", "pad")


def scale_to_dpi() -> float:
    """Pixels of a picture for each pixel of a figure `for_column`, at 300 dpi."""
    return DPI / 96


def on_paper(figure: go.Figure) -> go.Figure:
    """A figure of the screen, light or dark, in the colours of paper; `figure` is left as it is.

    Colours of the palette and of its ramps change to their counterparts; others stay.
    """
    spec = _recoloured(figure.to_plotly_json(), _paper_colours())
    spec["layout"]["template"] = template("paper")
    return go.Figure(spec)


@lru_cache(maxsize=1)
def _paper_colours() -> dict[str, str]:
    """Each colour of the dark and the light theme, in capitals, and what it is on paper."""
    pairs: list[tuple[str, str]] = []
    screens: tuple[Theme, ...] = ("light", "dark")
    for theme in screens:
        pairs += [(view_colour(view, theme), view_colour(view, "paper")) for view in VIEW_TITLES]
        pairs += [(colours[theme], colours["paper"]) for colours in (NEUTRAL, TEXT, GRID, SELECTED_COLOURS, GROUND)]
        pairs += [(RECEDING_COLOURS[theme], RECEDING_COLOURS["paper"])]
        pairs += list(zip(SEQUENCE[theme], SEQUENCE["paper"], strict=True))
        scales = [selection_scale, *(partial(gate_scale, view) for view in VIEW_TITLES)]
        for scale in scales:
            pairs += [(old, new) for (_, old), (_, new) in zip(scale(theme), scale("paper"), strict=True)]
    # A grey may be the neutral of one thing and a view of another: the first meaning stays.
    return {old.upper(): new for old, new in reversed(pairs)}


def _recoloured(part: Any, colours: dict[str, str]) -> Any:
    if isinstance(part, dict):
        return {key: _recoloured(value, colours) for key, value in part.items()}
    if isinstance(part, list | tuple):
        return [_recoloured(each, colours) for each in part]
    return colours.get(part.upper(), part) if isinstance(part, str) and part.startswith("#") else part


def for_column(figure: go.Figure, width_mm: float = COLUMN_MM) -> go.Figure:
    """A figure of the theme `paper` at its width in print: the same picture, every length and letter smaller.

    Args:
        figure: left as it is. Its type is 12 to 14 pixels high, as on screen.
        width_mm: how wide it is printed. Letters and height do not depend on it.

    Returns:
        A figure `width_mm` wide at 96 pixels an inch, so that SVG and PDF have that size, with letters of 7 to 9
        points.
    """
    width = round(width_mm * PIXELS_PER_MM)
    spec = figure.to_plotly_json()
    height = spec["layout"].get("height") or 300
    scaled = _scaled(spec, FACTOR)
    scaled["layout"] |= {"width": width, "height": round(height * FACTOR), "autosize": False}
    return go.Figure(scaled)


def _scaled(part: Any, factor: float, inside: str = "") -> Any:
    if isinstance(part, dict):
        return {key: _value(key, value, factor, inside) for key, value in part.items()}
    if isinstance(part, list | tuple):
        return [_scaled(each, factor, inside) for each in part]
    return part


def _value(key: str, value: Any, factor: float, inside: str) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    length = (
        key in _LENGTHS
        or (key == "size" and inside in _WITH_SIZE)
        or (key == "width" and inside in _WITH_WIDTH)
        or (key in ("l", "r", "t", "b") and inside in _WITH_SIDES)
    )
    if number and length:
        # Plotly takes only whole pixels for some.
        return round(value * factor) if key in _WHOLE else value * factor
    if key == "size" and inside == "marker" and isinstance(value, list | tuple | np.ndarray):
        return [each * factor for each in value]
    return _scaled(value, factor, key)
