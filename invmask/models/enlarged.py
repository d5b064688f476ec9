"""A network that takes images of one size only, behind a step that brings all images to it."""

import re

from torch import Tensor, nn
from torch.nn import functional as F

from invmask.errors import UserError
from invmask.models.answers import Answering

LARGEST_SIDE = 1024


class Enlarged(nn.Module):
    """A network whose images are first resized bilinearly to `side` x `side` pixels."""

    def __init__(self, network: nn.Module, side: int) -> None:
        super().__init__()
        self.network = network
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        return self.network(F.interpolate(x, (self.side, self.side), mode="bilinear", align_corners=False))


def inner(network: nn.Module) -> tuple[nn.Module, str]:
    """The network without what invmask puts around it, and the prefix of its names in `network`."""
    prefix = ""
    while isinstance(network, Enlarged | Answering):
        network, prefix = network.network, f"{prefix}network."
    return network, prefix


def split_side(name: str) -> tuple[str, int | None]:
    """Split ``NAME@SIDE`` into name and side in pixels; the side is None if there is none.

    Raises:
        UserError: the side is no number of pixels from 1 to `LARGEST_SIDE`.
    """
    name, at, side = name.partition("@")
    if not at:
        return name, None
    if not re.fullmatch(r"[0-9]{1,4}", side) or not 1 <= int(side) <= LARGEST_SIDE:
        raise UserError(f"What follows @ is the side of the images in pixels, 1 to {LARGEST_SIDE}, not '{side}'.")
    return name, int(side)
