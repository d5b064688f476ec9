"""Tiny images as a figure: a row for each sample, its pictures side by side, and what was said of them beside.

A picture may be numbers instead: a feature map in colours that are even to the eye, or an attribution as a veil over
its image. They stay numbers in the figure, so that they can be taken away with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from invmask.figures.channels import flat_colour_bar
from invmask.figures.network_map import colour_scale
from invmask.figures.palette import NEUTRAL, TEXT, Theme
from invmask.figures.ramps import RECEDING_COLOURS, SELECTED_COLOURS, ramp
from invmask.figures.template import finish

GAP = 0.08
"""Between two pictures, as a share of a picture's side."""
SIDE = 76
"""Height of a row in pixels, where there is room for it."""
WORDS = 2.5
"""Room for the words, in pictures."""
WIDTH = 412
"""Pixels between the margins of a figure for one column."""
TITLES, BAR = 24, 54
"""Pixels over the pictures for the columns' titles, and over these for the colour bar."""
VEIL = 0.75
"""How thick a veil is where its number is highest."""


@dataclass(frozen=True)
class Heat:
    """Numbers as a picture.

    Attributes:
        values: float [h, w].
        over: the image that they lie over as a veil, uint8 [H, W, 3]; then each picture has its own scale, from 0 to
            the number that one place in a hundred exceeds. Without it all of a figure have one, about 0.
    """

    values: np.ndarray
    over: np.ndarray | None = None


Tile = np.ndarray | Heat
"""A picture: uint8 [H, W, 3], or numbers."""


@dataclass(frozen=True)
class PictureRow:
    """One sample.

    Attributes:
        title: over what is said, such as its true class.
        pictures: as many as there are columns; the first of them is an image, uint8 [H, W, 3] or, grey, [H, W, 1].
        lines: what is said of them, one line each.
    """

    title: str
    pictures: Sequence[Tile]
    lines: Sequence[str]


def picture_rows(
    rows: Sequence[PictureRow], columns: Sequence[str], theme: Theme, numbers: str | None = None
) -> go.Figure:
    """All rows under the columns' titles; pixels are drawn crisp, each as one square.

    Args:
        columns: a title for each picture of a row.
        numbers: what `Heat` without an image shows, with its unit: the title of their colour bar.
    """
    figure = go.Figure()
    assert isinstance(rows[0].pictures[0], np.ndarray)
    side = rows[0].pictures[0].shape[0]
    step = side * (1 + GAP)
    for number, row in enumerate(rows):
        for column, picture in enumerate(row.pictures):
            name = f"{row.title}, {columns[column]} ({number + 1}.{column + 1})"
            figure.add_traces(_traces(picture, name, column * step, number * step, side, theme))
        figure.add_annotation(
            text="<br>".join([f"<b>{row.title}</b>", *row.lines]),
            x=len(columns) * step,
            y=number * step + side / 2,
            xanchor="left",
            yanchor="middle",
            align="left",
            showarrow=False,
            font={"size": 12, "color": TEXT[theme]},
        )
    for column, title in enumerate(columns):
        figure.add_annotation(
            text=title,
            x=column * step + side / 2,
            y=0,
            yanchor="bottom",
            yshift=3,
            showarrow=False,
            font={"size": 12, "color": NEUTRAL[theme]},
        )
    figure.update_xaxes(
        range=[0, step * (len(columns) + WORDS)],
        visible=False,
        constrain="domain",
        constraintoward="left",
        fixedrange=True,
    )
    figure.update_yaxes(
        range=[len(rows) * step, 0],
        visible=False,
        scaleanchor="x",
        constrain="domain",
        constraintoward="top",
        fixedrange=True,
    )
    top, height = TITLES, round(min(SIDE, WIDTH / (len(columns) + WORDS)) * len(rows))
    if numbers is not None:
        top += BAR
        figure.update_layout(coloraxis=_shared_scale(rows, numbers, 1 + TITLES / height, theme))
    figure.update_layout(margin={"l": 4, "r": 4, "t": top, "b": 4}, showlegend=False)
    return finish(figure, theme, top + 4 + height)


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
    # Plotly knows no grey pictures.
    colours = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    return go.Image(name=name, z=colours.tolist(), x0=left + 0.5, y0=top + 0.5, hoverinfo="skip", zsmooth=False)


def veil_limit(values: np.ndarray) -> float:
    """The number, above 0, from which on a veil has its full colour: one place in a hundred exceeds it."""
    limit = float(np.quantile(values, 0.99))
    return limit if limit > 0 else max(float(values.max()), 1e-12)


def _veil(theme: Theme) -> list[tuple[float, str]]:
    """From nothing to the strongest colour."""
    scale = []
    for place, colour in ramp(RECEDING_COLOURS[theme], SELECTED_COLOURS[theme], 9):
        red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
        scale.append((place, f"rgba({red},{green},{blue},{VEIL * place:.3f})"))
    return scale


def _shared_scale(rows: Sequence[PictureRow], title: str, bottom: float, theme: Theme) -> dict[str, object]:
    every = [abs(p.values).max() for row in rows for p in row.pictures if isinstance(p, Heat) and p.over is None]
    limit = float(max(every, default=0.0)) or 1.0
    words = [f"{value:.3g}".replace("-", "−") for value in (-limit, 0.0, limit)]
    bar = flat_colour_bar(title, [-limit, 0.0, limit], words, 0.62) | {"x": 0.07, "y": bottom, "ypad": 2}
    return {"cmin": -limit, "cmax": limit, "colorscale": colour_scale("signed", theme), "colorbar": bar}
