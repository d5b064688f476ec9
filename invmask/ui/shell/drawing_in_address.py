"""A drawn trigger in the page's address: the words `pixels`, `left`, `top` and `opacity`."""

from invmask.attacks.triggers.drawn import DrawnTrigger
from invmask.errors import UserError
from invmask.ui.parts.trigger_editor import GRID, Drawing, fits
from invmask.ui.shell import address

FIRST = Drawing("w.w/.w./w.w", 24, 24)
"""The drawing that pages begin with; it is not in the address."""
NOTHING = "none"
"""The pattern without a pixel, in the address."""


def read(height: int, width: int) -> Drawing:
    """The drawing in the address; what is missing or invalid there is taken from `FIRST`.

    Args:
        height, width: of the images, in pixels.
    """
    pixels = address.choice("pixels", FIRST.pixels)
    if pixels != NOTHING:
        try:
            DrawnTrigger(pixels)
            if not fits(pixels):
                raise UserError("too large")
        except UserError:
            address.leave_out("pixels", f"not a pattern of at most {GRID} rows and columns")
            pixels = FIRST.pixels
    left = address.number("left", width - 1, why="outside the image")
    top = address.number("top", height - 1, why="outside the image")
    opacity = address.number("opacity", 100, 1, "has to be from 1 to 100")
    return Drawing(
        "" if pixels == NOTHING else pixels,
        FIRST.left if left is None else left,
        FIRST.top if top is None else top,
        FIRST.opacity if opacity is None else opacity,
    )


def write(drawing: Drawing) -> None:
    """Put the drawing into the address."""
    address.choose("pixels", None if drawing.pixels == FIRST.pixels else drawing.pixels or NOTHING)
    for name in ("left", "top", "opacity"):
        value = getattr(drawing, name)
        address.choose(name, None if value == getattr(FIRST, name) else str(value))
