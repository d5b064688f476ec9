"""What the page Tune has in its address: the cut looked at, what is pinned, and which runs are laid out."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from invmask.errors import UserError
from invmask.evidence.threshold import CutPoint, Order, propose
from invmask.runs.store.all_runs import RUN_ID
from invmask.runs.work.cut_curves import CutCurves
from invmask.ui.shell import address
from invmask.ui.shell.names import quoted

MOST_PINS = 2
MOST_SEEDS = 20
MOST_VALUES = 20
MOST_SEED = 2**31 - 1
MOST_DECIMALS = 6
NO_VALUES = "none"
_TURN = "tune/turn"


@dataclass(frozen=True)
class Pin:
    """A hard cut that the reader keeps in sight."""

    run: str
    round: int
    order: Order
    channels: int

    def text(self) -> str:
        return f"{self.run}.{self.round}.{self.order.value}.{self.channels}"


def order() -> Order:
    """By threshold, or by score."""
    return Order(address.choice("by", Order.MASK.value, [each.value for each in Order]))


def set_order(chosen: Order) -> None:
    """Another order is another curve: the place on the old one means nothing there."""
    address.choose("by", None if chosen is Order.MASK else chosen.value)
    set_proposed()


def asked_channels(most: int | None = None) -> int | None:
    """The number of channels cut in the address; None where the page begins with its own.

    Args:
        most: as many as the network has, where that is known.
    """
    return address.number("n", most, why="more channels than the network has")


def set_channels(channels: int) -> None:
    """Look at another cut."""
    address.choose("n", str(channels))


def set_proposed() -> None:
    """Look at the cut that the rule proposes."""
    address.choose("n", None)
    st.session_state[_TURN] = turn() + 1


def turn() -> int:
    """Grows whenever something else than its slider changes the cut that is looked at."""
    return st.session_state.get(_TURN, 0)


def point_shown(curves: CutCurves, chosen: Order) -> CutPoint | None:
    """The point measured that is nearest to the one asked for, else the proposed one; None where there is none yet."""
    points, asked = curves.points[chosen], asked_channels()
    if not points:
        return None
    if asked is None:
        found = propose(points)
        return points[0] if found is None else found.point
    return min(points, key=lambda point: abs(point.cut.channels - asked))


def pins() -> list[Pin]:
    """What is pinned, in the order in which it was; what makes no sense is left out."""
    text = address.choice("pins", "")
    texts = text.split("~") if text else []
    found = dict.fromkeys(known for each in texts if (known := _pin(each)) is not None)
    kept = list(found)[:MOST_PINS]
    if len(kept) < len(texts):
        wrong = "~".join(each for each in texts if _pin(each) is None)
        why = "no cuts" if wrong else f"more than {MOST_PINS}"
        address.leave_out("pins", why, wrong or None, "~".join(each.text() for each in kept) or None)
    return kept


def _pin(text: str) -> Pin | None:
    parts = text.split(".")
    if len(parts) != 4 or not RUN_ID.fullmatch(parts[0]) or parts[2] not in list(Order):
        return None
    if not all(map(address.is_number, parts[1::2])):
        return None
    return Pin(parts[0], int(parts[1]), Order(parts[2]), int(parts[3]))


def pin(new: Pin) -> None:
    """Keep a cut in sight; a third takes the place of the second."""
    kept = [each for each in pins() if each != new]
    address.choose("pins", "~".join(each.text() for each in [*kept[: MOST_PINS - 1], new]))


def unpin(old: Pin) -> None:
    """Let a cut go."""
    address.choose("pins", "~".join(each.text() for each in pins() if each != old) or None)


def parse_seeds(text: str) -> tuple[int, ...]:
    """`0-2, 7` as 0, 1, 2, 7: each once, rising.

    Raises:
        UserError: not seeds, or more than 20.
    """
    found: set[int] = set()
    for part in text.replace(" ", "").split(","):
        low, dash, high = part.partition("-")
        ends = [low, high] if dash else [low, low]
        if not all(end.isascii() and end.isdecimal() and len(end) <= 10 for end in ends):
            raise UserError(f"Seeds are whole numbers such as '0-2, 7', not {quoted(text)}.")
        first, last = map(int, ends)
        if first > last or last > MOST_SEED or last - first >= MOST_SEEDS:
            raise UserError(f"{quoted(part)} is no range of at most {MOST_SEEDS} seeds from small to large.")
        found |= set(range(first, last + 1))
    if len(found) > MOST_SEEDS:
        raise UserError(f"At most {MOST_SEEDS} seeds at a time, not {len(found)}.")
    return tuple(sorted(found))


def plain(value: float) -> str:
    """A value as it is read again: no exponent, at most six digits after the point; `0` where it is smaller."""
    text = f"{value:.{MOST_DECIMALS}f}"
    return text.rstrip("0").rstrip(".")


def parse_values(text: str, title: str, least: float, most: float, whole: bool) -> tuple[float, ...]:
    """`3, 7.5` as numbers: each once, rising.

    Args:
        title: of the setting that they are values of.
        least, most: what it can be.
        whole: it is a whole number.

    Raises:
        UserError: not numbers, out of range, finer than the address keeps them, or more than 20.
    """
    found: set[float] = set()
    for part in re.split(r"[,;\s]+", text.strip(" ,;")):
        if not re.fullmatch(r"\d{1,9}(\.\d+)?", part, re.ASCII):
            raise UserError(f"{title}: numbers such as '3, 7', not '{text[:40]}'.")
        if len(part.partition(".")[2].rstrip("0")) > MOST_DECIMALS:
            raise UserError(f"{title}: at most {MOST_DECIMALS} digits after the point, not {part[:40]}.")
        value = float(part)
        if not least <= value <= most or (whole and not value.is_integer()):
            kind = "a whole number" if whole else "a number"
            raise UserError(f"{title} has to be {kind} from {least:g} to {most:g}, not {part[:40]}.")
        found.add(value)
    if len(found) > MOST_VALUES:
        raise UserError(f"At most {MOST_VALUES} values at a time, not {len(found)}.")
    return tuple(sorted(found))


def asked_values(least: float, most: float, whole: bool) -> tuple[float, ...] | None:
    """The values laid out by the address, rising; None where it says nothing of them, or nothing that makes sense.

    What is above `most` becomes that: what it is can differ between victims, and the address goes on to another one.
    """
    text = address.choice("values", "")
    try:
        found = () if text == NO_VALUES else parse_values(text.replace("~", ","), "", least, math.inf, whole)
    except UserError:
        if text:
            address.leave_out("values")
        return None
    return tuple(sorted({min(value, most) for value in found}))


def set_values(values: Sequence[float]) -> None:
    """Lay out other values."""
    address.choose("values", "~".join(plain(value) for value in sorted(set(values))) or NO_VALUES)
