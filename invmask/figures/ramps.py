"""Perceptually uniform colour scales: straight lines in OKLab (Ottosson 2020), from pale to vivid.

A scale whose lightness changes steadily can be read by colour-blind readers, in print and on a poor projector.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from invmask.figures.palette import Theme, view_colour

SELECTED_COLOURS: Mapping[Theme, str] = {"light": "#7C3AED", "dark": "#B794F6", "paper": "#7C3AED"}
"""The colour of channels that the defence has selected, in any view."""

RECEDING_COLOURS: Mapping[Theme, str] = {"light": "#E5E7EB", "dark": "#333845", "paper": "#E5E7EB"}
"""The colour of channels that are left alone, by theme."""

_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def oklab(colour: str) -> np.ndarray:
    """A hex colour (``#rrggbb``) in OKLab: lightness in [0, 1], then green-red and blue-yellow; float64 [3]."""
    return _TO_LAB @ np.cbrt(_TO_LMS @ linear(_srgb(colour)))


def linear(channels: np.ndarray) -> np.ndarray:
    """sRGB in [0, 1] as linear light in [0, 1], in any shape."""
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def colour_at(share: float, scale: Sequence[tuple[float, str]]) -> np.ndarray:
    """The colour at `share` in [0, 1] of a plotly scale, as it is drawn; sRGB in [0, 1], float64 [3]."""
    colours = np.array([_srgb(colour) for _, colour in scale])
    return np.array([np.interp(share, [place for place, _ in scale], channel) for channel in colours.T])


def _srgb(colour: str) -> np.ndarray:
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255


def ramp(start: str, end: str, stops: int = 9) -> list[tuple[float, str]]:
    """A plotly colour scale of `stops` colours, evenly spaced in OKLab, from `start` at 0 to `end` at 1."""
    shares = np.linspace(0, 1, stops)
    lab = oklab(start) + shares[:, None] * (oklab(end) - oklab(start))
    return [(float(share), _hex(colour)) for share, colour in zip(shares, lab, strict=True)]


def selection_scale(theme: Theme) -> list[tuple[float, str]]:
    """The scale for the selection 1 - s in [0, 1]: pale if left alone, vivid if selected."""
    return ramp(RECEDING_COLOURS[theme], SELECTED_COLOURS[theme])


def gate_scale(view: str, theme: Theme) -> list[tuple[float, str]]:
    """The scale for the gate of `pruned` or `inverse` in [0, 1]: pale if it passes, the view's colour if it is cut."""
    return ramp(view_colour(view, theme), RECEDING_COLOURS[theme])


def _hex(lab: np.ndarray) -> str:
    linear = np.linalg.solve(_TO_LMS, np.linalg.solve(_TO_LAB, lab) ** 3).clip(0, 1)
    channels = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return "#" + "".join(f"{round(float(c) * 255):02x}" for c in channels)
