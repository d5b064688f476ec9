"""Tiny images as a figure: a row for each sample, its pictures side by side, and what was said of them beside."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from invmask.figures.palette import NEUTRAL, TEXT, Theme
from invmask.figures.template import finish

GAP = 0.08
"""Between two pictures, as a share of a picture's side."""
SIDE = 76
"""Height of a row in pixels."""


@dataclass(frozen=True)
class PictureRow:
    """One sample.

    Attributes:
        title: over what is said, such as its true class.
        pictures: uint8 [H, W, 3], or [H, W, 1] for grey ones; as many as there are columns.
        lines: what is said of them, one line each.
    """

    title: str
    pictures: Sequence[np.ndarray]
    lines: Sequence[str]


def picture_rows(rows: Sequence[PictureRow], columns: Sequence[str], theme: Theme) -> go.Figure:
    """All rows under the columns' titles; pixels are drawn crisp, each as one square.

    Args:
        columns: a title for each picture of a row.
    """
    figure = go.Figure()
    side = rows[0].pictures[0].shape[0]
    step = side * (1 + GAP)
    for number, row in enumerate(rows):
        for column, picture in enumerate(row.pictures):
            figure.add_trace(
                go.Image(
                    name=f"{row.title}, {columns[column]} ({number + 1})",
                    # Plotly knows no grey pictures.
                    z=np.broadcast_to(picture, (*picture.shape[:2], 3)).tolist(),
                    x0=column * step + 0.5,
                    y0=number * step + 0.5,
                    hoverinfo="skip",
                    zsmooth=False,
                )
            )
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
    # Room for the words: about as much as two pictures and a half.
    figure.update_xaxes(
        range=[0, step * (len(columns) + 2.5)],
        visible=False,
        constrain="domain",
        constraintoward="left",
        fixedrange=True,
    )
    figure.update_yaxes(range=[len(rows) * step, 0], visible=False, scaleanchor="x", fixedrange=True)
    figure.update_layout(margin={"l": 4, "r": 4, "t": 26, "b": 4}, showlegend=False)
    return finish(figure, theme, 30 + SIDE * len(rows))
