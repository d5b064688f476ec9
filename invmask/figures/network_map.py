"""All layers and channels of a network as clickable squares, coloured by any number."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import plotly.graph_objects as go

from invmask.figures.channels import LAYER_GAP, ROW_HEIGHT, Layer, cell_places, short_names
from invmask.figures.colour_bar import flat_colour_bar
from invmask.figures.lettering import room_for, shortened
from invmask.figures.palette import SEQUENCE, TEXT, Theme
from invmask.figures.paper import DRAWN_PAGE, DRAWN_WIDTH, LETTERS
from invmask.figures.ramps import RECEDING_COLOURS, SELECTED_COLOURS, ramp
from invmask.figures.template import finish

COLUMNS, WIDE_COLUMNS = 32, 64
"""Squares per row; the second number is for two columns of a paper."""
SIDE = 9
FILLED = 0.86
"""The largest share of the distance between squares that a square fills."""
RIGHT = 8
LEAST_MAP = 140
"""Minimum width of the squares on paper, in pixels; for it, names of more than about forty letters are shortened."""
Scale = Literal["fraction", "amount", "signed"]


@dataclass(frozen=True)
class ChannelValues:
    """A number for each channel of a network.

    Attributes:
        values: float [channels]; NaN where not known.
        title: the name of the number, with its unit.
        scale: a fraction in [0, 1], an amount from 0 up, or signed.
        digits: number of decimals.
        n, of: number and kind of images that the number is a mean over; None if it does not come from images.
    """

    values: np.ndarray
    title: str
    scale: Scale = "fraction"
    digits: int = 2
    n: int | None = None
    of: str = "test images"

    @property
    def sample(self) -> str:
        """`n = 90 test images`; empty if the number does not come from images."""
        return "" if self.n is None else f"n\u00a0=\u00a0{self.n:,} {self.of}"

    @property
    def limits(self) -> tuple[float, float]:
        """The ends of the colour scale. 1 % of channels may be beyond them, so that the others can be distinguished."""
        known = self.values[np.isfinite(self.values)]
        if self.scale == "fraction" or not len(known):
            return 0.0, 1.0
        end = float(np.quantile(np.abs(known), 0.99)) or float(np.abs(known).max()) or 1.0
        return (0.0, end) if self.scale == "amount" else (-end, end)


def network_map(
    layers: Sequence[Layer],
    values: ChannelValues,
    theme: Theme,
    picked: Sequence[int] = (),
    cut: Sequence[int] = (),
    restored: Sequence[int] = (),
    wide: bool = False,
) -> go.Figure:
    """One square per channel; a layer takes as many rows as it needs.

    Args:
        picked: channels with a frame around them.
        cut: channels with a cross, which are cut.
        restored: channels with a dot, which were restored by hand.
        wide: for two columns of a paper.

    The points of the first trace are the channels in order, so a click's point number is the channel.
    """
    columns = WIDE_COLUMNS if wide else COLUMNS
    x, y, centres, bottom = cell_places(layers, columns)
    x, y = x + 0.5, y + 0.5
    names = [f"{name} · {layer.channels}" for name, layer in zip(short_names(layers), layers, strict=True)]
    across = (DRAWN_PAGE if wide else DRAWN_WIDTH) - RIGHT
    if theme == "paper":
        names = [shortened(name, across - LEAST_MAP, LETTERS) for name in names]
    left, side = room_for(names, LETTERS), float(SIDE)
    if theme == "paper":
        # Names are written in full, and squares get the remaining room.
        side = min(side, FILLED * (across - left) / (columns + 0.4))
    low, high = values.limits
    known = np.isfinite(values.values)
    figure = go.Figure()
    figure.add_scatter(
        name="channels",
        x=x,
        y=y,
        mode="markers",
        marker={
            "symbol": "square",
            "size": side,
            "color": np.where(known, values.values, 0.0).round(4),
            "opacity": np.where(known, 1.0, 0.35),
            "colorscale": colour_scale(values.scale, theme),
            "cmin": low,
            "cmax": high,
            "line": {"width": 0},
            "colorbar": _colour_bar(values, low, high),
        },
        # A click opens a channel; it must not be a selection that dims the others.
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 1}},
        hovertext=_hover(layers, values),
        hovertemplate="%{hovertext}<extra></extra>",
    )
    marks: tuple[tuple[str, Sequence[int], str, float], ...] = (
        ("picked", picked, "square-open", side + 4),
        ("cut now", cut, "x-thin-open", max(3.0, side - 2)),
        ("restored by hand", restored, "circle", max(2.0, side - 4)),
    )
    for name, channels, symbol, size in marks:
        places = list(channels)
        figure.add_scatter(
            name=name,
            x=x[places],
            y=y[places],
            mode="markers",
            hoverinfo="skip",
            marker={"symbol": symbol, "size": size, "color": TEXT[theme], "line": {"width": 2, "color": TEXT[theme]}},
        )
    still = {"showgrid": False, "zeroline": False, "showline": False, "fixedrange": True}
    figure.update_xaxes(range=[-0.2, columns + 0.2], visible=False, fixedrange=True)
    figure.update_yaxes(
        range=[bottom - LAYER_GAP + 0.2, -0.2],
        tickvals=centres,
        ticktext=names,
        tickfont={"size": LETTERS},
        ticks="",
        **still,
    )
    figure.update_layout(
        showlegend=False,
        dragmode=False,
        clickmode="event+select",
        margin={"l": left, "r": RIGHT, "t": 58, "b": 8},
    )
    return finish(figure, theme, 66 + round(ROW_HEIGHT * bottom))


def colour_scale(scale: Scale, theme: Theme) -> list[tuple[float, str]]:
    """Violet for the run's own values, as on the other pages; teal for evidence, and magenta for negative evidence."""
    rest, teal, magenta = RECEDING_COLOURS[theme], SEQUENCE[theme][0], SEQUENCE[theme][3]
    if scale == "fraction":
        return ramp(rest, SELECTED_COLOURS[theme])
    if scale == "amount":
        return ramp(rest, teal)
    left, right = ramp(magenta, rest, 5), ramp(rest, teal, 5)
    return [(place / 2, colour) for place, colour in left] + [(0.5 + place / 2, colour) for place, colour in right[1:]]


def _hover(layers: Sequence[Layer], values: ChannelValues) -> list[str]:
    texts = []
    for layer, name in zip(layers, short_names(layers), strict=True):
        for number in range(layer.channels):
            value = values.values[layer.offset + number]
            said = f"{value:.{values.digits}f}" if np.isfinite(value) else "not known yet"
            texts.append(f"<b>{name}</b>, channel {number}<br>{values.title}: {said}")
    return texts


def _colour_bar(values: ChannelValues, low: float, high: float) -> dict[str, object]:
    ticks = [low, (low + high) / 2, high]
    beyond = "" if values.scale == "fraction" else "≥ "
    words = [f"{tick:.{values.digits}f}".replace("-", "−") for tick in ticks]
    words[2] = beyond + words[2]
    if values.scale == "signed":
        words[0] = f"≤ {words[0]}"
    return flat_colour_bar(values.title, ticks, words, 0.92)
