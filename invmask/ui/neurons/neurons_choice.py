"""The reader's choices on the page Neurons. All are in the address, so that a link shows the same page.

`cut` holds the decisions made by hand as a list of actions, so that each can be undone. Actions are separated by dots,
and the channels of an action by commas. Consecutive channels are written `8-11`. An `r` before an action restores
instead of
cutting: `cut=12,40-43.r7`.
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
    """One action: channels cut or restored by hand."""

    channels: tuple[int, ...]
    restore: bool = False


@dataclass(frozen=True)
class NeuronsChoice:
    """The page's choices.

    Attributes:
        by: the ranking, one of `RANKED_BY`.
        n: number of first channels that are cut; the nearest measured number is shown.
        colour: name of the quantity on the map.
        channel: the channel whose page is open, as named in the address; None for the overview.
        base: the start of cuts by hand: `TOP`, `LEARNED`, `NOTHING`, or the name of a mask.
        actions: the actions in order.
        draw: number of the draw of samples.
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
    """The combined effect of all actions: cut and restored channels, each in order; no channel is in both."""

    cut: tuple[int, ...]
    restored: tuple[int, ...]

    def apply(self, masks: Masks) -> Masks:
        """The masks after these decisions."""
        return edit.restored(edit.cut(masks, self.cut), self.restored)


def read(colours: Sequence[str], names: Sequence[str], channels: int) -> NeuronsChoice:
    """Read the choices from the address; missing or invalid ones get defaults.

    Args:
        colours: quantities that the map can show, the default first; some are also rankings.
        names: names of the run's masks made by hand.
        channels: number of channels of the network.
    """
    text = address.choice("cut", "")
    actions, wrong = parse_actions(text, channels)
    if wrong:
        address.leave_out("cut", "no channels of this network", ".".join(wrong), write_actions(actions) or None)
    # Rounds of the first phase make no triggers; the choice applies again at a round that does.
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
    """Parse the actions in the address, for a network with `channels` channels; also returns the invalid parts."""
    actions, wrong = [], []
    # All actions share these numbers, because an address can name a whole network hundreds of times.
    every = tuple(range(channels))
    for part in text.split(".") if text else []:
        found = _channels(part.removeprefix("r"), every) if _ACTION.fullmatch(part) else None
        if found is None or len(actions) == MOST_ACTIONS:
            wrong.append(part)
        else:
            actions.append(Action(found, part.startswith("r")))
    return tuple(actions), wrong


def _channels(text: str, every: Sequence[int]) -> tuple[int, ...] | None:
    """The channels of one action; None if it names channels that do not exist, or more than exist."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        low, high = int(first), int(last or first)
        if not low <= high < len(every) or len(found) + high - low >= len(every):
            return None
        found += every[low : high + 1]
    return tuple(dict.fromkeys(found))


def write_actions(actions: Sequence[Action]) -> str:
    """Write actions in the format that `parse_actions` reads."""
    return ".".join(("r" if action.restore else "") + _in_short(action.channels) for action in actions)


def _in_short(channels: Sequence[int]) -> str:
    """A few channels in the order of picking; many channels sorted, with ranges, to keep the address short."""
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
    """The combined effect of all actions in a network with `channels` channels; a later action wins."""
    state: dict[int, bool] = {}
    for action in actions:
        state |= {channel: action.restore for channel in action.channels if channel < channels}
    return Decided(
        tuple(sorted(channel for channel, restore in state.items() if not restore)),
        tuple(sorted(channel for channel, restore in state.items() if restore)),
    )


def act(channels: Sequence[int], restore: bool = False) -> None:
    """Cut or restore channels by hand.

    An action equal to the last one is ignored, because a click that arrives twice would have to be undone twice.
    """
    before, new = _parts(), write_actions([Action(tuple(channels), restore)])
    if channels and before[-1:] != [new]:
        address.choose("cut", ".".join(_with_room([*before, new])))


def _parts() -> list[str]:
    text = address.choice("cut", "")
    return text.split(".") if text else []


def _with_room(parts: list[str]) -> list[str]:
    """Limit the actions to the length of an address: the older half, or else all, are merged into their effect.

    Merged actions cannot be undone one by one.
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
    """Undo the last action."""
    address.choose("cut", ".".join(_parts()[:-1]) or None)


def set_base(base: str) -> None:
    """Start from another mask, without decisions made by hand."""
    address.choose("base", None if base == TOP else base)
    address.choose("cut", None)


def set_ranking(by: str) -> None:
    """Choose another ranking, and start from its first channels."""
    address.choose("by", None if by == next(iter(RANKED_BY)) else by)
    address.choose("base", None)


def set_number(n: int) -> None:
    """Cut the first `n` channels; decisions made by hand still apply on top."""
    address.choose("n", None if n == FIRST_SHOWN else str(n))
    address.choose("base", None)


def reset() -> None:
    """Go back to the top channels, without decisions made by hand."""
    set_base(TOP)


def set_channel(name: str | None) -> None:
    """Open a channel's page, or the overview."""
    address.choose("channel", name)
