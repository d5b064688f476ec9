"""What people chose on the page Neurons. All of it lives in the address, so that a link shows the same.

`cut` holds what was decided by hand, one action after the other so that it can be undone: actions are separated by
dots, the channels of one by commas, those in a row as `8-11`, and an `r` before an action restores instead of cutting:
`cut=12,40-43.r7`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from invmask.masks import edit
from invmask.masks.state import Masks
from invmask.runs import named_masks
from invmask.ui import address

LEARNED, NOTHING = named_masks.LEARNED, named_masks.NOTHING
MOST_CHANNELS = 100_000
"""More than any network here has; an address that names more is not taken at its word."""
MOST_ACTIONS = 200
FEW = 20
_ACTION = re.compile(r"r?\d{1,6}(-\d{1,6})?(,\d{1,6}(-\d{1,6})?)*", re.ASCII)


@dataclass(frozen=True)
class Action:
    """Channels cut by hand, or restored."""

    channels: tuple[int, ...]
    restore: bool = False


@dataclass(frozen=True)
class NeuronsChoice:
    """The page's choices.

    Attributes:
        colour: the quantity on the map, by its name.
        round: the round looked at; None for the latest.
        channel: the channel whose page is open, as the address names it; None for the overview.
        base: what the cuts by hand start from: `LEARNED`, `NOTHING`, or the name of a mask.
        actions: in order.
        draw: which samples are drawn.
    """

    colour: str
    round: int | None
    channel: str | None
    base: str
    actions: tuple[Action, ...]
    draw: int


@dataclass(frozen=True)
class Decided:
    """What all actions together come to: channels in order; none is in both."""

    cut: tuple[int, ...]
    restored: tuple[int, ...]

    def apply(self, masks: Masks) -> Masks:
        """The masks with all this decided by hand."""
        return edit.restored(edit.cut(masks, self.cut), self.restored)


def read(colours: Sequence[str], names: Sequence[str]) -> NeuronsChoice:
    """The choices in the address; defaults for what is missing or makes no sense.

    Args:
        colours: quantities that the map can show, the default first.
        names: masks that the run has beside its own.
    """
    return NeuronsChoice(
        colour=address.choice("colour", colours[0], colours),
        round=address.number("round"),
        channel=address.choice("channel", "") or None,
        base=address.choice("base", LEARNED, [LEARNED, NOTHING, *names]),
        actions=parse_actions(address.choice("cut", "")),
        draw=address.number("draw") or 0,
    )


def parse_actions(text: str) -> tuple[Action, ...]:
    """Actions as the address holds them; what makes no sense is passed over."""
    parts = (part for part in text.split(".")[:MOST_ACTIONS] if _ACTION.fullmatch(part))
    return tuple(Action(_channels(part.removeprefix("r")), part.startswith("r")) for part in parts)


def _channels(text: str) -> tuple[int, ...]:
    found: dict[int, None] = {}
    for part in text.split(","):
        first, _, last = part.partition("-")
        found |= dict.fromkeys(range(int(first), min(int(last or first), MOST_CHANNELS) + 1))
    return tuple(found)


def write_actions(actions: Sequence[Action]) -> str:
    """What `parse_actions` reads."""
    return ".".join(("r" if action.restore else "") + _in_short(action.channels) for action in actions)


def _in_short(channels: Sequence[int]) -> str:
    """A few in the order in which they were picked; of many, those in a row as a range, for addresses are short."""
    if len(channels) <= FEW:
        return ",".join(map(str, channels))
    rows: list[list[int]] = []
    for channel in sorted(channels):
        if rows and channel == rows[-1][1] + 1:
            rows[-1][1] = channel
        else:
            rows.append([channel, channel])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in rows)


def decided(actions: Sequence[Action], channels: int) -> Decided:
    """What all actions come to in a network of so many channels; a later one wins."""
    state: dict[int, bool] = {}
    for action in actions:
        state |= {channel: action.restore for channel in action.channels if channel < channels}
    return Decided(
        tuple(sorted(channel for channel, restore in state.items() if not restore)),
        tuple(sorted(channel for channel, restore in state.items() if restore)),
    )


def act(channels: Sequence[int], restore: bool = False) -> None:
    """Cut or restore channels by hand.

    What was just done is not done again: a click that arrives twice would have to be undone twice.
    """
    before, action = parse_actions(address.choice("cut", "")), Action(tuple(channels), restore)
    if channels and write_actions(before[-1:]) != write_actions([action]):
        address.choose("cut", write_actions([*_with_room(before), action]))


def _with_room(actions: Sequence[Action]) -> list[Action]:
    """Room for one more: where there are very many, the older half becomes what it comes to, and cannot be undone."""
    if len(actions) < MOST_ACTIONS:
        return list(actions)
    half = MOST_ACTIONS // 2
    past = decided(actions[:half], MOST_CHANNELS)
    kept = [Action(past.cut), Action(past.restored, restore=True)]
    return [*(action for action in kept if action.channels), *actions[half:]]


def undo() -> None:
    """Take the last action back."""
    address.choose("cut", write_actions(parse_actions(address.choice("cut", ""))[:-1]) or None)


def set_base(base: str) -> None:
    """Start from another mask, with nothing decided by hand."""
    address.choose("base", None if base == LEARNED else base)
    address.choose("cut", None)


def reset() -> None:
    """Back to the learned mask."""
    set_base(LEARNED)


def set_channel(name: str | None) -> None:
    """Open a channel's page, or the overview."""
    address.choose("channel", name)
