"""How many of the highest-scored channels are also highest by each kind of evidence, compared with chance."""

from collections.abc import Mapping
from dataclasses import dataclass

import plotly.graph_objects as go

from invmask.figures.palette import NEUTRAL, TEXT, Theme, view_colour
from invmask.figures.template import finish

ROW_HEIGHT = 34


@dataclass(frozen=True)
class Shared:
    """The overlap of the top channels of two rankings.

    Attributes:
        shared: number of channels at the top of both.
        chance: the number expected by chance.
        most: the number that chance exceeds in at most 1 % of cases.
    """

    shared: int
    chance: float
    most: int


def shared_tops(rows: Mapping[str, Shared], size: int, theme: Theme) -> go.Figure:
    """One row per kind of evidence: the number of channels shared with the score, on an axis from 0 to `size`.

    Args:
        rows: the overlaps by the evidence's short name.
        size: number of channels at the top of each ranking.
    """
    names, values = list(rows), list(rows.values())
    places = list(range(len(names)))
    grey, blue = NEUTRAL[theme], view_colour("pruned", theme)
    figure = go.Figure()
    figure.add_bar(
        name="by chance, in 99 of 100 cases",
        orientation="h",
        base=[0.0] * len(names),
        x=[each.most for each in values],
        y=places,
        width=0.5,
        marker={"color": grey, "opacity": 0.3, "line": {"width": 0}},
        hovertemplate="by chance at most %{x} in 99 of 100 cases<extra></extra>",
    )
    figure.add_scatter(
        name="by chance, mean",
        x=[round(each.chance, 2) for each in values],
        y=places,
        mode="markers",
        marker={"symbol": "line-ns-open", "size": 16, "color": grey, "line": {"width": 2}},
        hovertemplate="by chance %{x:.1f}<extra></extra>",
    )
    figure.add_scatter(
        name="shared with the score",
        x=[each.shared for each in values],
        y=places,
        mode="markers+text",
        marker={"symbol": "square", "size": 12, "color": blue},
        text=[f"  {each.shared}" for each in values],
        textposition="middle right",
        textfont={"size": 14, "color": blue},
        cliponaxis=False,
        hovertemplate="%{x} shared<extra></extra>",
    )
    figure.update_yaxes(
        tickvals=places, ticktext=names, range=[len(names) - 0.4, -0.6], showgrid=False, fixedrange=True, ticks=""
    )
    figure.update_yaxes(zeroline=False, tickfont={"size": 13, "color": TEXT[theme]}, ticklabelstandoff=10)
    figure.update_xaxes(range=[-0.02 * size, 1.06 * size], fixedrange=True, zeroline=False)
    figure.update_xaxes(title_text=f"channels in the top {size} by score and in this row's top {size}")
    figure.update_layout(showlegend=False, margin={"l": 152, "r": 16, "t": 8, "b": 46})
    return finish(figure, theme, 56 + ROW_HEIGHT * max(2, len(names)))
