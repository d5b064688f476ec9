"""One channel's mask, selection and both gates through the rounds of a run."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from invmask.figures.palette import SEQUENCE, Theme, view_colour
from invmask.figures.ramps import SELECTED_COLOURS
from invmask.figures.rounds import PhaseSpan, mark_phases, mark_round, spread_labels, thinned
from invmask.figures.template import finish

HEIGHT = 260


@dataclass(frozen=True)
class ChannelHistory:
    """a, s, m and m-bar of one channel after each round, from round 0: float [rounds + 1] in [0, 1]."""

    mask: np.ndarray
    selection: np.ndarray
    pruned_gate: np.ndarray
    inverse_gate: np.ndarray


def channel_history(
    history: ChannelHistory,
    spans: Sequence[PhaseSpan],
    end: int,
    theme: Theme,
    shown: int | None = None,
) -> go.Figure:
    """Four lines on an axis from 0 to 1, each with its name at its end.

    Args:
        spans, end: the phases, and the last round on the axis.
        shown: the round that the reader looks at; None for the latest.
    """
    lines = (
        # Dashed lines are drawn on top, so that lines below them stay visible.
        ("pruned gate m", history.pruned_gate, view_colour("pruned", theme), "solid"),
        ("inverse gate m\u0304", history.inverse_gate, view_colour("inverse", theme), "solid"),
        ("selection s", history.selection, SELECTED_COLOURS[theme], "dash"),
        ("mask a", history.mask, SEQUENCE[theme][0], "dot"),
    )
    kept = thinned(len(history.mask))
    figure = go.Figure()
    heights = spread_labels([float(values[-1]) for _, values, _, _ in lines], 0.09, 0.0, 1.0)
    for (name, values, colour, dash), height in zip(lines, heights, strict=True):
        figure.add_scatter(
            name=name,
            x=kept,
            y=values[kept],
            mode="lines",
            line={"color": colour, "dash": dash, "width": 2.5 if dash == "solid" else 2},
            hovertemplate=f"{name} %{{y:.2f}}<br>round %{{x}}<extra></extra>",
        )
        figure.add_annotation(
            text=name, x=1, xref="paper", xanchor="left", xshift=6, y=height, showarrow=False, font={"color": colour}
        )
    figure.update_xaxes(title_text="round", range=[0, end], fixedrange=True)
    figure.update_yaxes(range=[-0.03, 1.03], tickvals=[0, 0.5, 1], fixedrange=True, title_text="value")
    mark_phases(figure, spans, end, theme)
    mark_round(figure, shown, theme)
    figure.update_layout(showlegend=False, margin={"l": 56, "r": 130, "t": 30, "b": 46})
    return finish(figure, theme, HEIGHT)
