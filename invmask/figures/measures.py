"""ACC, ASR and RA of the three views over the rounds of a run."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from invmask.figures.palette import GROUND, VIEW_DASHES, VIEW_TITLES, Theme, view_colour
from invmask.figures.paper import DRAWN_PAGE
from invmask.figures.rounds import PhaseSpan, mark_phases, mark_round, spread_labels, thinned
from invmask.figures.template import finish, panel_title
from invmask.glossary import GLOSSARY

MEASURE_TITLES = {name: GLOSSARY[name].title for name in ("acc", "asr", "ra")}
"""The three measures by name, in the order in which they are drawn."""

PANEL_HEIGHT = 142
WIDE_HEIGHT = 170
"""Height in pixels of panels side by side, in two columns of a paper."""
BESIDE = 112
"""Room in pixels beside a panel for the names of its lines."""
WIDE_LEAST = 0.18
"""Smallest share of a narrow panel's axis on which the name of a phase has room."""
_LABEL_GAP = 15.0
"""Distance, in per cent of a panel's height, at which labels do not touch."""


def measure_curves(
    rounds: np.ndarray,
    values: Mapping[str, Mapping[str, np.ndarray]],
    spans: Sequence[PhaseSpan],
    end: int,
    theme: Theme,
    shown: int | None = None,
    wide: bool = False,
) -> go.Figure:
    """One panel per measure, one line per view, 0 to 100 %.

    Args:
        rounds: int [R], from 0 (before the first round) upwards.
        values: shares [R] in [0, 1] by measure (of `MEASURE_TITLES`) and view; NaN if not measured. A control without a
            trigger has `acc` only.
        spans: the phases so far.
        end: the last round on the axis (`rounds.axis_end`).
        shown: the round that the reader looks at; None while the latest is followed.
        wide: for two columns of a paper, with the panels side by side.
    """
    measures = [name for name in MEASURE_TITLES if name in values]
    figure = measure_panels(len(measures), 0.2, wide)
    kept = thinned(len(rounds))
    for number, measure in enumerate(measures, 1):
        shares = {v: x[kept] for v, x in values[measure].items()}
        _add_panel(figure, number, measure, rounds[kept], shares, theme, wide)
    mark_phases(figure, spans, end, theme, least=WIDE_LEAST if wide and len(measures) > 1 else 0.1)
    mark_round(figure, shown, theme)
    figure.update_xaxes(range=[0, end], fixedrange=True, showgrid=False, zeroline=False)
    figure.update_xaxes(title_text="round", row=1 if wide else len(measures))
    figure.update_yaxes(
        range=[-3, 103], fixedrange=True, tickvals=[0, 50, 100], ticktext=["0 %", "50 %", "100 %"], zeroline=False
    )
    figure.update_layout(showlegend=False, hovermode="x unified", margin={"l": 52, "r": BESIDE, "t": 46, "b": 42})
    return finish(figure, theme, 88 + (WIDE_HEIGHT if wide else PANEL_HEIGHT * len(measures)))


def measure_panels(panels: int, spacing: float, wide: bool) -> go.Figure:
    """Panels below each other, with gaps of `spacing` times a panel's height; side by side if `wide`."""
    if not wide:
        return make_subplots(rows=panels, cols=1, shared_xaxes=True, vertical_spacing=spacing / max(1, panels))
    between = BESIDE / (DRAWN_PAGE - 52 - BESIDE)
    return make_subplots(rows=1, cols=panels, shared_yaxes=True, horizontal_spacing=between)


def _add_panel(
    figure: go.Figure,
    number: int,
    measure: str,
    rounds: np.ndarray,
    views: Mapping[str, np.ndarray],
    theme: Theme,
    wide: bool,
) -> None:
    row, column = (1, number) if wide else (number, 1)
    for view, shares in views.items():
        figure.add_trace(
            go.Scatter(
                name=VIEW_TITLES[view],
                # Distinguishes the three lines of one view in the exported table.
                meta=MEASURE_TITLES[measure],
                x=rounds,
                y=np.round(100 * shares, 2),
                mode="lines" if len(rounds) > 1 else "markers",
                line={"color": view_colour(view, theme), "width": 2.5, "dash": VIEW_DASHES[view]},
                hovertemplate="%{y:.1f} %",
            ),
            row=row,
            col=column,
        )
    latest = {view: 100 * float(shares[-1]) for view, shares in views.items() if len(shares)}
    heights = spread_labels(list(latest.values()), _LABEL_GAP, 0.0, 100.0)
    axis = "" if number == 1 else str(number)
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
