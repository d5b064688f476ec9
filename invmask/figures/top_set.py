"""A measure with the highest-scored channels cut, beside random sets of as many from the same layers."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from invmask.figures.palette import NEUTRAL, Theme, view_colour
from invmask.figures.template import finish

HEIGHT = 150


def top_set_strip(
    measure: str, top: float, random: Sequence[float], original: float, size: int, n: int, theme: Theme
) -> go.Figure:
    """Three rows on one axis from 0 to 100 %: nothing cut, each random set, and the highest-scored set.

    Args:
        measure: its short name, ASR or ACC.
        top, random, original: shares in [0, 1].
        size: channels in each set.
        n: images behind each share.
    """
    blue, grey = view_colour("pruned", theme), NEUTRAL[theme]
    rows = (
        (f"top {size} by score", [top], "square", blue, 12),
        (f"{len(random)} random sets", list(random), "circle-open", grey, 9),
        ("nothing cut", [original], "diamond", view_colour("original", theme), 10),
    )
    figure = go.Figure()
    for place, (name, shares, symbol, colour, side) in enumerate(rows):
        figure.add_scatter(
            name=name,
            x=100 * np.asarray(shares, np.float64),
            y=[place] * len(shares),
            mode="markers",
            marker={"symbol": symbol, "size": side, "color": colour, "line": {"width": 1.5, "color": colour}},
            cliponaxis=False,
            hovertemplate=f"{name}<br>{measure} %{{x:.1f}} %<extra></extra>",
        )
    figure.update_yaxes(
        tickvals=[0, 1, 2], ticktext=[row[0] for row in rows], range=[2.6, -0.6], showgrid=False, fixedrange=True
    )
    # A marker at the left end reaches out to the words.
    figure.update_yaxes(zeroline=False, ticks="", tickfont={"size": 13}, ticklabelstandoff=8)
    figure.update_xaxes(range=[0, 101], ticksuffix=" %", fixedrange=True, zeroline=False)
    figure.update_xaxes(title_text=f"{measure}, n = {n:,}")
    figure.update_layout(showlegend=False, margin={"l": 132, "r": 26, "t": 8, "b": 46})
    return finish(figure, theme, HEIGHT)
