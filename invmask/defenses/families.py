"""Families of universal triggers: one trigger for all images, described by few numbers that a gradient can move.

A backdoor answers one trigger on any image. Which kind the attacker took is unknown, so a search tries several: each
family turns free numbers into triggered images and says how large the trigger is.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Generator, Tensor
from torch.nn import functional as F


class Family(Protocol):
    """A kind of trigger. L triggers are handled at once, one a label.

    Attributes:
        name: in records; its words are in `family_words`.
        rate: Adam's learning rate for its numbers.
        weight: of the price at the start, in nats.
    """

    @property
    def name(self) -> str: ...

    @property
    def rate(self) -> float: ...

    @property
    def weight(self) -> float: ...

    def start(self, labels: int, image: tuple[int, int, int], generator: Generator) -> Tensor:
        """Random numbers of `labels` triggers for images of [C, H, W]: float32 [L, ...], on the CPU."""
        ...

    def put_on(self, numbers: Tensor, images: Tensor) -> Tensor:
        """Every trigger on every image: [L, N, C, H, W] from images [N, C, H, W] in [0, 1]; stays in [0, 1]."""
        ...

    def size(self, numbers: Tensor) -> Tensor:
        """How large each trigger is, [L]; in the unit that `family_words` names."""
        ...

    def price(self, numbers: Tensor) -> Tensor:
        """What is made small for a small trigger, [L]; about 1 for one that takes the whole picture."""
        ...

    def portraits(self, numbers: Tensor, image: tuple[int, int, int]) -> Tensor:
        """A picture of each trigger alone, [L, C, H, W] in [0, 1], for images of [C, H, W]."""
        ...


@dataclass(frozen=True)
class Patch:
    """x' = (1 - M) x + M P with a mask M [H, W] and a pattern P [C, H, W] (Wang et al. 2019, "Neural Cleanse")."""

    name: str = "patch"
    rate: float = 0.6
    weight: float = 6.0

    def start(self, labels: int, image: tuple[int, int, int], generator: Generator) -> Tensor:
        channels, height, width = image
        return torch.randn(labels, channels + 1, height, width, generator=generator)

    def put_on(self, numbers: Tensor, images: Tensor) -> Tensor:
        mask, pattern = self._parts(numbers)
        return images + mask[:, None] * (pattern[:, None] - images)

    def size(self, numbers: Tensor) -> Tensor:
        return self._parts(numbers)[0].sum((1, 2, 3))

    def price(self, numbers: Tensor) -> Tensor:
        return self._parts(numbers)[0].mean((1, 2, 3))

    def portraits(self, numbers: Tensor, image: tuple[int, int, int]) -> Tensor:
        # On mid grey: what the mask leaves out is not part of the trigger.
        return self.put_on(numbers, numbers.new_full((1, *image), 0.5))[:, 0]

    @staticmethod
    def _parts(numbers: Tensor) -> tuple[Tensor, Tensor]:
        """The masks [L, 1, H, W] and the patterns [L, C, H, W]."""
        return numbers[:, :1].sigmoid(), numbers[:, 1:].sigmoid()


@dataclass(frozen=True)
class Smooth:
    """x' = x + d, clipped to [0, 1], with d [C, H, W] of at most so many cycles across the picture."""

    name: str = "smooth"
    rate: float = 0.015
    weight: float = 80.0
    cycles: float = 6.0

    def start(self, labels: int, image: tuple[int, int, int], generator: Generator) -> Tensor:
        # Small: a label that a small change leads to is met while the changes grow.
        return 0.01 * torch.randn(labels, *image, generator=generator)

    def put_on(self, numbers: Tensor, images: Tensor) -> Tensor:
        return (images + low_frequencies(numbers, self.cycles)[:, None]).clamp(0, 1)

    def size(self, numbers: Tensor) -> Tensor:
        return 255 * low_frequencies(numbers, self.cycles).square().mean((1, 2, 3)).sqrt()

    def price(self, numbers: Tensor) -> Tensor:
        return low_frequencies(numbers, self.cycles).square().mean((1, 2, 3))

    def portraits(self, numbers: Tensor, image: tuple[int, int, int]) -> Tensor:
        change = low_frequencies(numbers, self.cycles)
        # Each at full contrast: how large it is says the size beside it.
        return numbers.new_full(image, 0.5) + change / (2 * change.abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-6))


@dataclass(frozen=True)
class Warp:
    """x' looks up every pixel a little aside, by a smooth field that a few displacements span."""

    name: str = "warp"
    rate: float = 0.15
    weight: float = 0.3
    knots: int = 6

    def start(self, labels: int, image: tuple[int, int, int], generator: Generator) -> Tensor:
        knots = min(self.knots, *image[1:])
        return 0.2 * torch.randn(labels, 2, knots, knots, generator=generator)

    def put_on(self, numbers: Tensor, images: Tensor) -> Tensor:
        labels, (count, channels, height, width) = len(numbers), images.shape
        field = self._field(numbers, height, width)
        unit = torch.eye(2, 3, device=images.device, dtype=images.dtype)[None]
        grid = F.affine_grid(unit, [1, 1, height, width], align_corners=False)
        # The grid runs from -1 to 1 across the picture.
        scale = torch.tensor([2 / width, 2 / height], device=images.device, dtype=images.dtype)
        places = grid + field.permute(0, 2, 3, 1) * scale
        # All images of a label are looked up at the same places: as channels of one picture they share the look-up.
        flat = images.reshape(1, count * channels, height, width).expand(labels, -1, -1, -1)
        warped = F.grid_sample(flat, places, padding_mode="border", align_corners=False)
        return warped.reshape(labels, count, channels, height, width)

    def size(self, numbers: Tensor) -> Tensor:
        return self._spread(numbers).sqrt()

    def price(self, numbers: Tensor) -> Tensor:
        return self._spread(numbers)

    def portraits(self, numbers: Tensor, image: tuple[int, int, int]) -> Tensor:
        # Squared paper, warped.
        _, height, width = image
        down, across = torch.arange(height, device=numbers.device), torch.arange(width, device=numbers.device)
        lines = (down[:, None] % 4 == 0) | (across % 4 == 0)
        return self.put_on(numbers, (0.9 - 0.6 * lines).expand(1, *image))[:, 0]

    @staticmethod
    def _spread(numbers: Tensor) -> Tensor:
        return numbers.square().sum(1).mean((1, 2))

    @staticmethod
    def _field(numbers: Tensor, height: int, width: int) -> Tensor:
        """Displacements of every pixel, [L, 2, H, W]: across and down, in pixels."""
        return F.interpolate(numbers, (height, width), mode="bicubic", align_corners=True)


FAMILIES: dict[str, Family] = {family.name: family for family in (Patch(), Smooth(), Warp())}
"""By name, in the order in which a search takes them."""


def low_frequencies(images: Tensor, cycles: float) -> Tensor:
    """What is left of `images` [N, C, H, W] without waves of more than `cycles` cycles across the picture."""
    height, width = images.shape[-2:]
    down = torch.fft.fftfreq(height, 1 / height, dtype=images.dtype, device=images.device)
    across = torch.fft.rfftfreq(width, 1 / width, dtype=images.dtype, device=images.device)
    kept = torch.hypot(down[:, None], across) <= cycles
    return torch.fft.irfft2(torch.fft.rfft2(images) * kept, s=(height, width))
