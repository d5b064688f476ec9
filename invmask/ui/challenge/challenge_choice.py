"""The player's choices in the challenge. All are in the address, so that a link shows the same cut."""

from dataclasses import dataclass

from invmask.evidence.challenge import BUDGETS
from invmask.ui.neurons import neurons_choice
from invmask.ui.neurons.neurons_choice import Action
from invmask.ui.shell import address

FIRST_BUDGET = 10
NOTHING = "nothing"


@dataclass(frozen=True)
class ChallengeChoice:
    """The choices.

    Attributes:
        budget: how many channels may be cut, one of `BUDGETS`.
        cut: the channels that are cut, in the order of picking.
        shade: the quantity that the channels are shaded by; `NOTHING` for none.
    """

    budget: int
    cut: tuple[int, ...]
    shade: str


def read(channels: int, shades: list[str]) -> ChallengeChoice:
    """Read the choices from the address; missing or invalid ones get defaults.

    Args:
        channels: number of channels of the network.
        shades: the quantities that are known.
    """
    budget = int(address.choice("n", str(FIRST_BUDGET), [str(number) for number in BUDGETS]))
    text = address.choice("cut", "")
    actions, wrong = neurons_choice.parse_actions(text, channels)
    cut = actions[0].channels if len(actions) == 1 and not wrong and not actions[0].restore else ()
    if text and not cut:
        address.leave_out("cut", "no channels of this network")
    if len(cut) > budget:
        cut = cut[:budget]
        address.leave_out("cut", f"more than {budget} channels", kept=_text(cut))
    return ChallengeChoice(budget, cut, address.choice("colour", shades[0], shades))


def toggle(choice: ChallengeChoice, channel: int) -> None:
    """Cut a channel, if the budget allows one more, or restore it."""
    cut = [known for known in choice.cut if known != channel]
    if channel not in choice.cut and len(cut) < choice.budget:
        cut.append(channel)
    address.choose("cut", _text(tuple(cut)) if cut else None)


def clear() -> None:
    """Restore all channels."""
    address.choose("cut", None)


def set_budget(choice: ChallengeChoice, budget: int) -> None:
    """Choose another budget; what is cut beyond it is restored."""
    address.choose("n", None if budget == FIRST_BUDGET else str(budget))
    if len(choice.cut) > budget:
        address.choose("cut", _text(choice.cut[:budget]))


def set_shade(shade: str, first: str) -> None:
    """Shade by another quantity."""
    address.choose("colour", None if shade == first else shade)


def _text(cut: tuple[int, ...]) -> str:
    return neurons_choice.write_actions([Action(cut)])
