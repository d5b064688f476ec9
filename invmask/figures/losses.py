"""Every term of the outer loss over the rounds of a run, as small multiples."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from invmask.figures.palette import GROUND, NEUTRAL, TEXT, Theme, view_colour
from invmask.figures.ramps import SELECTED_COLOURS
from invmask.figures.rounds import PhaseSpan, mark_phases, mark_round, nice_ceiling, thinned
from invmask.figures.template import finish, panel_title

LOSS_TITLES: Mapping[str, str] = {
    "total": "Total, weighted",
    "pruned clean": "Pruned agrees, clean",
    "inverse clean": "Inverse disagrees, clean",
    "pruned perturbed": "Pruned restores, perturbed",
    "inverse perturbed": "Inverse disagrees, perturbed",
    "inverse agrees perturbed": "Inverse follows, perturbed",
    "turned up": "Cut channels turned up, one label",
    "sparsity": "Share selected, mean(1 − s)",
    "pressure": "Share kept by the pruned view, mean(m)",
}
SHARES = ("sparsity", "pressure")
"""Terms that are shares of the channels rather than nats."""

LOSS_EXPLANATIONS: Mapping[str, str] = {
    "total": "The weighted sum that each round makes smaller.",
    "pruned clean": "Low when the pruned view answers clean images as the original does.",
    "inverse clean": "Low when the inverse view answers clean images unlike the original.",
    "pruned perturbed": "Low when the pruned view answers a perturbed image as the original answers the clean one.",
    "inverse perturbed": "Low when the inverse view answers a perturbed image unlike the original the clean one.",
    "inverse agrees perturbed": "Low when the inverse view falls for a perturbation just as the original does.",
    "turned up": "Low when the channels cut so far, turned up, lead the clean images to the label that won the race "
    "or, while it lasts, is ahead.",
    "sparsity": "How much of the network is selected: 0 none of it, 1 all of it.",
    "pressure": "How much of the network the pruned view keeps; minimised only where the pressure is above 0.",
}
"""What each term says, in plain words. A term that is not listed goes by its own name."""

PANEL_HEIGHT = 118
PAPER_PANEL_HEIGHT = 96
"""In one column of a paper, where all panels stand below each other."""


def loss_curves(
    rounds: np.ndarray,
    terms: Mapping[str, np.ndarray],
    spans: Sequence[PhaseSpan],
    end: int,
    theme: Theme,
    shown: int | None = None,
    wide: bool = False,
) -> go.Figure:
    """One panel a term, two beside each other (in one column of a paper one); the total above them over the full width.

    Args:
        rounds: int [R], from 1.
        terms: by name, [R] in nats (`sparsity` and `pressure`: shares); NaN where a phase does without. Known names
            get a panel each, values or not, so that no panel moves when a new phase begins.
        spans: the phases so far.
        end: where the axis of rounds ends (`rounds.axis_end`).
        shown: the round that the reader looks at; None while the latest is followed.
        wide: for two columns of a paper.
    """
    names = [name for name in LOSS_TITLES if name != "total"] + sorted(set(terms) - set(LOSS_TITLES))
    across, height = (1, PAPER_PANEL_HEIGHT) if theme == "paper" and not wide else (2, PANEL_HEIGHT)
    rows = 1 + -(-len(names) // across)
    first = [{"colspan": 2}, None] if across == 2 else [{}]
    specs = [first] + [[{} for _ in range(across)] for _ in range(rows - 1)]
    figure = make_subplots(rows=rows, cols=across, specs=specs, vertical_spacing=0.3 / rows, horizontal_spacing=0.11)
    kept = thinned(len(rounds))
    places = {"total": (1, 1)} | {name: (2 + i // across, 1 + i % across) for i, name in enumerate(names)}
    for number, (name, (row, column)) in enumerate(places.items(), 1):
        axis = "" if number == 1 else str(number)
        values = terms[name][kept] if name in terms else np.full(len(kept), np.nan)
        _add_panel(figure, row, column, axis, name, rounds[kept], values, theme)
        if not np.isfinite(values).any():
            early = "perturbed" in name and all(span.phase == "initialise" for span in spans)
            _say_why_empty(figure, row, axis, early, theme)
    mark_phases(figure, spans, end, theme)
    mark_round(figure, shown, theme)
    figure.update_xaxes(range=[0, end], fixedrange=True, showgrid=False, zeroline=False, showticklabels=False)
    figure.update_xaxes(title_text="round", showticklabels=True, row=rows)
    figure.update_layout(showlegend=False, hovermode="closest", margin={"l": 52, "r": 14, "t": 46, "b": 42})
    return finish(figure, theme, 88 + height * rows)


def loss_title(name: str) -> str:
    """The term's title on screen."""
    return LOSS_TITLES.get(name, name[:1].upper() + name[1:])


def _add_panel(
    figure: go.Figure, row: int, column: int, axis: str, name: str, rounds: np.ndarray, values: np.ndarray, theme: Theme
) -> None:
    figure.add_trace(
        go.Scatter(
            name=loss_title(name),
            x=rounds,
            y=values,
            mode="lines" if len(rounds) > 1 else "markers",
            line={"color": _colour(name, theme), "width": 2},
            hovertemplate=f"<b>{loss_title(name)}</b><br>round %{{x}}: %{{y:.3f}}<extra></extra>",
        ),
        row=row,
        col=column,
    )
    present = values[np.isfinite(values)]
    top = 1.0 if name in SHARES else nice_ceiling(float(present.max()) if len(present) else 1.0)
    figure.update_yaxes(range=[0, top * 1.04], nticks=4, fixedrange=True, rangemode="tozero", row=row, col=column)
    latest = f" <b>{present[-1]:.3f}</b>" if len(present) and np.isfinite(values[-1]) else ""
    panel_title(
        figure,
        loss_title(name) + (" (nats)" if theme == "paper" and name not in SHARES else "") + latest,
        row,
        axis,
        theme,
        size=13,
    )


def _say_why_empty(figure: go.Figure, row: int, axis: str, early: bool, theme: Theme) -> None:
    figure.add_annotation(
        text="from the second phase on" if early else "no part of this run" if row > 1 else "from the first round on",
        x=0.5,
        y=0.5,
        xref=f"x{axis} domain",
        yref=f"y{axis} domain",
        showarrow=False,
        bgcolor=GROUND[theme],
        font={"size": 12, "color": NEUTRAL[theme]},
    )


def _colour(name: str, theme: Theme) -> str:
    """Terms about a view have its colour."""
    if name == "pressure":
        return view_colour("pruned", theme)
    if name == "sparsity":
        return SELECTED_COLOURS[theme]
    for view in ("pruned", "inverse"):
        if name.startswith(view):
            return view_colour(view, theme)
    return TEXT[theme]
