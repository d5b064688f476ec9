"""Curves for tuning: measures against the number of channels cut, and against a setting over several runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from invmask.figures.measures import BESIDE, MEASURE_TITLES, WIDE_HEIGHT, measure_panels
from invmask.figures.palette import NEUTRAL, TEXT, VIEW_DASHES, VIEW_MARKERS, VIEW_TITLES, Theme, view_colour
from invmask.figures.rounds import spread_labels
from invmask.figures.template import finish, panel_title

PANEL_HEIGHT = 140
_LABEL_GAP = 15.0


@dataclass(frozen=True)
class SweepPoint:
    """One finished run on a curve: the setting's value, its seed, its id, and shares in [0, 1] by measure and view."""

    value: float
    seed: int
    run: str
    shares: Mapping[str, Mapping[str, float]]


def cut_curves(
    channels: np.ndarray,
    values: Mapping[str, Mapping[str, np.ndarray]],
    end: int,
    theme: Theme,
    shown: int | None = None,
    proposed: int | None = None,
    labels: Sequence[str] = (),
    wide: bool = False,
) -> go.Figure:
    """One panel per measure, one line per view, over the number of channels cut; 0 to 100 %.

    Args:
        channels: int [P], rising.
        values: shares [P] in [0, 1] by measure (of `MEASURE_TITLES`) and view.
        end: the end of the axis of channels.
        shown: the cut that the reader looks at, one of `channels`; marked by a line, with its values beside the names.
        proposed: the cut that the rule proposes.
        labels: [P], a text for each point beside its number; empty for no texts.
        wide: for two columns of a paper, with the panels side by side.
    """
    figure = _panels(values, "channels cut", [0, end], theme, wide)
    at = int(np.flatnonzero(channels == shown)[0]) if shown is not None and shown in channels else len(channels) - 1
    for number, (measure, views) in enumerate(values.items(), 1):
        row, column = (1, number) if wide else (number, 1)
        for view, shares in views.items():
            figure.add_trace(
                go.Scatter(
                    name=VIEW_TITLES[view],
                    meta=MEASURE_TITLES[measure],
                    x=channels,
                    y=np.round(100 * shares, 2),
                    mode="lines+markers",
                    line={"color": view_colour(view, theme), "width": 2.5, "dash": VIEW_DASHES[view]},
                    marker={"symbol": VIEW_MARKERS[view], "size": 5},
                    cliponaxis=False,
                    text=list(labels) or None,
                    hovertemplate="%{text}: %{y:.1f} %" if labels else "%{y:.1f} %",
                ),
                row=row,
                col=column,
            )
        if len(channels):
            _name_lines(figure, number, {view: 100 * float(shares[at]) for view, shares in views.items()}, theme)
        if shown is not None and len(channels):
            here = {view: shares[at] for view, shares in views.items()}
            _mark_point(figure, row, column, MEASURE_TITLES[measure], int(channels[at]), here, theme)
    if shown is not None and len(channels):
        line = {"color": TEXT[theme], "width": 1.5}
        figure.add_vline(x=int(channels[at]), line=line, row="all", col="all")
    if proposed is not None:
        line = {"color": NEUTRAL[theme], "width": 1.5, "dash": "dot"}
        figure.add_vline(x=proposed, line=line, row="all", col="all")
        figure.add_annotation(
            text="proposed",
            x=proposed,
            y=1,
            yref="y domain",
            xanchor="left" if proposed < 0.8 * end else "right",
            yanchor="bottom",
            showarrow=False,
            font={"size": 12, "color": NEUTRAL[theme]},
        )
    return figure


def sweep_curves(
    points: Sequence[SweepPoint], order: Sequence[float], title: str, theme: Theme, wide: bool = False
) -> go.Figure:
    """One panel per measure: the mean over seeds as a line, the standard deviation as bars, runs as clickable markers.

    Args:
        points: the finished runs; `customdata` of a marker is the run's id.
        order: all values of the setting on the axis, rising, with or without runs; evenly spaced.
        title: title of the setting.
        wide: for two columns of a paper, with the panels side by side.
    """
    measures = [name for name in MEASURE_TITLES if points and name in points[0].shares] or ["acc"]
    views = [view for view in VIEW_TITLES if points and view in points[0].shares[measures[0]]]
    figure = _panels(measures, title, [-0.4, len(order) - 0.6], theme, wide)
    figure.update_xaxes(tickvals=list(range(len(order))), ticktext=[f"{value:g}" for value in order])
    # Markers are side by side at the positions 0, 1, 2 and so on; this gives tables the values behind the positions.
    figure.update_layout(meta={"x": list(order)})
    for number, measure in enumerate(measures, 1):
        place_of = (1, number) if wide else (number, 1)
        latest: dict[str, float] = {}
        for offset, view in zip((-0.09, 0.0, 0.09), views, strict=False):
            mean = _add_means(figure, place_of, measure, view, offset, points, order, theme)
            if mean is not None:
                latest[view] = mean
        _name_lines(figure, number, latest, theme)
    return figure


def _add_means(
    figure: go.Figure,
    place_of: tuple[int, int],
    measure: str,
    view: str,
    offset: float,
    points: Sequence[SweepPoint],
    order: Sequence[float],
    theme: Theme,
) -> float | None:
    """Draw means and bars; returns the last mean in per cent. `place_of` is the row and column of the panel."""
    row, column = place_of
    by_value = [[100 * p.shares[measure][view] for p in points if p.value == value] for value in order]
    places = [place for place, shares in enumerate(by_value) if shares]
    means = [float(np.mean(by_value[place])) for place in places]
    # The sample standard deviation, which needs at least two seeds.
    spread = [float(np.std(by_value[p], ddof=1)) if len(by_value[p]) > 1 else np.nan for p in places]
    colour = view_colour(view, theme)
    figure.add_trace(
        go.Scatter(
            name=f"{VIEW_TITLES[view]}, mean ± standard deviation",
            meta=MEASURE_TITLES[measure],
            x=[place + offset for place in places],
            y=np.round(means, 2),
            error_y={"type": "data", "array": np.round(spread, 2), "color": colour, "thickness": 1.5, "width": 4},
            mode="lines",
            line={"color": colour, "width": 2.5, "dash": VIEW_DASHES[view]},
            hoverinfo="skip",
        ),
        row=row,
        col=column,
    )
    own = [point for point in points if point.value in order]
    figure.add_trace(
        go.Scatter(
            name=f"{VIEW_TITLES[view]}, each run",
            meta=MEASURE_TITLES[measure],
            x=[list(order).index(point.value) + offset for point in own],
            y=[round(100 * point.shares[measure][view], 2) for point in own],
            mode="markers",
            marker={"color": colour, "symbol": f"{VIEW_MARKERS[view]}-open", "size": 10, "line": {"width": 2}},
            cliponaxis=False,
            customdata=[[point.run] for point in own],
            text=[f"{VIEW_TITLES[view]}, seed {point.seed}" for point in own],
            hovertemplate="%{text}: %{y:.1f} %<br>click to open the run<extra></extra>",
        ),
        row=row,
        col=column,
    )
    return means[-1] if means else None


def _panels(
    measures: Sequence[str] | Mapping[str, object], title: str, span: list[float], theme: Theme, wide: bool
) -> go.Figure:
    names = [name for name in MEASURE_TITLES if name in measures]
    figure = measure_panels(len(names), 0.27, wide)
    for number, name in enumerate(names, 1):
        axis = "" if number == 1 else str(number)
        panel_title(figure, f"<b>{MEASURE_TITLES[name]}</b>", 1 if wide else number, axis, theme)
    figure.update_xaxes(range=span, fixedrange=True, showgrid=False, zeroline=False)
    figure.update_xaxes(title_text=title, row=1 if wide else len(names))
    figure.update_yaxes(
        range=[-4, 104], fixedrange=True, tickvals=[0, 50, 100], ticktext=["0 %", "50 %", "100 %"], zeroline=False
    )
    # A marker at the left end extends towards the words.
    figure.update_yaxes(ticklabelstandoff=6)
    figure.update_layout(showlegend=False, hovermode="closest", margin={"l": 52, "r": BESIDE, "t": 46, "b": 46})
    return finish(figure, theme, 92 + (WIDE_HEIGHT if wide else PANEL_HEIGHT * len(names)))


def _name_lines(figure: go.Figure, number: int, latest: Mapping[str, float], theme: Theme) -> None:
    heights = spread_labels(list(latest.values()), _LABEL_GAP, 0.0, 100.0)
    axis = "" if number == 1 else str(number)
    for (view, value), height in zip(latest.items(), heights, strict=True):
        figure.add_annotation(
            text=f"{VIEW_TITLES[view]} {value:.1f}",
            x=1,
            y=height,
            xref=f"x{axis} domain",
            yref=f"y{axis}",
            xanchor="left",
            xshift=6,
            showarrow=False,
            font={"size": 13, "color": view_colour(view, theme)},
        )


def _mark_point(
    figure: go.Figure, row: int, column: int, panel: str, at: int, shares: Mapping[str, float], theme: Theme
) -> None:
    for view, share in shares.items():
        figure.add_trace(
            go.Scatter(
                name=f"{VIEW_TITLES[view]}, this cut",
                meta=panel,
                x=[at],
                y=[round(100 * float(share), 2)],
                mode="markers",
                marker={"symbol": VIEW_MARKERS[view], "size": 12, "color": view_colour(view, theme)},
                cliponaxis=False,
                hoverinfo="skip",
            ),
            row=row,
            col=column,
        )
