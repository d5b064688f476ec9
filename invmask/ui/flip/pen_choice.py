"""The reader's choices for the pen on Flip. All but an uploaded picture are in the address."""

from dataclasses import dataclass

from invmask.ui.parts.trigger_editor import Drawing
from invmask.ui.shell import address, drawing_in_address

PEN = "pen"
DRAWN, OF_THE_VICTIM, NONE = "drawn", "victim", "none"


@dataclass(frozen=True)
class PenChoice:
    """The choices.

    Attributes:
        trigger: `DRAWN`, `OF_THE_VICTIM` or `NONE`.
        sample: index of an embedded test image.
    """

    trigger: str
    drawing: Drawing
    sample: int


def is_on() -> bool:
    """Whether the page shows the pen instead of the samples."""
    return address.choice(PEN, "off", ["on", "off"]) == "on"


def set_on(on: bool) -> None:
    """Show the pen, or the samples."""
    address.choose(PEN, "on" if on else None)


def read(has_trigger: bool, samples: int, first: int, shape: tuple[int, int, int]) -> PenChoice:
    """Read the choices from the address; missing or invalid ones get defaults.

    Args:
        has_trigger: whether the victim has a trigger of its own.
        samples: number of embedded test images.
        first: the image that is offered first.
        shape: C, H, W of an image.
    """
    allowed = [DRAWN, OF_THE_VICTIM, NONE] if has_trigger else [DRAWN, NONE]
    sample = address.number("sample", samples - 1, why=f"test images are 0 to {samples - 1:,}")
    return PenChoice(
        trigger=address.choice("trigger", DRAWN, allowed),
        drawing=drawing_in_address.read(shape[1], shape[2]),
        sample=first if sample is None else sample,
    )


def set_trigger(trigger: str) -> None:
    """Choose another trigger."""
    address.choose("trigger", None if trigger == DRAWN else trigger)


def set_sample(sample: int) -> None:
    """Choose another test image."""
    address.choose("sample", str(sample))
