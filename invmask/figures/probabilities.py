"""Class probabilities of one picture as bars, a panel for each view."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from invmask.figures.palette import VIEW_TITLES, Theme, view_colour
from invmask.figures.template import finish

LABELLED_FROM = 0.05
"""Bars from this share on carry their number."""


def class_probabilities(
    probabilities: Mapping[str, Sequence[float]],
    classes: Sequence[str],
    true: int,
    target: int | None,
    theme: Theme,
    height: int = 400,
) -> go.Figure:
    """One panel a view, one bar a class, on a shared axis from 0 to 100 %.

    Args:
        probabilities: by view, each K shares in [0, 1].
        classes: K names, top to bottom.
        true: the true class.
        target: the backdoor's target label; None without a trigger.
        height: in pixels.
    """
    names = [_name(title, index, true, target) for index, title in enumerate(classes)]
    figure = make_subplots(
        rows=1,
        cols=len(probabilities),
        shared_yaxes=True,
        horizontal_spacing=0.04,
        subplot_titles=[VIEW_TITLES[view] for view in probabilities],
    )
    for column, (view, shares) in enumerate(probabilities.items(), start=1):
        percents = [100 * share for share in shares]
        figure.add_bar(
            x=percents,
            y=names,
            orientation="h",
            name=VIEW_TITLES[view],
            marker={"color": view_colour(view, theme), "line": {"width": 0}},
            text=[f"{value:.0f}" if value >= 100 * LABELLED_FROM else "" for value in percents],
            textposition="auto",
            insidetextanchor="end",
            textfont={"size": 12},
            cliponaxis=False,
            hovertemplate="%{y}<br>" + VIEW_TITLES[view] + ": %{x:.1f} %<extra></extra>",
            showlegend=False,
            row=1,
            col=column,
        )
        figure.layout.annotations[column - 1].update(
            font={"size": 14, "color": view_colour(view, theme), "weight": 600}, yshift=4
        )
    figure.update_xaxes(range=[0, 104], tickvals=[0, 50, 100], fixedrange=True)
    figure.update_yaxes(autorange="reversed", fixedrange=True, showgrid=False)
    middle = (len(probabilities) + 1) // 2
    figure.update_xaxes(title_text="probability, %", row=1, col=middle)
    return finish(figure, theme, height).update_layout(margin={"l": 142, "r": 10, "t": 34, "b": 48})


def _name(title: str, index: int, true: int, target: int | None) -> str:
    if index == true:
        return f"<b>{title}</b>, true"
    return f"<b>{title}</b>, target" if index == target else title
