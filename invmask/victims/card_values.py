"""Checks of a victim's card, which may come from anywhere. This module does not need torch."""

from collections.abc import Mapping
from typing import Any

NEEDED = ("name", "dataset", "architecture", "attack", "poisoning_ratio", "target_label", "acc", "asr", "ra", "n_test")
_WORDS = ("name", "dataset", "architecture", "attack", "machine", "labels", "weights_file", "reading")
_SHARES = ("poisoning_ratio", "acc", "asr", "ra")
_NUMBERS = ("target_label", "n_test", "n_triggered")
_TABLES = ("attack_settings", "training", "versions", "trigger_file")
_MAY_BE_NONE = ("target_label", "asr", "ra", "n_triggered")
_MAY_BE_UNKNOWN = ("poisoning_ratio", "acc")
"""May be None, too, where the attack is unknown."""


def check_values(values: Any) -> Mapping[str, Any]:
    """Check `values` read from JSON and return them, without `folder`, which is set from the card's location.

    Raises:
        ValueError: a value is missing, has another type, or is out of range (shares in [0, 1], counts at least 0).
    """
    if not isinstance(values, dict) or not set(NEEDED) <= set(values):
        raise ValueError("something is missing")
    values = {name: value for name, value in values.items() if name != "folder"}
    may_be_none = _MAY_BE_NONE + (_MAY_BE_UNKNOWN if values["attack"] == "unknown" else ())
    for name, value in values.items():
        fits = (
            (name in may_be_none and value is None)
            or (name in _WORDS and isinstance(value, str))
            or (name in _SHARES and _is_number(value) and 0 <= value <= 1)
            or (name in _NUMBERS and _is_number(value) and isinstance(value, int) and value >= 0)
            or (name in _TABLES and isinstance(value, dict))
            or (name == "masked_layers" and isinstance(value, list) and all(isinstance(each, str) for each in value))
        )
        if not fits:
            raise ValueError(f"'{name}' is no such thing")
    words = [word for name in ("versions", "trigger_file") for word in values.get(name, {}).values()]
    if not all(isinstance(word, str) for word in words):
        raise ValueError("no words")
    return values


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
