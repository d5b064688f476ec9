"""ACC, ASR and RA of the three views over the rounds of a run."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from invmask.figures.palette import GROUND, VIEW_DASHES, VIEW_TITLES, Theme, view_colour
from invmask.figures.rounds import PhaseSpan, mark_phases, mark_round, spread_labels, thinned
from invmask.figures.template import finish, panel_title

MEASURE_TITLES = {
    "acc": "ACC, clean accuracy",
    "asr": "ASR, attack success rate",
    "ra": "RA, recovery accuracy",
}
"""The three measures by name, in the order in which they are drawn."""

PANEL_HEIGHT = 142
_LABEL_GAP = 15.0
"""Labels so many per cent of a panel apart do not touch."""


def measure_curves(
    rounds: np.ndarray,
    values: Mapping[str, Mapping[str, np.ndarray]],
    spans: Sequence[PhaseSpan],
    end: int,
    theme: Theme,
    shown: int | None = None,
) -> go.Figure:
    """One panel a measure, one line a view, 0 to 100 %.

    Args:
        rounds: int [R], from 0 (before the first round) upwards.
        values: by measure (of `MEASURE_TITLES`) and view, fractions [R]; NaN where there is none. A control
            without a trigger has `acc` only.
        spans: the phases so far.
        end: where the axis of rounds ends (`rounds.axis_end`).
        shown: the round that the reader looks at; None while the latest is followed.
    """
    measures = [name for name in MEASURE_TITLES if name in values]
    figure = make_subplots(rows=len(measures), cols=1, shared_xaxes=True, vertical_spacing=0.2 / max(1, len(measures)))
    kept = thinned(len(rounds))
    for row, measure in enumerate(measures, 1):
        _add_panel(figure, row, measure, rounds[kept], {v: x[kept] for v, x in values[measure].items()}, theme)
    mark_phases(figure, spans, end, theme)
    mark_round(figure, shown, theme)
    figure.update_xaxes(range=[0, end], fixedrange=True, showgrid=False, zeroline=False)
    figure.update_xaxes(title_text="round", row=len(measures), col=1)
    figure.update_yaxes(
        range=[-3, 103], fixedrange=True, tickvals=[0, 50, 100], ticktext=["0 %", "50 %", "100 %"], zeroline=False
    )
    figure.update_layout(showlegend=False, hovermode="x unified", margin={"l": 52, "r": 112, "t": 46, "b": 42})
    return finish(figure, theme, 88 + PANEL_HEIGHT * len(measures))


def _add_panel(
    figure: go.Figure, row: int, measure: str, rounds: np.ndarray, views: Mapping[str, np.ndarray], theme: Theme
) -> None:
    for view, shares in views.items():
        figure.add_trace(
            go.Scatter(
                name=VIEW_TITLES[view],
                # Tells the three lines of one view apart where the numbers are taken away as a table.
                meta=MEASURE_TITLES[measure],
                x=rounds,
                y=np.round(100 * shares, 2),
                mode="lines" if len(rounds) > 1 else "markers",
                line={"color": view_colour(view, theme), "width": 2.5, "dash": VIEW_DASHES[view]},
                hovertemplate="%{y:.1f} %",
            ),
            row=row,
            col=1,
        )
    latest = {view: 100 * float(shares[-1]) for view, shares in views.items() if len(shares)}
    heights = spread_labels(list(latest.values()), _LABEL_GAP, 0.0, 100.0)
    axis = "" if row == 1 else str(row)
    for (view, value), height in zip(latest.items(), heights, strict=True):
        figure.add_annotation(
            text=f"{VIEW_TITLES[view]} {value:.1f}",
            x=rounds[-1],
            y=height,
            xref=f"x{axis}",
            yref=f"y{axis}",
            xanchor="left",
            xshift=6,
            showarrow=False,
            bgcolor=GROUND[theme],
            borderpad=0,
            font={"size": 13, "color": view_colour(view, theme)},
        )
    panel_title(figure, f"<b>{MEASURE_TITLES[measure]}</b>", row, axis, theme)
