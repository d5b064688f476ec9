"""ACC, ASR and RA of the original network against the number of a ranking's first channels that are cut."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from invmask.figures.measures import BESIDE, MEASURE_TITLES, WIDE_HEIGHT, measure_panels
from invmask.figures.palette import NEUTRAL, TEXT, VIEW_DASHES, VIEW_MARKERS, Theme, view_colour
from invmask.figures.rounds import spread_labels
from invmask.figures.template import finish, panel_title

PANEL_HEIGHT = 118
_LABEL_GAP = 17.0
"""Distance, in per cent of a panel's height, at which labels do not touch."""
_TICKS = (0, 1, 2, 3, 5, 7, 10, 20, 50, 100)
"""Tick labels that fit on a phone's axis."""
_CUT = "pruned"
"""A network with some channels cut is a pruned view, so it has that view's colour, marker and line."""


@dataclass(frozen=True)
class TopLine:
    """One measure, as shares in [0, 1].

    Attributes:
        original: the value with nothing cut.
        top: values with the first channels cut, [P], for the first P numbers of channels; P may grow.
        random: values with random sets cut, [R, D]: D draws for each of the first R numbers of channels.
    """

    original: float
    top: np.ndarray
    random: np.ndarray


def top_curves(
    counts: Sequence[int],
    lines: Mapping[str, TopLine],
    name: str,
    theme: Theme,
    shown: int | None = None,
    wide: bool = False,
) -> go.Figure:
    """One panel per measure, 0 to 100 %: the first n channels cut, random sets of the same size cut, and nothing cut.

    Args:
        counts: numbers of channels that are cut, rising; evenly spaced on the axis.
        lines: the lines by measure (of `MEASURE_TITLES`).
        name: short name of the ranking.
        shown: the entry of `counts` that the reader looks at, marked by a line through all panels and by numbers.
        wide: for two columns of a paper, with the panels side by side.
    """
    measures = [measure for measure in MEASURE_TITLES if measure in lines]
    figure = measure_panels(len(measures), 0.3, wide)
    place = list(counts).index(shown) if shown is not None and shown in counts else None
    for number, measure in enumerate(measures, 1):
        where = (1, number) if wide else (number, 1)
        _add_lines(figure, where, MEASURE_TITLES[measure], lines[measure], name, theme)
        axis = "" if number == 1 else str(number)
        # There are no names of phases, so the title of the first row is as close to its panel as in the other rows.
        panel_title(figure, f"<b>{MEASURE_TITLES[measure]}</b>", 2, axis, theme)
        _name_lines(figure, axis, lines[measure], counts, theme, place)
    if place is not None:
        figure.add_vline(x=place, line={"color": TEXT[theme], "width": 1.5}, row="all", col="all")
    ticks = [place for place, count in enumerate(counts) if count in _TICKS]
    figure.update_xaxes(range=[-0.35, len(counts) - 0.65], fixedrange=True, showgrid=False, zeroline=False)
    figure.update_xaxes(tickvals=ticks, ticktext=[f"{counts[place]}" for place in ticks], tickangle=0)
    figure.update_xaxes(title_text=f"channels cut, the first by {name}", row=1 if wide else len(measures))
    figure.update_yaxes(range=[-5, 105], fixedrange=True, tickvals=[0, 50, 100], ticktext=["0 %", "50 %", "100 %"])
    figure.update_yaxes(zeroline=False, ticklabelstandoff=6)
    figure.update_layout(showlegend=False, hovermode="closest", margin={"l": 52, "r": BESIDE, "t": 24, "b": 46})
    # Numbers are at the positions 0, 1, 2 and so on; this gives tables the numbers behind the positions.
    figure.update_layout(meta={"x": list(counts)}, dragmode=False, clickmode="event+select")
    return finish(figure, theme, 70 + (WIDE_HEIGHT if wide else PANEL_HEIGHT * len(measures)))


def _add_lines(figure: go.Figure, where: tuple[int, int], panel: str, line: TopLine, name: str, theme: Theme) -> None:
    row, column = where
    grey, blue = NEUTRAL[theme], view_colour(_CUT, theme)

    def add(title: str, y: np.ndarray, **more: Any) -> None:
        figure.add_trace(
            go.Scatter(
                name=title,
                # Distinguishes lines with the same name in the exported table.
                meta=panel,
                x=list(range(len(y))),
                y=np.round(100 * y, 2),
                cliponaxis=False,
                **more,
            ),
            row=row,
            col=column,
        )

    if len(line.random):
        # There is no random set of 0 channels, so the grey area begins at the start of the line.
        random = np.vstack([np.full((1, line.random.shape[1]), line.original), line.random])
        thin = {"mode": "lines", "hoverinfo": "skip"}
        add("random sets, lowest", random.min(1), line={"width": 0}, **thin)
        add("random sets, highest", random.max(1), line={"width": 0}, fill="tonexty", fillcolor=_faint(grey), **thin)
        add(
            "random sets, mean",
            random.mean(1),
            mode="lines",
            line={"width": 1.5, "color": grey},
            hovertemplate="random sets: %{y:.1f} %",
        )
    add(
        "nothing cut",
        np.full(max(len(line.top), 2), line.original),
        mode="lines",
        line={"width": 1.5, "color": view_colour("original", theme), "dash": VIEW_DASHES["original"]},
        hoverinfo="skip",
    )
    add(
        f"by {name}",
        line.top,
        mode="lines+markers",
        line={"width": 2.5, "color": blue, "dash": VIEW_DASHES[_CUT]},
        marker={"size": 7, "symbol": VIEW_MARKERS[_CUT], "color": blue},
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 1}},
        hovertemplate="%{y:.1f} %",
    )


def _name_lines(
    figure: go.Figure, axis: str, line: TopLine, counts: Sequence[int], theme: Theme, place: int | None
) -> None:
    """Write the lines' names with the numbers at position `place`, or at the lines' ends."""
    labels: list[tuple[str, float, str]] = [("original", line.original, view_colour("original", theme))]
    if len(line.top):
        at = min(len(line.top) - 1 if place is None else place, len(line.top) - 1)
        labels.append((f"top {counts[at]}:", float(line.top[at]), view_colour(_CUT, theme)))
        if 0 < at <= len(line.random):
            labels.append(("random", float(line.random[at - 1].mean()), NEUTRAL[theme]))
    heights = spread_labels([100 * share for _, share, _ in labels], _LABEL_GAP, 0.0, 100.0)
    for (title, share, colour), height in zip(labels, heights, strict=True):
        figure.add_annotation(
            text=f"{title} {100 * share:.1f}",
            x=1,
            y=height,
            xref=f"x{axis} domain",
            yref=f"y{axis}",
            xanchor="left",
            xshift=6,
            showarrow=False,
            font={"size": 13, "color": colour},
        )


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.18)"
