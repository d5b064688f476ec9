"""ACC, ASR and RA of a victim while it is trained, and of many victims over one setting of their poisoning."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from invmask.figures.measures import MEASURE_TITLES
from invmask.figures.palette import SEQUENCE, Theme
from invmask.figures.rounds import spread_labels
from invmask.figures.template import finish

Shares = Mapping[str, Sequence[float | None]]
"""Shares in [0, 1] by measure (`acc`, `asr`, `ra`); None where not measured."""
HEIGHT = 250
_DASHES = {"acc": "solid", "asr": "dash", "ra": "dot"}
_MARKERS = {"acc": "circle", "asr": "diamond", "ra": "square"}
_LABEL_GAP = 9.0
"""Distance, in per cent of the axis, at which labels do not touch."""


def training_curves(shares: Shares, epochs: int, theme: Theme, height: int = HEIGHT) -> go.Figure:
    """One line each for ACC, ASR and RA after every epoch, 0 to 100 %.

    Args:
        shares: after each finished epoch, the first first.
        epochs: the last epoch on the axis.
    """
    figure = _lines([*range(1, len(shares["acc"]) + 1)], shares, theme)
    figure.update_xaxes(range=[0.5, epochs + 0.5], title_text="epoch: passes over the training images")
    figure.update_layout(margin={"l": 52, "r": 84, "t": 12, "b": 46})
    return finish(figure, theme, height)


def poisoning_curve(names: Sequence[str], shares: Shares, title: str, theme: Theme, height: int = HEIGHT) -> go.Figure:
    """ACC, ASR and RA of one victim for each value of a setting, as far as they are measured.

    Args:
        names: the values, as text, from left to right.
        shares: the measures of each value's victim; None where there is none yet.
        title: the axis's title.
    """
    found = [place for place, share in enumerate(shares["acc"]) if share is not None]
    known = {name: [values[place] for place in found] for name, values in shares.items()}
    figure = _lines(found, known, theme, markers=True)
    figure.update_xaxes(
        range=[-0.4, len(names) - 0.6], tickvals=[*range(len(names))], ticktext=list(names), title_text=title
    )
    figure.update_layout(margin={"l": 52, "r": 84, "t": 12, "b": 46})
    return finish(figure, theme, height)


def _lines(places: Sequence[int], known: Shares, theme: Theme, markers: bool = False) -> go.Figure:
    figure = go.Figure()
    colours = dict(zip(MEASURE_TITLES, SEQUENCE[theme], strict=False))
    last: dict[str, float] = {}
    for name, colour in colours.items():
        shares = known[name]
        figure.add_scatter(
            name=name.upper(),
            x=list(places),
            y=[None if share is None else round(100 * share, 2) for share in shares],
            mode="lines+markers" if markers or len(places) < 2 else "lines",
            line={"color": colour, "width": 2.5, "dash": _DASHES[name]},
            marker={"symbol": _MARKERS[name], "size": 8, "color": colour},
            hovertemplate="%{y:.1f} %",
        )
        if shares and (share := shares[-1]) is not None:
            last[name] = 100 * share
    heights = spread_labels(list(last.values()), _LABEL_GAP, 0.0, 100.0)
    for (name, value), height in zip(last.items(), heights, strict=True):
        figure.add_annotation(
            text=f"{name.upper()} {value:.1f}",
            x=places[-1],
            y=height,
            xanchor="left",
            xshift=8,
            showarrow=False,
            font={"size": 13, "color": colours[name]},
        )
    figure.update_xaxes(fixedrange=True, showgrid=False, zeroline=False)
    figure.update_yaxes(
        range=[-3, 103], fixedrange=True, tickvals=[0, 50, 100], ticktext=["0 %", "50 %", "100 %"], zeroline=False
    )
    return figure.update_layout(showlegend=False, hovermode="x unified")
