"""Which classes a chart shows, and how they are named in it: many do not fit."""

from collections.abc import Iterable, Sequence
from typing import Any

ALL_UP_TO = 20
OF_MANY = 12
LONGEST = 24
"""Characters of a name that have room before the bars."""


def shown_classes(weights: Sequence[float], always: Iterable[int | None]) -> list[int]:
    """Places of the classes that a chart has room for, in the data set's order.

    All of at most 20; of more the dozen of the greatest weights, and with them, in place of the least of these, those
    that are `always` shown.

    Args:
        weights: one a class.
        always: places; None stands for none.
    """
    if len(weights) <= ALL_UP_TO:
        return list(range(len(weights)))
    first = list(dict.fromkeys(place for place in always if place is not None))
    others = sorted((place for place in range(len(weights)) if place not in first), key=lambda place: -weights[place])
    return sorted([*first, *others[: OF_MANY - len(first)]])


def short(title: str) -> str:
    """A class's name, cut where it is too long."""
    return title if len(title) <= LONGEST else title[: LONGEST - 1].rstrip() + "…"


def axis_of(names: Sequence[str]) -> dict[str, Any]:
    """The axis of bars at the places 0, 1, 2 and so on, from top to bottom.

    By places and not by names: names that are numbers would make an axis of numbers, and equal ones one bar.
    """
    places = list(range(len(names)))
    steady = {"fixedrange": True, "showgrid": False, "zeroline": False}
    return {"tickvals": places, "ticktext": list(names), "range": [len(names) - 0.5, -0.5], **steady}


def of_many(shown: int, classes: int) -> str:
    """`; 12 of 43 classes`, or nothing where all are shown."""
    return "" if shown == classes else f"; {shown} of {classes} classes"
