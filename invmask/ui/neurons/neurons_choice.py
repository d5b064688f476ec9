"""What people chose on the page Neurons. All of it lives in the address, so that a link shows the same.

`cut` holds what was decided by hand, one action after the other so that it can be undone: actions are separated by
dots, the channels of one by commas, those in a row as `8-11`, and an `r` before an action restores instead of cutting:
`cut=12,40-43.r7`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from invmask.frames.channels import RANKED_BY
from invmask.frames.neurons import FIRST_SHOWN
from invmask.masks import edit
from invmask.masks.state import Masks
from invmask.runs.store import named_masks
from invmask.ui.shell import address

LEARNED, NOTHING, TOP = named_masks.LEARNED, named_masks.NOTHING, named_masks.TOP
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
        by: what channels are ranked by, one of `RANKED_BY`.
        n: how many of the first are cut; of those measured the nearest is shown.
        colour: the quantity on the map, by its name.
        channel: the channel whose page is open, as the address names it; None for the overview.
        base: what the cuts by hand start from: `TOP`, `LEARNED`, `NOTHING`, or the name of a mask.
        actions: in order.
        draw: which samples are drawn.
    """

    by: str
    n: int
    colour: str
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


def read(colours: Sequence[str], names: Sequence[str], channels: int) -> NeuronsChoice:
    """The choices in the address; defaults for what is missing or makes no sense.

    Args:
        colours: quantities that the map can show, the default first; some of them channels are ranked by.
        names: masks that the run has beside its own.
        channels: how many the network has.
    """
    text = address.choice("cut", "")
    actions, wrong = parse_actions(text, channels)
    if wrong:
        address.leave_out("cut", "no channels of this network", ".".join(wrong), write_actions(actions) or None)
    # Rounds of the first phase make no triggers: the next one that does shows them again.
    colour = address.choice("colour", colours[0], [*colours, "synthesized"])
    by = address.choice("by", next(iter(RANKED_BY)), [name for name in RANKED_BY if name in (*colours, "synthesized")])
    n = address.number("n", channels, why="more channels than the network has")
    return NeuronsChoice(
        by=by if by in colours else next(iter(RANKED_BY)),
        n=FIRST_SHOWN if n is None else n,
        colour=colour if colour in colours else colours[0],
        channel=address.choice("channel", "") or None,
        base=address.mask("base", TOP, [LEARNED, NOTHING, *names]),
        actions=actions,
        draw=address.number("draw") or 0,
    )


def parse_actions(text: str, channels: int) -> tuple[tuple[Action, ...], list[str]]:
    """Actions as the address holds them, in a network of so many channels, and what makes no sense in it."""
    actions, wrong = [], []
    # Numbers that all actions share: an address can name a whole network hundreds of times over.
    every = tuple(range(channels))
    for part in text.split(".") if text else []:
        found = _channels(part.removeprefix("r"), every) if _ACTION.fullmatch(part) else None
        if found is None or len(actions) == MOST_ACTIONS:
            wrong.append(part)
        else:
            actions.append(Action(found, part.startswith("r")))
    return tuple(actions), wrong


def _channels(text: str, every: Sequence[int]) -> tuple[int, ...] | None:
    """The channels of one action; None where it names some that are not there, or more than there are."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        low, high = int(first), int(last or first)
        if not low <= high < len(every) or len(found) + high - low >= len(every):
            return None
        found += every[low : high + 1]
    return tuple(dict.fromkeys(found))


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
    before, new = _parts(), write_actions([Action(tuple(channels), restore)])
    if channels and before[-1:] != [new]:
        address.choose("cut", ".".join(_with_room([*before, new])))


def _parts() -> list[str]:
    text = address.choice("cut", "")
    return text.split(".") if text else []


def _with_room(parts: list[str]) -> list[str]:
    """No more actions than the address holds: of very many the older half, or else all, become what they come to.

    What has become one with others cannot be undone by itself.
    """
    for past in (0, len(parts) // 2, len(parts)):
        shorter = [*_in_one(parts[:past]), *parts[past:]] if past else parts
        if len(shorter) <= MOST_ACTIONS and len(".".join(shorter)) <= address.MOST_LETTERS:
            return shorter
    return parts


def _in_one(parts: Sequence[str]) -> list[str]:
    channels = 1 + max(map(int, re.findall(r"\d+", ".".join(parts))))
    past = decided(parse_actions(".".join(parts), channels)[0], channels)
    kept = (Action(past.cut), Action(past.restored, restore=True))
    return [write_actions([action]) for action in kept if action.channels]


def undo() -> None:
    """Take the last action back."""
    address.choose("cut", ".".join(_parts()[:-1]) or None)


def set_base(base: str) -> None:
    """Start from another mask, with nothing decided by hand."""
    address.choose("base", None if base == TOP else base)
    address.choose("cut", None)


def set_ranking(by: str) -> None:
    """Rank channels by another number, and start from the first of these."""
    address.choose("by", None if by == next(iter(RANKED_BY)) else by)
    address.choose("base", None)


def set_number(n: int) -> None:
    """Cut so many of the first channels; what is decided by hand stays on top of it."""
    address.choose("n", None if n == FIRST_SHOWN else str(n))
    address.choose("base", None)


def reset() -> None:
    """Back to the top channels, with nothing decided by hand."""
    set_base(TOP)


def set_channel(name: str | None) -> None:
    """Open a channel's page, or the overview."""
    address.choose("channel", name)
