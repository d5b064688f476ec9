"""How well the inner problem is solved: what the perturbations flip, to which labels, and how views respond."""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from invmask.figures.classes import axis_of, of_many, short, shown_classes
from invmask.figures.lettering import room_for
from invmask.figures.palette import GROUND, NEUTRAL, TEXT, Theme, view_colour
from invmask.figures.rounds import PhaseSpan, mark_phases, mark_round, spread_labels, thinned
from invmask.figures.template import finish

SHARES: Mapping[str, tuple[str, str]] = {
    "flipped": ("original", "flipped"),
    "inverse_agrees": ("inverse", "inverse follows"),
    "pruned_restores": ("pruned", "pruned restores"),
}
"""The shares of an inner report: the view whose colour each has, and its label."""

_DASHES = {"original": "dot", "pruned": "solid", "inverse": "dash"}


def flip_labels(
    flipped_to: Sequence[int], samples: int, classes: Sequence[str], theme: Theme, target_label: int | None = None
) -> go.Figure:
    """The labels to which the perturbation flips the reference's answers: one bar per class, in the data set's order.

    If there are many classes, those with the most flipped images are shown.

    Args:
        flipped_to: number of images flipped to each label, [K].
        samples: number of images in the round's batch, where the axis ends.
        classes: the classes' names, [K].
        target_label: the attacker's target, marked for the reader; the defence does not know it.
    """
    places = shown_classes(flipped_to, (target_label,))
    titles, counts = [classes[place] for place in places], [flipped_to[place] for place in places]
    names = [f"<b>{short(classes[at])}</b> (target)" if at == target_label else short(classes[at]) for at in places]
    share = 100 * np.asarray(counts, dtype=float) / max(1, samples)
    figure = go.Figure(
        go.Bar(
            orientation="h",
            x=share,
            y=list(range(len(places))),
            width=0.7,
            marker={"color": view_colour("original", theme)},
            text=[str(count) if count else "" for count in counts],
            textposition="outside",
            cliponaxis=False,
            textfont={"size": 12, "color": TEXT[theme]},
            customdata=np.array([titles, counts], dtype=object).T,
            hovertemplate=f"%{{customdata[1]}} of {samples} images flipped to <b>%{{customdata[0]}}</b><extra></extra>",
        )
    )
    figure.update_yaxes(**axis_of(names), tickfont={"size": 13})
    figure.update_xaxes(
        range=[0, 100],
        tickvals=[0, 50, 100],
        ticktext=["0", "50", "100 %"],
        fixedrange=True,
        title_text=f"of {samples} clean images{of_many(len(places), len(classes)).replace(' ', '<br>', 1)}",
    )
    below = 46 if len(places) == len(classes) else 64
    plain = [re.sub("</?b>", "", name) for name in names]
    figure.update_layout(
        margin={"l": room_for(plain, 13, bold=target_label in places), "r": 26, "t": 10, "b": below}, showlegend=False
    )
    return finish(figure, theme, 300)


def inner_curves(
    rounds: np.ndarray,
    shares: Mapping[str, np.ndarray],
    spans: Sequence[PhaseSpan],
    end: int,
    theme: Theme,
    shown: int | None = None,
) -> go.Figure:
    """The three shares of `SHARES` over the rounds, 0 to 100 %.

    Args:
        rounds: int [R], from 1.
        shares: shares [R] in [0, 1] by name; NaN in a phase without an inner problem.
        spans: the phases so far.
        end: the last round on the axis.
        shown: the round that the reader looks at; None while the latest is followed.
    """
    figure = go.Figure()
    kept = thinned(len(rounds))
    latest: dict[str, float] = {}
    last = 0
    for name, (view, label) in SHARES.items():
        values = shares[name][kept]
        figure.add_trace(
            go.Scatter(
                name=label,
                x=rounds[kept],
                y=np.round(100 * values, 2),
                mode="lines",
                line={"color": view_colour(view, theme), "width": 2.5, "dash": _DASHES[view]},
                hovertemplate="%{y:.1f} %",
            )
        )
        present = np.flatnonzero(np.isfinite(values))
        if len(present):
            latest[name] = 100 * float(values[present[-1]])
            last = int(rounds[kept][present[-1]])
    for (name, value), height in zip(latest.items(), spread_labels(list(latest.values()), 8.0, 2, 98), strict=True):
        figure.add_annotation(
            text=f"{SHARES[name][1]} {value:.0f}",
            x=last,
            y=height,
            xanchor="left",
            xshift=6,
            showarrow=False,
            bgcolor=GROUND[theme],
            borderpad=0,
            font={"size": 13, "color": view_colour(SHARES[name][0], theme)},
        )
    if not latest:
        figure.add_annotation(
            text="begins in a later stage",
            x=0.5,
            y=0.5,
            xref="paper",
            yref="paper",
            showarrow=False,
            bgcolor=GROUND[theme],
            font={"size": 13, "color": NEUTRAL[theme]},
        )
    mark_phases(figure, spans, end, theme, narrow=True)
    mark_round(figure, shown, theme)
    figure.update_xaxes(range=[0, end], fixedrange=True, title_text="round", showgrid=False, zeroline=False)
    figure.update_yaxes(
        range=[-2, 102], fixedrange=True, tickvals=[0, 50, 100], ticktext=["0 %", "50 %", "100 %"], zeroline=False
    )
    figure.update_layout(showlegend=False, hovermode="x unified", margin={"l": 52, "r": 144, "t": 26, "b": 46})
    return finish(figure, theme, 300)
