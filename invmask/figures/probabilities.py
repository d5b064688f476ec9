"""Class probabilities of one image as bars, with a panel for each view."""

import re
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from invmask.figures.classes import axis_of, of_many, short, shown_classes
from invmask.figures.lettering import room_for
from invmask.figures.palette import VIEW_TITLES, Theme, view_colour
from invmask.figures.template import finish

TRUE_MARK, TARGET_MARK = "✓", "◎"
LABELLED_FROM = 0.05
"""Bars from this probability on are labelled with their number."""
INSIDE_FROM = 0.5
"""Bars longer than this have room for the number inside."""


def class_probabilities(
    probabilities: Mapping[str, Sequence[float]],
    classes: Sequence[str],
    true: int | None,
    target: int | None,
    theme: Theme,
    height: int = 400,
) -> go.Figure:
    """One panel per view, one bar per class, on a shared axis from 0 to 100 %; of many classes, the most probable.

    Args:
        probabilities: K probabilities in [0, 1] by view.
        classes: the K class names, from top to bottom.
        true: the true class; None where nobody knows it.
        target: the backdoor's target label; None without a trigger.
        height: in pixels.
    """
    places = shown_classes([max(shares) for shares in zip(*probabilities.values(), strict=True)], (true, target))
    marks = {target: f"{TARGET_MARK} ", true: f"{TRUE_MARK} "}
    marked = [marks.get(place, "") + classes[place] for place in places]
    names = [f"<b>{marks[at]}{short(classes[at])}</b>" if at in marks else short(classes[at]) for at in places]
    figure = make_subplots(
        rows=1,
        cols=len(probabilities),
        shared_yaxes=True,
        horizontal_spacing=0.13,
    )
    for column, (view, shares) in enumerate(probabilities.items(), start=1):
        percents = [100 * shares[place] for place in places]
        figure.add_bar(
            x=percents,
            y=list(range(len(places))),
            customdata=[classes[place] for place in places],
            meta={"class": marked, "probability, %": percents},
            orientation="h",
            name=VIEW_TITLES[view],
            marker={"color": view_colour(view, theme), "line": {"width": 0}},
            text=[f"{value:.0f}" if value >= 100 * LABELLED_FROM else "" for value in percents],
            textposition=["inside" if value > 100 * INSIDE_FROM else "outside" for value in percents],
            insidetextanchor="end",
            constraintext="none",
            textangle=0,
            textfont={"size": 12},
            cliponaxis=False,
            hovertemplate="%{customdata}<br>" + VIEW_TITLES[view] + ": %{x:.1f} %<extra></extra>",
            showlegend=False,
            row=1,
            col=column,
        )
        figure.add_annotation(
            text=f"<b>{VIEW_TITLES[view]}</b>",
            font={"size": 14, "color": view_colour(view, theme)},
            x=0.5,
            y=1,
            xref="x domain",
            yref="y domain",
            xanchor="center",
            yanchor="bottom",
            showarrow=False,
            row=1,
            col=column,
        )
    figure.update_xaxes(
        range=[0, 104], tickvals=[0, 50, 100], ticktext=["0", "", "100"], tickfont={"size": 12}, fixedrange=True
    )
    figure.update_yaxes(**axis_of(names), ticklabelstandoff=5)
    middle = (len(probabilities) + 1) // 2
    figure.update_xaxes(title_text=f"probability, %{of_many(len(places), len(classes))}", row=1, col=middle)
    plain = [re.sub("</?b>", "", name) for name in names]
    left = max(108, 6 + room_for(plain, 13, bold=True))
    return finish(figure, theme, height).update_layout(margin={"l": left, "r": 12, "t": 52, "b": 48})
