"""Tiny images as a figure: a row for each sample, with its pictures side by side and text beside them.

A picture may consist of numbers: a feature map in perceptually uniform colours, or an attribution as a translucent
layer over its image (a veil). The figure keeps the numbers, so that they can be exported.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from invmask.figures.colour_bar import flat_colour_bar
from invmask.figures.lettering import LINE, shortened, text_width
from invmask.figures.network_map import colour_scale
from invmask.figures.palette import NEUTRAL, TEXT, Theme
from invmask.figures.paper import DRAWN_PAGE, DRAWN_WIDTH, LETTERS
from invmask.figures.ramps import RECEDING_COLOURS, SELECTED_COLOURS, ramp
from invmask.figures.template import finish

GAP = 0.08
"""Gap between two pictures, as a share of a picture's side."""
SIDE, LEAST_SIDE = 76, 40
"""Distance from one picture to the next in pixels: usually, and at least (if the words are long)."""
MARGIN = 4
WIDE_SIDE = 150
"""Like `SIDE`, for few rows across two columns of a paper."""
BETWEEN = 26
"""Gap in pixels between two blocks of rows side by side."""
FRAME = 0.75
"""Width in pixels of the line around each picture, which keeps white corners visible on white paper."""
BESIDE = 4
"""Pixels between the last picture's gap and the words; also the minimum between two column titles."""
TITLES, BAR = 24, 54
"""Height in pixels of the column titles above the pictures, and of the colour bar above the titles."""
VEIL = 0.75
"""Opacity of a veil where its number is highest."""


@dataclass(frozen=True)
class Heat:
    """Numbers as a picture.

    Attributes:
        values: float [h, w].
        over: the image under the veil, uint8 [H, W, 3]; then each picture has its own scale, from 0 to its 99th
            percentile. If None, all such pictures of a figure share one scale, symmetric about 0.
    """

    values: np.ndarray
    over: np.ndarray | None = None


Tile = np.ndarray | Heat
"""A picture: uint8 [H, W, 3], or numbers."""


@dataclass(frozen=True)
class PictureRow:
    """One sample.

    Attributes:
        title: heading of the text, such as the true class.
        pictures: one per column; the first is an image, uint8 [H, W, 3] or, for grey images, [H, W, 1].
        lines: the lines of text beside the pictures.
    """

    title: str
    pictures: Sequence[Tile]
    lines: Sequence[str]


def picture_rows(
    rows: Sequence[PictureRow], columns: Sequence[str], theme: Theme, numbers: str | None = None, wide: bool = False
) -> go.Figure:
    """All rows under the columns' titles. Each pixel is drawn as a sharp square, with a thin frame around each picture.

    The text gets the room of its longest line, and pictures shrink for it down to `LEAST_SIDE`. Lines that are still
    too long are shortened in the middle. Column titles that would touch alternate between two lines.

    Args:
        columns: a title for each picture of a row.
        numbers: title of the colour bar for `Heat` pictures without an image: what they show, with its unit.
        wide: for two columns of a paper: rows are in two blocks side by side; one row or three rows stay in one block
            with larger pictures.
    """
    figure = go.Figure()
    blocks = 2 if wide and (len(rows) > 3 or len(rows) == 2) else 1
    high = -(-len(rows) // blocks)
    across_all = (DRAWN_PAGE if wide else DRAWN_WIDTH) - 2 * MARGIN
    width = (across_all - (blocks - 1) * BETWEEN) / blocks
    assert isinstance(rows[0].pictures[0], np.ndarray)
    side = rows[0].pictures[0].shape[0]
    step = side * (1 + GAP)
    room, across, down = _layout(rows, len(columns), width, WIDE_SIDE if wide and blocks == 1 else SIDE)
    # From here on, the unit is a pixel of the pictures.
    row_step, block_step = step * down / across, step * (width + BETWEEN) / across
    frames = []
    for number, row in enumerate(rows):
        left, top = number // high * block_step, number % high * row_step
        for column, picture in enumerate(row.pictures):
            name = f"{row.title}, {columns[column]} ({number + 1}.{column + 1})"
            figure.add_traces(_traces(picture, name, left + column * step, top, side, theme))
            frames.append(frame(left + column * step, top, side, theme))
        lines = [shortened(line, room, LETTERS) for line in row.lines]
        figure.add_annotation(
            text="<br>".join([f"<b>{shortened(row.title, room, LETTERS, bold=True)}</b>", *lines]),
            x=left + len(columns) * step,
            y=top + side / 2,
            xanchor="left",
            xshift=BESIDE,
            yanchor="middle",
            align="left",
            showarrow=False,
            font={"size": LETTERS, "color": TEXT[theme]},
        )
    raised = _raised(columns, across)
    for place, title in enumerate(list(columns) * blocks):
        column = place % len(columns)
        figure.add_annotation(
            text=title,
            x=place // len(columns) * block_step + column * step + side / 2,
            # Shifted so that no title begins left of the figure.
            xshift=max(0.0, text_width(title, LETTERS) / 2 - (column + 0.5) * across),
            y=0,
            yanchor="bottom",
            yshift=3 + LETTERS * LINE * (column in raised),
            showarrow=False,
            font={"size": LETTERS, "color": NEUTRAL[theme]},
        )
    figure.update_xaxes(
        range=[0, step * across_all / across],
        visible=False,
        constrain="domain",
        constraintoward="left",
        fixedrange=True,
    )
    figure.update_yaxes(
        # The text of the first and the last row may be higher than its pictures.
        range=[high * row_step - (row_step - step) / 2, (step - row_step) / 2],
        visible=False,
        scaleanchor="x",
        constrain="domain",
        constraintoward="top",
        fixedrange=True,
    )
    titles, height = TITLES + round(LETTERS * LINE) * bool(raised), round(down * high)
    top = titles
    if numbers is not None:
        top += BAR
        scale = _shared_scale(rows, numbers, 1 + titles / height, DRAWN_WIDTH / across_all, theme)
        figure.update_layout(coloraxis=scale)
    figure.update_layout(shapes=frames)
    figure.update_layout(margin={"l": MARGIN, "r": MARGIN, "t": top, "b": MARGIN}, showlegend=False)
    return finish(figure, theme, top + MARGIN + height)


def frame(left: float, top: float, side: float, theme: Theme) -> dict[str, object]:
    """The thin neutral line around a picture, as a shape of the figure."""
    line = {"color": NEUTRAL[theme], "width": FRAME}
    return {"type": "rect", "x0": left, "x1": left + side, "y0": top, "y1": top + side, "line": line}


def _layout(rows: Sequence[PictureRow], columns: int, width: float, side: float) -> tuple[float, float, float]:
    """Width of the text, and distances between pictures and between rows, in pixels, for a block of this width."""
    longest = max(
        max(text_width(row.title, LETTERS, bold=True), *(text_width(line, LETTERS) for line in row.lines), 0)
        for row in rows
    )
    across = max(min(side, (width - BESIDE - longest) / columns), LEAST_SIDE)
    lines = 1 + max(len(row.lines) for row in rows)
    return width - BESIDE - columns * across, across, max(across, lines * LETTERS * LINE + 2 * BESIDE)


def _raised(columns: Sequence[str], across: float) -> set[int]:
    """The columns whose titles are a line higher: every other column, if titles would touch each other or the text."""
    widths = [text_width(title, LETTERS) for title in columns]
    touch = any((one + other) / 2 + BESIDE > across for one, other in itertools.pairwise(widths))
    last = len(columns) - 1
    return set(range(last % 2, last + 1, 2)) if touch or widths[last] > across + BESIDE else set()


def _traces(picture: Tile, name: str, left: float, top: float, side: int, theme: Theme) -> list[go.Image | go.Heatmap]:
    if isinstance(picture, np.ndarray):
        return [_image(picture, name, left, top)]
    height, width = picture.values.shape
    heat = go.Heatmap(
        name=name,
        z=np.asarray(picture.values, np.float64).round(6).tolist(),
        x0=left + side / width / 2,
        dx=side / width,
        y0=top + side / height / 2,
        dy=side / height,
        zsmooth=False,
        hovertemplate="%{z:.3g}<extra></extra>",
    )
    if picture.over is None:
        return [heat.update(coloraxis="coloraxis")]
    heat.update(zmin=0, zmax=veil_limit(picture.values), colorscale=_veil(theme), showscale=False)
    grey = picture.over.mean(-1, keepdims=True).repeat(3, -1).round().astype(np.uint8)
    return [_image(grey, f"{name}, image", left, top), heat]


def _image(pixels: np.ndarray, name: str, left: float, top: float) -> go.Image:
    # Plotly cannot draw grey pictures, so the channel is repeated.
    colours = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    return go.Image(name=name, z=colours.tolist(), x0=left + 0.5, y0=top + 0.5, hoverinfo="skip", zsmooth=False)


def veil_limit(values: np.ndarray) -> float:
    """The number, above 0, from which a veil has its full colour: the 99th percentile."""
    limit = float(np.quantile(values, 0.99))
    return limit if limit > 0 else max(float(values.max()), 1e-12)


def _veil(theme: Theme) -> list[tuple[float, str]]:
    """The colour scale of a veil, from transparent to the strongest colour."""
    scale = []
    for place, colour in ramp(RECEDING_COLOURS[theme], SELECTED_COLOURS[theme], 9):
        red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
        scale.append((place, f"rgba({red},{green},{blue},{VEIL * place:.3f})"))
    return scale


def _shared_scale(
    rows: Sequence[PictureRow], title: str, bottom: float, share: float, theme: Theme
) -> dict[str, object]:
    """The shared colour bar. `share` is the width of one column of a paper as a share of the figure's width."""
    every = [abs(p.values).max() for row in rows for p in row.pictures if isinstance(p, Heat) and p.over is None]
    limit = float(max(every, default=0.0)) or 1.0
    words = [f"{value:.3g}".replace("-", "−") for value in (-limit, 0.0, limit)]
    bar = flat_colour_bar(title, [-limit, 0.0, limit], words, 0.62 * share) | {
        "x": 0.07 * share,
        "y": bottom,
        "ypad": 2,
    }
    return {"cmin": -limit, "cmax": limit, "colorscale": colour_scale("signed", theme), "colorbar": bar}
