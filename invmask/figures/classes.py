"""Which classes a chart shows, and their names in it, because many classes do not fit."""

from collections.abc import Iterable, Sequence
from typing import Any

ALL_UP_TO = 20
OF_MANY = 12
LONGEST = 24
"""Longest name, in characters, that fits beside the bars."""


def shown_classes(weights: Sequence[float], always: Iterable[int | None]) -> list[int]:
    """Indices of the classes that a chart has room for, in the data set's order.

    Up to 20 classes are all shown. Of more classes, the dozen with the largest weights are shown; classes in `always`
    replace those with the smallest of these weights.

    Args:
        weights: one weight per class.
        always: indices of classes; None entries are ignored.
    """
    if len(weights) <= ALL_UP_TO:
        return list(range(len(weights)))
    first = list(dict.fromkeys(place for place in always if place is not None))
    others = sorted((place for place in range(len(weights)) if place not in first), key=lambda place: -weights[place])
    return sorted([*first, *others[: OF_MANY - len(first)]])


def short(title: str) -> str:
    """A class's name, shortened if it is too long."""
    return title if len(title) <= LONGEST else title[: LONGEST - 1].rstrip() + "…"


def axis_of(names: Sequence[str]) -> dict[str, Any]:
    """The axis of bars at the positions 0, 1, 2 and so on, from top to bottom.

    Positions are used instead of names: with names, numeric names would make a numeric axis, and equal names one bar.
    """
    places = list(range(len(names)))
    steady = {"fixedrange": True, "showgrid": False, "zeroline": False}
    return {"tickvals": places, "ticktext": list(names), "range": [len(names) - 0.5, -0.5], **steady}


def of_many(shown: int, classes: int) -> str:
    """`; 12 of 43 classes`; empty if all are shown."""
    return "" if shown == classes else f"; {shown} of {classes} classes"
