"""Types of arguments: numbers in a range, with a sentence for all others."""

import argparse
import re
from collections.abc import Callable


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """An argparse type: a whole number from `least` to `most`."""

    def convert(text: str) -> int:
        # int() would also accept underscores and digits of other scripts.
        is_number = text.isascii() and text.isdigit() and len(text) < 10
        if not is_number or int(text) < least or (most is not None and int(text) > most):
            to = "" if most is None else f" to {most}"
            raise argparse.ArgumentTypeError(f"has to be a whole number from {least}{to}, not '{text}'")
        return int(text)

    return convert


def fraction(text: str) -> float:
    """An argparse type: a number above 0, at most 1."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"has to be a fraction above 0 and at most 1, not '{text}'")
    return value


def numbers(text: str) -> tuple[float, ...]:
    """An argparse type: numbers with commas between them."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"has to be numbers with commas between them, not '{text:.40}'") from error


def pair(text: str) -> tuple[int, int]:
    """An argparse type: `HxW`, or one number for a square."""
    found = re.fullmatch(r"([0-9]{1,4})(?:x([0-9]{1,4}))?", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"has to be height x width, as 32x32, not '{text:.40}'")
    return int(found[1]), int(found[2] or found[1])
