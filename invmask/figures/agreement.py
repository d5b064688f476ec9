"""Rank correlations between several numbers about the same channels, as a square of numbers."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from invmask.figures.network_map import colour_scale
from invmask.figures.palette import TEXT, Theme
from invmask.figures.template import finish

LEAST_ROWS = 3
"""The colour bar needs room for its title."""


def agreement_matrix(names: Sequence[str], correlations: np.ndarray, theme: Theme) -> go.Figure:
    """The lower half of the matrix: each pair once, in colour and as a number with two decimals.

    Args:
        names: K of them, short.
        correlations: float [K, K] in [-1, 1]; NaN where there is none.
    """
    shown = np.where(np.tril(np.ones_like(correlations), -1) > 0, correlations, np.nan)[1:, :-1]
    words = [["" if np.isnan(value) else f"{value:+.2f}".replace("-", "−") for value in row] for row in shown]
    figure = go.Figure(
        go.Heatmap(
            z=shown,
            x=list(names[:-1]),
            y=list(names[1:]),
            zmin=-1,
            zmax=1,
            colorscale=colour_scale("signed", theme),
            text=words,
            texttemplate="%{text}",
            textfont={"size": 13},
            xgap=2,
            ygap=2,
            hoverongaps=False,
            hovertemplate="%{y} and %{x}<br>rank correlation %{z:.2f}<extra></extra>",
            colorbar={
                "title": {"text": "rank correlation", "side": "right", "font": {"size": 13}},
                "thickness": 8,
                "outlinewidth": 0,
                "tickvals": [-1, 0, 1],
                "ticks": "",
                "tickfont": {"size": 12},
            },
        )
    )
    still = {"showgrid": False, "showline": False, "zeroline": False, "ticks": "", "fixedrange": True}
    figure.update_xaxes(tickangle=-32, tickfont={"size": 12}, **still)
    figure.update_yaxes(autorange="reversed", tickfont={"size": 12}, **still)
    figure.update_layout(font={"color": TEXT[theme]}, margin={"l": 136, "r": 8, "t": 8, "b": 84})
    return finish(figure, theme, 92 + 40 * max(LEAST_ROWS, len(names) - 1))
