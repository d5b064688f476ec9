"""The width of text in a figure, computed before it is drawn, and text shortened to fit."""

import math
import re
import unicodedata
from collections.abc import Sequence

LINE = 1.3
"""Line spacing, as a multiple of the letters' height."""
ELLIPSIS = "…"

# Letter widths of DejaVu Sans, as multiples of the height. It is the widest font on paper, and the fallback font.
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
# The end of a line that must be kept: a probability, or the fate of a sample.
_END = re.compile(r"(,\s[\d.]+\s?%|;\s[^;]*)$")


def text_width(text: str, size: float, bold: bool = False) -> float:
    """The largest possible width, in pixels, of a line with letters `size` pixels high.

    It is summed letter by letter, because no font is available when figures are laid out.
    """
    return sum(map(_width, text)) * size * (_BOLD if bold else 1)


def room_for(names: Sequence[str], size: float, bold: bool = False) -> int:
    """The margin in pixels for names beside an axis, in letters `size` pixels high, with a little space."""
    return 10 + math.ceil(max(text_width(name, size, bold) for name in names))


def shortened(text: str, room: float, size: float, bold: bool = False) -> str:
    """The line; if it is longer than `room` pixels, an ellipsis replaces its middle.

    A probability or a sample's fate at its end is kept. So are the first words and the last letters of a name, which
    distinguish names with the same beginning.
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
