"""A measure of many cases as clickable squares: a row a victim, a column a data budget."""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from invmask.figures.channels import flat_colour_bar
from invmask.figures.network_map import colour_scale
from invmask.figures.palette import TEXT, Theme
from invmask.figures.ramps import RECEDING_COLOURS
from invmask.figures.template import finish

SIDE = 40
PITCH = 46
ACROSS = 64
LEAST = 6
"""Columns that there is room for at least: the colour bar needs it."""


@dataclass(frozen=True)
class GridCell:
    """One square.

    Attributes:
        row, column: names.
        share: in [0, 1]; None where there is no result.
        hover: what it stands for, in a line or more.
    """

    row: str
    column: str
    share: float | None
    hover: str


def grid_map(cells: Sequence[GridCell], title: str, theme: Theme) -> go.Figure:
    """Squares with their share in per cent, in the order of `cells`, so that a click's point number is the cell.

    Args:
        cells: rows and columns appear in the order in which they come first.
        title: what the shares are.
    """
    rows = list(dict.fromkeys(cell.row for cell in cells))
    columns = list(dict.fromkeys(cell.column for cell in cells))
    shares = [0.0 if cell.share is None else cell.share for cell in cells]
    figure = go.Figure()
    figure.add_scatter(
        name=title,
        x=[columns.index(cell.column) for cell in cells],
        y=[rows.index(cell.row) for cell in cells],
        mode="markers+text",
        marker={
            "symbol": "square",
            "size": SIDE,
            "color": [round(100 * share, 2) for share in shares],
            "opacity": [0.35 if cell.share is None else 1.0 for cell in cells],
            "colorscale": colour_scale("amount", theme),
            "cmin": 0,
            "cmax": 100,
            "line": {"width": 1, "color": RECEDING_COLOURS[theme]},
            "colorbar": flat_colour_bar(title, [0, 50, 100], ["0 %", "50 %", "100 %"], 0.92),
        },
        text=["–" if cell.share is None else f"{100 * cell.share:.0f}" for cell in cells],
        textfont={"size": 13, "color": [_ink(cell.share, theme) for cell in cells]},
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 1}},
        hovertext=[cell.hover for cell in cells],
        hovertemplate="%{hovertext}<extra></extra>",
    )
    still = {"showgrid": False, "zeroline": False, "showline": False, "ticks": "", "fixedrange": True}
    figure.update_xaxes(
        title={"text": "SPC, clean images a class", "standoff": 8},
        range=[-0.5, max(len(columns), LEAST) - 0.5],
        tickvals=list(range(len(columns))),
        ticktext=columns,
        **still,
    )
    figure.update_yaxes(
        range=[len(rows) - 0.4, -0.6], tickvals=list(range(len(rows))), ticktext=rows, tickfont={"size": 12}, **still
    )
    margin = {"l": 24 + round(6.6 * max(map(len, rows))), "r": 24, "t": 62, "b": 52}
    figure.update_layout(
        # As wide as its squares need, so that they stand together.
        width=margin["l"] + ACROSS * max(len(columns), LEAST) + margin["r"],
        showlegend=False,
        dragmode=False,
        clickmode="event+select",
        margin=margin,
        font={"color": TEXT[theme]},
    )
    return finish(figure, theme, margin["t"] + margin["b"] + PITCH * len(rows))


def _ink(share: float | None, theme: Theme) -> str:
    """Of the number on a square: what is legible on its colour."""
    full = share is not None and share > 0.5
    if theme == "dark":
        return "#111827" if full else TEXT["dark"]
    return "#FFFFFF" if full else TEXT[theme]
