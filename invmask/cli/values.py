"""Settings as users write them: NAME=VALUE."""

from typing import Any

from invmask.errors import UserError

_CONVERTERS: dict[type, Any] = {
    int: int,
    float: float,
    str: str,
    bool: {"true": True, "false": False}.__getitem__,
}
_WORDS = {int: "a whole number", float: "a number", bool: "true or false"}


def changes(given: list[str], kinds: dict[str, type], whose: str) -> dict[str, Any]:
    """Parse settings given as NAME=VALUE.

    Args:
        kinds: each setting's type.
        whose: the owner of the settings, for error messages.

    Raises:
        UserError: no such setting, or a value of another kind.
    """
    changed: dict[str, Any] = {}
    for text in given:
        name, _, value = text.partition("=")
        if name not in kinds:
            raise UserError(f"{whose} has no setting '{name}' to set; it has: {', '.join(kinds)}.")
        try:
            changed[name] = _CONVERTERS[kinds[name]](value)
        except (KeyError, ValueError) as error:
            kind = _WORDS.get(kinds[name], "a word")
            raise UserError(f"The setting '{name}' has to be {kind}, not '{value}'.") from error
    return changed
