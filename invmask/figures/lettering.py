"""How much room words take in a figure, before anything draws them; and words made to fit."""

import math
import re
import unicodedata
from collections.abc import Sequence

LINE = 1.3
"""From one line to the next, in heights of the letters."""
ELLIPSIS = "…"

# Of DejaVu Sans, in heights of the letters: the widest of the fonts on paper, which stands in where no other is there.
_WIDTHS = {
    letter: width
    for width, letters in (
        (0.32, " ,.'ijlIJ·"),
        (0.40, "f-/:;|rt!()[]\\"),
        (0.52, 'szcL*_`?"'),
        (0.62, "aekovxyFPTY"),
        (0.66, "0123456789bdghnpquEKS${}"),
        (0.77, "ABCRVXZDGHNUOQ&"),
        (0.84, "wM#+<=>^~−×✓◎"),
        (1.00, "m%W@…"),
    )
    for letter in letters
}
_OTHER, _WIDE = 0.8, 1.0
_BOLD = 1.14
# What a line ends with and has to keep: a probability, or what becomes of a sample.
_END = re.compile(r"(,\s[\d.]+\s?%|;\s[^;]*)$")


def text_width(text: str, size: float, bold: bool = False) -> float:
    """Pixels that a line of letters `size` pixels high takes at most.

    Counted letter by letter: figures are laid out where no font is at hand.
    """
    return sum(map(_width, text)) * size * (_BOLD if bold else 1)


def room_for(names: Sequence[str], size: float, bold: bool = False) -> int:
    """The margin in pixels that names beside an axis take, in letters `size` pixels high, with a little air."""
    return 10 + math.ceil(max(text_width(name, size, bold) for name in names))


def shortened(text: str, room: float, size: float, bold: bool = False) -> str:
    """The line, with an ellipsis for its middle where it is longer than `room` pixels.

    A probability at its end, or what becomes of the sample, stays; so do the first words and the last letters of a
    name, by which names that begin alike are told apart.
    """
    if text_width(text, size, bold) <= room:
        return text
    end = found[0] if (found := _END.search(text)) else ""
    name = text.removesuffix(end)
    for kept in range(len(name) - 1, 0, -1):
        after = kept // 4
        cut = f"{name[: kept - after].rstrip()}{ELLIPSIS}{name[len(name) - after :].lstrip()}{end}"
        if text_width(cut, size, bold) <= room:
            return cut
    return ELLIPSIS + end


def _width(letter: str) -> float:
    if letter in _WIDTHS:
        return _WIDTHS[letter]
    return _WIDE if unicodedata.east_asian_width(letter) in "WF" else _OTHER
