"""Curves of hard cuts as numbers for a figure, for the page Tune and the book."""

import numpy as np
import plotly.graph_objects as go

from invmask.evidence.threshold import CutPoint, Order, propose
from invmask.figures.measures import MEASURE_TITLES
from invmask.figures.palette import Theme
from invmask.figures.tune import cut_curves
from invmask.runs.work.cut_curves import CutCurves


def cut_words(point: CutPoint) -> str:
    """`107 channels, m < 0.45`."""
    few = "1 channel" if point.cut.channels == 1 else f"{point.cut.channels:,} channels"
    return f"{few}, m < {point.cut.threshold:g}" if point.cut.threshold is not None and point.cut.channels else few


def cut_figure(
    curves: CutCurves, order: Order, theme: Theme, shown: int | None = None, wide: bool = False
) -> go.Figure:
    """The curves of one order as far as measured, with the shown cut and the proposed cut marked."""
    points = curves.points[order]
    measures = [name for name in MEASURE_TITLES if getattr(curves.original, name) is not None]
    values = {
        name: {
            "original": np.full(len(points), getattr(curves.original, name)),
            "pruned": np.array([getattr(point.pruned, name) for point in points]),
            "inverse": np.array([getattr(point.inverse, name) for point in points]),
        }
        for name in measures
    }
    channels = np.array([point.cut.channels for point in points], int)
    # The curves of both orders end at the same number of channels, which is measured second.
    end = max((point.cut.channels for each in curves.points.values() for point in each), default=0) or 1
    found = propose(points) if curves.complete else None
    proposed = found.point.cut.channels if found is not None else None
    labels = [cut_words(point) for point in points]
    return cut_curves(channels, values, end, theme, shown, proposed, labels, wide)
