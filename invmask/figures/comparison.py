"""Defences beside each other: ACC against ASR with the Pareto front, one measure on every victim, RA against SPC."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from invmask.figures.grid_map import ink
from invmask.figures.lettering import room_for
from invmask.figures.network_map import colour_scale
from invmask.figures.palette import NEUTRAL, SEQUENCE, TEXT, Theme, view_colour
from invmask.figures.rounds import spread_labels
from invmask.figures.template import finish

SCATTER_HEIGHT, LINES_HEIGHT = 460, 380
PITCH = 34
GAP = 0.06
_LETTERS = 13
_NARROW = 260
"""Pixels that the columns of a matrix share on a phone."""
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star")


@dataclass(frozen=True)
class MethodPoint:
    """A defence's means.

    Attributes:
        title: the defence's name.
        acc, asr: shares in [0, 1].
        hover: its hover text in one or more lines.
    """

    title: str
    acc: float
    asr: float
    hover: str


@dataclass(frozen=True)
class MatrixCell:
    """One defence on one victim.

    Attributes:
        row, column: titles of the defence and of the victim.
        share: the measure in [0, 1]; None without a result.
        hover: its hover text in one or more lines.
    """

    row: str
    column: str
    share: float | None
    hover: str


def acc_against_asr(
    points: Sequence[MethodPoint], front: Sequence[int], original: tuple[float, float] | None, theme: Theme
) -> go.Figure:
    """One marker per defence, named at the right edge; a line through the Pareto front. Low and right is good.

    Args:
        front: indices of the points on the front, in the order of rising ACC.
        original: ACC and ASR of the undefended networks; None without a trigger.
    """
    figure = go.Figure()
    accs = [100 * point.acc for point in points] + ([100 * original[0]] if original else [])
    low, high = 5 * np.floor((min(accs) - 1) / 5), min(100.0, 5 * np.ceil((max(accs) + 1) / 5))
    ahead = [points[index] for index in front]
    figure.add_scatter(
        name="Pareto front",
        x=[100 * point.acc for point in ahead],
        y=[100 * point.asr for point in ahead],
        mode="lines",
        line={"color": NEUTRAL[theme], "width": 2, "dash": "dot", "shape": "hv"},
        hoverinfo="skip",
    )
    heights = spread_labels([100 * point.asr for point in points], 100 * (_LETTERS + 4) / (SCATTER_HEIGHT - 80), 0, 100)
    for place, (point, height) in enumerate(zip(points, heights, strict=True)):
        colour = _colour(place, theme)
        figure.add_scatter(
            name=point.title,
            x=[100 * point.acc],
            y=[100 * point.asr],
            mode="markers",
            marker={"color": colour, "size": 12, "symbol": _symbol(place), "line": {"color": TEXT[theme], "width": 1}},
            cliponaxis=False,
            hovertext=[point.hover],
            hovertemplate="%{hovertext}<extra></extra>",
        )
        figure.add_shape(
            type="line",
            x0=100 * point.acc,
            x1=high,
            y0=100 * point.asr,
            y1=height,
            line={"color": colour, "width": 1},
            opacity=0.5,
            layer="below",
        )
        _name(figure, point.title if place not in front else f"<b>{point.title}</b>", high, height, colour)
    if original is not None:
        figure.add_scatter(
            name="Original",
            x=[100 * original[0]],
            y=[100 * original[1]],
            mode="markers+text",
            text=["original"],
            textposition="bottom center",
            textfont={"size": _LETTERS, "color": TEXT[theme]},
            marker={"color": view_colour("original", theme), "size": 12, "symbol": "circle-open", "line": {"width": 2}},
            cliponaxis=False,
            hovertemplate="original: ACC %{x:.1f} %, ASR %{y:.1f} %<extra></extra>",
        )
    figure.update_xaxes(range=[low, high], title={"text": "ACC, %"}, fixedrange=True)
    figure.update_yaxes(range=[0, 100], title={"text": "ASR, %"}, fixedrange=True)
    return _finished(figure, [point.title for point in points], theme, SCATTER_HEIGHT)


def measure_matrix(cells: Sequence[MatrixCell], theme: Theme, chosen: int | None = None) -> go.Figure:
    """One coloured cell with its number for each defence and victim, in per cent.

    The points of the trace are the `cells` in order, so a click's point number is the index of the cell.

    Args:
        cells: rows and columns are in the order of their first cell.
        chosen: the cell with a frame around it.
    """
    rows, columns = list(dict.fromkeys(cell.row for cell in cells)), list(dict.fromkeys(cell.column for cell in cells))
    figure = go.Figure()
    # Bars instead of a heatmap, because Streamlit reports no clicks on heatmaps.
    figure.add_bar(
        orientation="h",
        meta={"defence": [cell.row for cell in cells], "victim": [cell.column for cell in cells]},
        base=[columns.index(cell.column) - 0.5 + GAP / 2 for cell in cells],
        x=[1 - GAP for _ in cells],
        y=[rows.index(cell.row) for cell in cells],
        width=1 - GAP,
        marker={
            "color": [0.0 if cell.share is None else round(100 * cell.share, 2) for cell in cells],
            "colorscale": colour_scale("amount", theme),
            "cmin": 0,
            "cmax": 100,
            "opacity": [0.35 if cell.share is None else 1.0 for cell in cells],
            "line": {"color": TEXT[theme], "width": [2 * (index == chosen) for index in range(len(cells))]},
        },
        text=["–" if cell.share is None else f"{100 * cell.share:.0f}" for cell in cells],
        textposition="inside",
        insidetextanchor="middle",
        textangle=0,
        constraintext="none",
        insidetextfont={"size": _LETTERS, "color": [ink(cell.share, theme) for cell in cells]},
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 1}},
        hovertext=[cell.hover for cell in cells],
        hovertemplate="%{hovertext}<extra></extra>",
    )
    still = {"showgrid": False, "zeroline": False, "showline": False, "ticks": "", "fixedrange": True}
    # Names stand upright where they would run into each other, for which there has to be room.
    upright = room_for(columns, _LETTERS) > _NARROW / len(columns)
    figure.update_xaxes(
        range=[-0.5, len(columns) - 0.5],
        tickvals=list(range(len(columns))),
        ticktext=columns,
        autotickangles=[0, -90],
        side="top",
        **still,
    )
    figure.update_yaxes(
        range=[len(rows) - 0.5, -0.5],
        tickvals=list(range(len(rows))),
        ticktext=rows,
        tickfont={"size": _LETTERS},
        ticklabelstandoff=4,
        **still,
    )
    margin = {
        "l": 10 + room_for(rows, _LETTERS),
        "r": 8,
        "t": 12 + (room_for(columns, _LETTERS) if upright else 24),
        "b": 8,
    }
    figure.update_layout(
        showlegend=False, barmode="overlay", dragmode=False, clickmode="event+select", margin=margin,
        font={"color": TEXT[theme]},
    )  # fmt: skip
    return finish(figure, theme, margin["t"] + margin["b"] + PITCH * len(rows))


def over_budgets(means: Mapping[str, Mapping[int, float]], title: str, theme: Theme) -> go.Figure:
    """One line per defence: a measure against SPC, named at the right edge.

    Args:
        means: for each defence's title, shares in [0, 1] by SPC.
        title: of the measure.
    """
    budgets = sorted({spc for of in means.values() for spc in of})
    figure = go.Figure()
    last = [100 * of[max(of)] for of in means.values()]
    heights = spread_labels(last, 100 * (_LETTERS + 4) / (LINES_HEIGHT - 80), 0, 100)
    for place, ((method, of), height) in enumerate(zip(means.items(), heights, strict=True)):
        figure.add_scatter(
            name=method,
            x=[budgets.index(spc) for spc in sorted(of)],
            y=[round(100 * of[spc], 2) for spc in sorted(of)],
            mode="lines+markers",
            line={"color": _colour(place, theme), "width": 2.5},
            marker={"symbol": _symbol(place), "size": 8},
            cliponaxis=False,
            hovertemplate=f"{method}: %{{y:.1f}} %<extra></extra>",
        )
        _name(figure, method, len(budgets) - 1, height, _colour(place, theme))
    figure.update_layout(meta={"x": budgets})
    figure.update_xaxes(
        range=[-0.2, len(budgets) - 1],
        tickvals=list(range(len(budgets))),
        ticktext=[f"{spc:,}" for spc in budgets],
        title={"text": "SPC, clean images a class"},
        fixedrange=True,
    )
    figure.update_yaxes(range=[0, 100], title={"text": f"{title}, %"}, fixedrange=True)
    return _finished(figure, list(means), theme, LINES_HEIGHT)


def _name(figure: go.Figure, text: str, x: float, y: float, colour: str) -> None:
    figure.add_annotation(
        text=text,
        x=x,
        y=y,
        xanchor="left",
        yanchor="middle",
        xshift=6,
        showarrow=False,
        font={"size": _LETTERS, "color": colour},
    )


def _finished(figure: go.Figure, names: Sequence[str], theme: Theme, height: int) -> go.Figure:
    margin = {"l": 56, "r": 24 + room_for(names, _LETTERS), "t": 16, "b": 52}
    figure.update_layout(showlegend=False, margin=margin)
    return finish(figure, theme, height)


def _colour(place: int, theme: Theme) -> str:
    return SEQUENCE[theme][place % len(SEQUENCE[theme])]


def _symbol(place: int) -> str:
    """Defences with the same colour have different markers."""
    return _SYMBOLS[place // len(SEQUENCE["light"]) % len(_SYMBOLS)]
