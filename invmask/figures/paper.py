"""Figures for print: as wide as one or two columns of a paper, with readable letters."""

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
"""The widths to choose from: `COLUMN_MM` and `PAGE_MM`."""
PIXELS_PER_MM = 96 / 25.4
DRAWN_WIDTH = 420
"""Width in pixels at which a one-column figure is laid out, with letters as on screen, before it is scaled down."""
FACTOR = round(COLUMN_MM * PIXELS_PER_MM) / DRAWN_WIDTH
"""The scale factor, the same for both widths, so that letters have the same height in all figures."""
DRAWN_PAGE = round(PAGE_MM * PIXELS_PER_MM / FACTOR)
"""Width in pixels at which a two-column figure is laid out."""
LETTERS = 12
"""Height of the smallest letters in pixels in the layout: 7 points in print, the smallest readable size."""
DPI = 300

_FONTS = ("font", "tickfont", "textfont", "insidetextfont", "outsidetextfont", "grouptitlefont")
# Properties that are always lengths in pixels. Other properties are in the units of the data or are shares.
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
    """Pixels of the image per pixel of a figure made by `for_column`, at 300 dpi."""
    return DPI / 96


def on_paper(figure: go.Figure) -> go.Figure:
    """A light or dark figure of the screen in the colours of paper; `figure` is left unchanged.

    Colours of the palette and of its ramps are replaced by their counterparts; other colours stay.
    """
    spec = _recoloured(figure.to_plotly_json(), _paper_colours())
    spec["layout"]["template"] = template("paper")
    return go.Figure(spec)


@lru_cache(maxsize=1)
def _paper_colours() -> dict[str, str]:
    """Each colour of the dark and the light theme, in capitals, with its counterpart on paper."""
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
    # One grey may be both neutral and the colour of a view; the first meaning is kept.
    return {old.upper(): new for old, new in reversed(pairs)}


def _recoloured(part: Any, colours: dict[str, str]) -> Any:
    if isinstance(part, dict):
        return {key: _recoloured(value, colours) for key, value in part.items()}
    if isinstance(part, list | tuple):
        return [_recoloured(each, colours) for each in part]
    return colours.get(part.upper(), part) if isinstance(part, str) and part.startswith("#") else part


def for_column(figure: go.Figure, width_mm: float = COLUMN_MM) -> go.Figure:
    """A figure of the theme `paper` scaled to its width in print, with every length and letter smaller.

    Args:
        figure: left unchanged. Its letters are 12 to 14 pixels high, as on screen.
        width_mm: the printed width in millimetres. Letters and height do not depend on it.

    Returns:
        A figure `width_mm` wide at 96 pixels per inch, so that SVG and PDF have this size, with letters of 7 to 9
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
        # Plotly accepts only whole pixels for some properties.
        return round(value * factor) if key in _WHOLE else value * factor
    if key == "size" and inside == "marker" and isinstance(value, list | tuple | np.ndarray):
        return [each * factor for each in value]
    return _scaled(value, factor, key)
