"""The choices of the page Tune in its address: the shown cut, the pins, and the runs of the curve."""

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

MOST_PINS = 2
MOST_VALUES = 20
MOST_DECIMALS = 6
NO_VALUES = "none"
_TURN = "tune/turn"


@dataclass(frozen=True)
class Pin:
    """A hard cut that the reader has pinned."""

    run: str
    round: int
    order: Order
    channels: int

    def text(self) -> str:
        return f"{self.run}.{self.round}.{self.order.value}.{self.channels}"


def order() -> Order:
    """The chosen order of cuts: by threshold or by score."""
    return Order(address.choice("by", Order.MASK.value, [each.value for each in Order]))


def set_order(chosen: Order) -> None:
    """Choose the order. The shown cut is reset, because another order has another curve."""
    address.choose("by", None if chosen is Order.MASK else chosen.value)
    set_proposed()


def asked_channels(most: int | None = None) -> int | None:
    """The number of channels cut, from the address; None to begin with the page's own choice.

    Args:
        most: number of channels of the network, if known.
    """
    return address.number("n", most, why="more channels than the network has")


def set_channels(channels: int) -> None:
    """Choose another cut."""
    address.choose("n", str(channels))


def set_proposed() -> None:
    """Choose the cut that the rule proposes."""
    address.choose("n", None)
    st.session_state[_TURN] = turn() + 1


def turn() -> int:
    """A counter that grows whenever something other than the slider changes the shown cut."""
    return st.session_state.get(_TURN, 0)


def point_shown(curves: CutCurves, chosen: Order) -> CutPoint | None:
    """The measured point nearest to the requested one, else the proposed point; None if there is none yet."""
    points, asked = curves.points[chosen], asked_channels()
    if not points:
        return None
    if asked is None:
        found = propose(points)
        return points[0] if found is None else found.point
    return min(points, key=lambda point: abs(point.cut.channels - asked))


def pins() -> list[Pin]:
    """The pinned cuts in the order of pinning; invalid ones are left out."""
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
    """Pin a cut; a third pin replaces the second."""
    kept = [each for each in pins() if each != new]
    address.choose("pins", "~".join(each.text() for each in [*kept[: MOST_PINS - 1], new]))


def unpin(old: Pin) -> None:
    """Unpin a cut."""
    address.choose("pins", "~".join(each.text() for each in pins() if each != old) or None)


def plain(value: float) -> str:
    """A value as text that can be read again: no exponent, at most six decimals; `0` for smaller values."""
    text = f"{value:.{MOST_DECIMALS}f}"
    return text.rstrip("0").rstrip(".")


def parse_values(text: str, title: str, least: float, most: float, whole: bool) -> tuple[float, ...]:
    """Parse `3, 7.5` as numbers: each once, rising.

    Args:
        title: title of the setting.
        least, most: range of the setting.
        whole: whether the setting is a whole number.

    Raises:
        UserError: the text does not hold numbers; or they are out of range, have too many decimals for the address, or
            are more than 20.
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
    """The curve's values from the address, rising; None if there are no valid ones.

    Values above `most` become `most`, because `most` differs between victims, and the address is kept for another
    victim.
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
    """Choose other values for the curve."""
    address.choose("values", "~".join(plain(value) for value in sorted(set(values))) or NO_VALUES)
