"""Attacks by name."""

from typing import Any

from invmask.attacks.badnets import BadNets
from invmask.attacks.base import Attack
from invmask.attacks.blended import Blended
from invmask.attacks.sig import SIG
from invmask.errors import UserError

ATTACKS: dict[str, type[Attack]] = {attack.name: attack for attack in (BadNets, Blended, SIG)}


def make_attack(name: str, settings: dict[str, Any] | None = None) -> Attack:
    """The attack of that name, with the settings from a victim's card (defaults where none are given).

    Raises:
        UserError: no such attack, or settings that it does not have.
    """
    if name not in ATTACKS:
        raise UserError(f"There is no attack '{name}'; choose one of: {', '.join(sorted(ATTACKS))}.")
    try:
        return ATTACKS[name](**(settings or {}))
    except TypeError as error:
        raise UserError(f"The settings {settings} do not fit the attack '{name}'.") from error
