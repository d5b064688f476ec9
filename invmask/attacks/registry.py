"""Attacks by name."""

import math
from dataclasses import fields
from typing import Any

from invmask.attacks.base import Attack
from invmask.attacks.triggers.badnets import BadNets
from invmask.attacks.triggers.blended import Blended
from invmask.attacks.triggers.bpp import BPP
from invmask.attacks.triggers.drawn import DrawnTrigger
from invmask.attacks.triggers.iab import IAB
from invmask.attacks.triggers.lf import LF
from invmask.attacks.triggers.picture import PictureTrigger
from invmask.attacks.triggers.sig import SIG
from invmask.attacks.triggers.ssba import SSBA
from invmask.attacks.triggers.wanet import WaNet
from invmask.errors import UserError

ATTACKS: dict[str, type[Attack]] = {
    attack.name: attack for attack in (BadNets, Blended, SIG, LF, SSBA, IAB, WaNet, BPP, PictureTrigger, DrawnTrigger)
}


def make_attack(name: str, settings: dict[str, Any] | None = None) -> Attack:
    """Make the attack of that name with these settings, as a victim's card holds them.

    Settings that are not given keep their defaults.

    Raises:
        UserError: no such attack, or settings that it does not have.
    """
    if name not in ATTACKS:
        raise UserError(f"There is no attack '{name}'; choose one of: {', '.join(sorted(ATTACKS))}.")
    kind = ATTACKS[name]
    defaults = {field.name: field.default for field in fields(kind)}  # type: ignore[arg-type]
    given = settings or {}
    if unknown := [key for key in given if key not in defaults]:
        raise UserError(
            f"The attack '{name}' has no setting {', '.join(map(repr, unknown))}; it has: {', '.join(defaults)}."
        )
    for key, value in given.items():
        _check(kind, key, value, defaults[key])
    return kind(**given)


def _check(kind: type[Attack], key: str, value: Any, default: Any) -> None:
    """Raises UserError unless `value` is of the default's type, and within the attack's limits."""
    least, most = kind.limits.get(key, (0, 1 << 31))
    number = isinstance(default, int | float) and not isinstance(default, bool)
    fits = type(value) is type(default) or (type(default) is float and type(value) is int)
    if fits and number:
        fits = math.isfinite(value) and least <= value <= most
        fits = fits and (key not in kind.multiples or value % kind.multiples[key] == 0)
    if not fits:
        what = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}[type(default)]
        within = f" from {least:g} to {most:g}" if number else ""
        within += f", a multiple of {kind.multiples[key]}" if key in kind.multiples else ""
        raise UserError(f"The setting '{key}' of the attack '{kind.name}' has to be {what}{within}, not {value!r:.40}.")
