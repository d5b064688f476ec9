"""Every term of the outer loss over the rounds of a run, as small multiples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from invmask.figures.palette import GROUND, NEUTRAL, TEXT, Theme, view_colour
from invmask.figures.ramps import SELECTED_COLOURS
from invmask.figures.rounds import PhaseSpan, mark_phases, mark_round, nice_ceiling, thinned
from invmask.figures.template import finish, panel_title

TOTAL = "total"


@dataclass(frozen=True)
class TermWords:
    """How a term is drawn.

    Attributes:
        title: its title on screen.
        share: whether it is a share in [0, 1].
        view: the view that gives its colour; `selected` for the colour of selected channels, empty for none.
        since: for a term that starts later, when it starts; else empty.
        unit: the unit of one that is not a share; empty for a plain number.
    """

    title: str
    share: bool = False
    view: str = ""
    since: str = ""
    unit: str = "nats"


PANEL_HEIGHT = 118
PAPER_PANEL_HEIGHT = 96
"""Height of a panel, in pixels, in one column of a paper, where all panels are below each other."""


def loss_curves(
    rounds: np.ndarray,
    terms: Mapping[str, np.ndarray],
    words: Mapping[str, TermWords],
    spans: Sequence[PhaseSpan],
    end: int,
    theme: Theme,
    shown: int | None = None,
    wide: bool = False,
) -> go.Figure:
    """One panel per term, two per row (in one column of a paper one); the total above them over the full width.

    Args:
        rounds: int [R], from 1.
        terms: values [R] by name, in the words' units; NaN in a stage without the term. `total` is the weighted sum.
        words: the texts of the terms by name. Each term has a panel, even without values, so that no panel moves when a
            new stage begins.
        spans: the stages so far.
        end: the last round on the axis (`rounds.axis_end`).
        shown: the round that the reader looks at; None while the latest is followed.
        wide: for two columns of a paper.
    """
    words = {**words, TOTAL: TermWords("Total, weighted")}
    words |= {name: TermWords(name[:1].upper() + name[1:]) for name in sorted(set(terms) - set(words))}
    names = [name for name in words if name != TOTAL]
    across, height = (1, PAPER_PANEL_HEIGHT) if theme == "paper" and not wide else (2, PANEL_HEIGHT)
    rows = 1 + -(-len(names) // across)
    first = [{"colspan": 2}, None] if across == 2 else [{}]
    specs = [first] + [[{} for _ in range(across)] for _ in range(rows - 1)]
    figure = make_subplots(rows=rows, cols=across, specs=specs, vertical_spacing=0.3 / rows, horizontal_spacing=0.11)
    kept = thinned(len(rounds))
    places = {TOTAL: (1, 1)} | {name: (2 + i // across, 1 + i % across) for i, name in enumerate(names)}
    for number, (name, (row, column)) in enumerate(places.items(), 1):
        axis = "" if number == 1 else str(number)
        values = terms[name][kept] if name in terms else np.full(len(kept), np.nan)
        _add_panel(figure, row, column, axis, words[name], rounds[kept], values, theme)
        if not np.isfinite(values).any():
            since = words[name].since if len(spans) < 2 else ""
            _say_why_empty(figure, row, axis, since, theme)
    mark_phases(figure, spans, end, theme)
    mark_round(figure, shown, theme)
    figure.update_xaxes(range=[0, end], fixedrange=True, showgrid=False, zeroline=False, showticklabels=False)
    figure.update_xaxes(title_text="round", showticklabels=True, row=rows)
    figure.update_layout(showlegend=False, hovermode="closest", margin={"l": 52, "r": 14, "t": 46, "b": 42})
    return finish(figure, theme, 88 + height * rows)


def _add_panel(
    figure: go.Figure,
    row: int,
    column: int,
    axis: str,
    term: TermWords,
    rounds: np.ndarray,
    values: np.ndarray,
    theme: Theme,
) -> None:
    figure.add_trace(
        go.Scatter(
            name=term.title,
            x=rounds,
            y=values,
            mode="lines" if len(rounds) > 1 else "markers",
            line={"color": _colour(term, theme), "width": 2},
            hovertemplate=f"<b>{term.title}</b><br>round %{{x}}: %{{y:.3f}}<extra></extra>",
        ),
        row=row,
        col=column,
    )
    present = values[np.isfinite(values)]
    top = 1.0 if term.share else nice_ceiling(float(present.max()) if len(present) else 1.0)
    figure.update_yaxes(range=[0, top * 1.04], nticks=4, fixedrange=True, rangemode="tozero", row=row, col=column)
    latest = f" <b>{present[-1]:.3f}</b>" if len(present) and np.isfinite(values[-1]) else ""
    panel_title(
        figure,
        term.title + (f" ({term.unit})" if theme == "paper" and term.unit and not term.share else "") + latest,
        row,
        axis,
        theme,
        size=13,
    )


def _say_why_empty(figure: go.Figure, row: int, axis: str, since: str, theme: Theme) -> None:
    figure.add_annotation(
        text=f"from {since} on" if since else "not part of this run" if row > 1 else "from the first round on",
        x=0.5,
        y=0.5,
        xref=f"x{axis} domain",
        yref=f"y{axis} domain",
        showarrow=False,
        bgcolor=GROUND[theme],
        font={"size": 12, "color": NEUTRAL[theme]},
    )


def _colour(term: TermWords, theme: Theme) -> str:
    """The colour of a term; a term about a view has the view's colour."""
    if term.view == "selected":
        return SELECTED_COLOURS[theme]
    return view_colour(term.view, theme) if term.view else TEXT[theme]
