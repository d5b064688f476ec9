"""Common parts of curves over rounds: a stable axis, the boundaries of phases, and labels at the lines' ends."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import plotly.graph_objects as go

from invmask.figures.palette import NEUTRAL, Theme

STEPS = (20, 50, 100, 200, 300, 400, 500, 700, 1000, 1500, 2000, 3000, 4000, 5000, 6000)
MOST_POINTS = 400


@dataclass(frozen=True)
class PhaseSpan:
    """One stage of a run so far: its name, its first round, its last round so far, and its titles."""

    phase: str
    first: int
    last: int
    title: str = ""
    short: str = ""


def phase_spans(phases: Sequence[str], titles: Mapping[str, tuple[str, str]] | None = None) -> tuple[PhaseSpan, ...]:
    """The spans of consecutive rounds of one stage.

    Args:
        phases: the stage of each round, from round 1.
        titles: the title and the short title of each stage; a stage without titles is called by its name.
    """
    spans: list[PhaseSpan] = []
    for number, phase in enumerate(phases, 1):
        if spans and spans[-1].phase == phase:
            spans[-1] = replace(spans[-1], last=number)
        else:
            spans.append(PhaseSpan(phase, number, number, *(titles or {}).get(phase, (phase, phase))))
    return tuple(spans)


def axis_end(last: int, most: int) -> int:
    """The last round on the axis. It grows in a few large steps, so that it rarely changes, and stops at `most`."""
    if last >= most:
        return max(1, last)
    return min(next((step for step in STEPS if step > last), last), most)


def nice_ceiling(value: float) -> float:
    """The smallest 1, 2, 5 or 10 times a power of ten that is at least `value`; 1 if `value` is not positive."""
    if not value > 0 or math.isinf(value):
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= value * (1 - 1e-9))


def thinned(count: int, most: int = MOST_POINTS) -> np.ndarray:
    """Indices of the points to draw, int64: all points up to `most`, then every second, fourth, ... and the last.

    The stride is a power of two, so that drawn points do not move while a run goes on.
    """
    stride = 1
    while count / stride > most:
        stride *= 2
    kept = np.arange(0, count, stride)
    return kept if not count or kept[-1] == count - 1 else np.append(kept, count - 1)


def spread_labels(values: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Heights for labels at `values`, in the same order, at least `gap` apart, within [low, high] if they fit."""
    order = sorted(range(len(values)), key=lambda place: values[place])
    heights = [min(max(values[place], low), high) for place in order]
    for i in range(1, len(heights)):
        heights[i] = max(heights[i], heights[i - 1] + gap)
    top = high
    for i in reversed(range(len(heights))):
        heights[i] = min(heights[i], top)
        top = heights[i] - gap
    placed = [0.0] * len(values)
    for place, height in zip(order, heights, strict=True):
        placed[place] = height
    return placed


def mark_phases(
    figure: go.Figure,
    spans: Sequence[PhaseSpan],
    end: int,
    theme: Theme,
    narrow: bool = False,
    least: float = 0.1,
) -> None:
    """Draw a line between two phases in every panel, and name the phases above the first panel.

    Args:
        narrow: whether the figure is only a part of the page wide; then names are short, as on paper.
        least: a phase with a smaller share of the axis is not named, because a name needs room.
    """
    for span in spans[1:]:
        line = {"color": NEUTRAL[theme], "width": 1, "dash": "dot"}
        figure.add_vline(x=span.first - 0.5, line=line, row="all", col="all")
    brief = narrow or theme == "paper"
    for span in spans:
        if span.last - span.first + 1 < least * end and len(spans) > 1:
            continue
        figure.add_annotation(
            text=span.short if brief else span.title,
            x=span.first - 0.5,
            y=1,
            yref="y domain",
            xanchor="left",
            yanchor="bottom",
            showarrow=False,
            font={"size": 12, "color": NEUTRAL[theme]},
        )


def mark_round(figure: go.Figure, shown: int | None, theme: Theme) -> None:
    """Draw a line through every panel at the round that the reader looks at; none while the latest is followed."""
    if shown is not None:
        figure.add_vline(x=shown, line={"color": NEUTRAL[theme], "width": 2}, row="all", col="all")
