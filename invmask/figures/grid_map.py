"""Measures of many cases as clickable cells: one row per victim, one column per data budget."""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from invmask.figures.lettering import room_for
from invmask.figures.network_map import colour_scale
from invmask.figures.palette import TEXT, Theme
from invmask.figures.ramps import colour_at, linear
from invmask.figures.template import finish, panel_title

PITCH = 34
GAP = 0.06
"""Gap between cells, as a share of a cell."""


@dataclass(frozen=True)
class GridCell:
    """One victim at one data budget.

    Attributes:
        row: the victim's name.
        spc: clean images per class.
        shares: one share in [0, 1] per measure; None without a result.
        hovers: the hover text of each measure, in one or more lines.
    """

    row: str
    spc: int
    shares: tuple[float | None, ...]
    hovers: tuple[str, ...]


def grid_map(cells: Sequence[GridCell], measures: Sequence[str], theme: Theme, chosen: int | None = None) -> go.Figure:
    """One panel per measure. Cells are coloured by their shares and carry the number in per cent.

    The points of every trace are the `cells` in order, so a click's point number is the index of the cell.

    Args:
        cells: rows are in the order of their first cell, budgets in the order of size.
        measures: titles of the panels as HTML, in the order of a cell's `shares`.
        chosen: the cell with a frame around it.
    """
    rows = list(dict.fromkeys(cell.row for cell in cells))
    budgets = sorted({cell.spc for cell in cells})
    figure = make_subplots(rows=1, cols=len(measures), shared_yaxes=True, horizontal_spacing=0.025)
    still = {"showgrid": False, "zeroline": False, "showline": False, "ticks": "", "fixedrange": True}
    for place, title in enumerate(measures):
        shares = [cell.shares[place] for cell in cells]
        # Bars instead of a heatmap, because Streamlit reports no clicks on heatmaps.
        figure.add_bar(
            name=title,
            # The position and length of bars are layout; the saved table has the values behind them.
            meta={
                "victim": [cell.row for cell in cells],
                "SPC": [cell.spc for cell in cells],
                "share, %": [None if share is None else round(100 * share, 2) for share in shares],
            },
            orientation="h",
            base=[budgets.index(cell.spc) - 0.5 + GAP / 2 for cell in cells],
            x=[1 - GAP for _ in cells],
            y=[rows.index(cell.row) for cell in cells],
            width=1 - GAP,
            marker={
                "color": [0.0 if share is None else round(100 * share, 2) for share in shares],
                "colorscale": colour_scale("amount", theme),
                "cmin": 0,
                "cmax": 100,
                "opacity": [0.35 if share is None else 1.0 for share in shares],
                "line": {"color": TEXT[theme], "width": [2 * (index == chosen) for index in range(len(cells))]},
            },
            text=["–" if share is None else f"{100 * share:.0f}" for share in shares],
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            constraintext="none",
            insidetextfont={"size": 13, "color": [ink(share, theme) for share in shares]},
            selected={"marker": {"opacity": 1}},
            unselected={"marker": {"opacity": 1}},
            hovertext=[cell.hovers[place] for cell in cells],
            hovertemplate="%{hovertext}<extra></extra>",
            row=1,
            col=place + 1,
        )
        panel_title(figure, title, 2, str(place + 1) if place else "", theme)
    figure.update_xaxes(
        range=[-0.5, len(budgets) - 0.5],
        tickvals=list(range(len(budgets))),
        ticktext=[f"{spc:,}" for spc in budgets],
        **still,
    )
    figure.update_xaxes(
        title={"text": "SPC, clean images a class; cells in %", "standoff": 8}, col=1 + (len(measures) - 1) // 2, row=1
    )
    figure.update_yaxes(
        range=[len(rows) - 0.5, -0.5],
        tickvals=list(range(len(rows))),
        ticktext=rows,
        tickfont={"size": 13},
        ticklabelstandoff=4,
        **still,
    )
    margin = {"l": 10 + room_for(rows, 13), "r": 8, "t": 28, "b": 52}
    figure.update_layout(
        showlegend=False,
        barmode="overlay",
        dragmode=False,
        clickmode="event+select",
        margin=margin,
        font={"color": TEXT[theme]},
    )
    return finish(figure, theme, margin["t"] + margin["b"] + PITCH * len(rows))


def ink(share: float | None, theme: Theme) -> str:
    """Colour of the number on a cell: black or white, whichever has more contrast with the cell's colour (WCAG 2)."""
    if share is None:
        return TEXT[theme]
    luminance = float(linear(colour_at(share, colour_scale("amount", theme))) @ (0.2126, 0.7152, 0.0722))
    return "#000000" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "#FFFFFF"
