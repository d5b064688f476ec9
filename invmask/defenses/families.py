"""Families of triggers: what may be a backdoor's trigger, described by numbers that a gradient can move.

A backdoor answers one trigger on any image. Which kind the attacker took is unknown, so a search tries several: each
family says what the network answers with a trigger on, and how large the trigger is. Three change the images. The
fourth changes none: it turns up channels that the clean answers can do without, as any trigger would in the end.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from invmask.masks.repair import Network


@dataclass(frozen=True)
class Led:
    """The network that triggers are sought for.

    Attributes:
        network: logits [N, K] of images.
        gated: the same of images [N, C, H, W] with gates [N, channels] of their own on top, [N, K].
        channels: how many it has.
        shape: C, H, W of its images.
    """

    network: Network
    gated: Callable[[Tensor, Tensor], Tensor]
    channels: int
    shape: tuple[int, int, int]


@dataclass(frozen=True)
class Seen:
    """What became of the images with L triggers on.

    Attributes:
        logits: [L, N, K].
        price: what is made small for a small trigger, [L]; about 1 for one that takes all there is.
        size: how large each trigger is, [L], in the unit that `family_texts` names; without a gradient.
    """

    logits: Tensor
    price: Tensor
    size: Tensor


class Family(Protocol):
    """A kind of trigger. L triggers are handled at once, one a label.

    Attributes:
        name: in records; its words are in `family_texts`.
        rate: Adam's learning rate for its numbers.
        weight: of the price at the start, in nats.
        faster: the weight's change in a step.
        memory: what share of the size before is kept in a step's size; above 0 where it depends on the step's images.
    """

    @property
    def name(self) -> str: ...

    @property
    def rate(self) -> float: ...

    @property
    def weight(self) -> float: ...

    @property
    def faster(self) -> float: ...

    @property
    def memory(self) -> float: ...

    def start(self, labels: int, led: Led, generator: Generator) -> Tensor:
        """Random numbers of `labels` triggers: float32 [L, ...], on the CPU."""
        ...

    def see(self, led: Led, numbers: Tensor, images: Tensor, answers: Tensor) -> Seen:
        """Every trigger on every image.

        Args:
            images: [N, C, H, W] in [0, 1].
            answers: the original's labels of them, int64 [N].
        """
        ...

    def portraits(self, numbers: Tensor, image: tuple[int, int, int]) -> Tensor:
        """A picture of each trigger alone, [L, C, H, W] in [0, 1], for images of [C, H, W]."""
        ...


class OnImages(ABC):
    """What the families have in common that change images."""

    faster: float = 1.12
    memory: float = 0.0

    def see(self, led: Led, numbers: Tensor, images: Tensor, answers: Tensor) -> Seen:
        """See `Family.see`."""
        logits = led.network(self.put_on(numbers, images).flatten(0, 1))
        with torch.no_grad():
            size = self.size(numbers)
        return Seen(logits.view(len(numbers), len(answers), -1), self.price(numbers), size)

    @abstractmethod
    def put_on(self, numbers: Tensor, images: Tensor) -> Tensor:
        """Every trigger on every image: [L, N, C, H, W] from images [N, C, H, W] in [0, 1]; stays in [0, 1]."""

    @abstractmethod
    def price(self, numbers: Tensor) -> Tensor:
        """See `Seen.price`."""

    @abstractmethod
    def size(self, numbers: Tensor) -> Tensor:
        """See `Seen.size`."""


@dataclass(frozen=True)
class Patch(OnImages):
    """x' = (1 - M) x + M P with a mask M [H, W] and a pattern P [C, H, W] (Wang et al. 2019, "Neural Cleanse")."""

    name: str = "patch"
    rate: float = 0.6
    weight: float = 6.0

    def start(self, labels: int, led: Led, generator: Generator) -> Tensor:
        channels, height, width = led.shape
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
class Smooth(OnImages):
    """x' = x + d, clipped to [0, 1], with d [C, H, W] of at most so many cycles across the picture."""

    name: str = "smooth"
    rate: float = 0.015
    weight: float = 80.0
    cycles: float = 6.0

    def start(self, labels: int, led: Led, generator: Generator) -> Tensor:
        # Small: a label that a small change leads to is met while the changes grow.
        return 0.01 * torch.randn(labels, *led.shape, generator=generator)

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
class Warp(OnImages):
    """x' looks up every pixel a little aside, by a smooth field that a few displacements span."""

    name: str = "warp"
    rate: float = 0.15
    weight: float = 0.3
    knots: int = 6

    def start(self, labels: int, led: Led, generator: Generator) -> Tensor:
        knots = min(self.knots, *led.shape[1:])
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


@dataclass(frozen=True)
class Channels:
    """Gates 1 + kappa u that lead clean images to a label, while gates 1 - u keep the clean answers; u in [0, 1].

    A backdoor's channels are there to lead to one label, and the clean answers do not need them. The price is what
    cutting the channels costs: -log p[answer] with gates 1 - u. Ours; turning up is from no paper.
    """

    name: str = "channels"
    rate: float = 0.3
    weight: float = 4.0
    faster: float = 1.0
    memory: float = 0.6
    kappa: float = 2.0

    def start(self, labels: int, led: Led, generator: Generator) -> Tensor:
        # A quarter of each channel: with less, few labels are led anywhere, with more, no answer is kept.
        return 0.01 * torch.randn(labels, led.channels, generator=generator) - 1

    def see(self, led: Led, numbers: Tensor, images: Tensor, answers: Tensor) -> Seen:
        """See `Family.see`."""
        labels, count = len(numbers), len(images)
        up = numbers.sigmoid()
        both = torch.cat([1 + self.kappa * up, 1 - up]).repeat_interleave(count, 0)
        logits = led.gated(images.repeat(2 * labels, 1, 1, 1), both).view(2, labels, count, -1)
        wanted = answers.repeat(labels)
        cost = F.cross_entropy(logits[1].flatten(0, 1), wanted, reduction="none").view(labels, count).mean(1)
        return Seen(logits[0], cost, cost.detach())

    def portraits(self, numbers: Tensor, image: tuple[int, int, int]) -> Tensor:
        # All channels, row by row, in a square: the brighter, the more turned up.
        up = numbers.sigmoid()
        side = math.ceil(math.sqrt(up.shape[1]))
        square = F.pad(up, (0, side * side - up.shape[1])).view(-1, 1, side, side)
        channels, height, width = image
        return F.interpolate(square, (height, width), mode="area").expand(-1, channels, -1, -1)


ON_IMAGES: dict[str, "Patch | Smooth | Warp"] = {family.name: family for family in (Patch(), Smooth(), Warp())}
"""Those that change images, by name."""
FAMILIES: dict[str, Family] = {**ON_IMAGES, Channels.name: Channels()}
"""By name, in the order in which a search takes them."""


def low_frequencies(images: Tensor, cycles: float) -> Tensor:
    """What is left of `images` [N, C, H, W] without waves of more than `cycles` cycles across the picture."""
    height, width = images.shape[-2:]
    down = torch.fft.fftfreq(height, 1 / height, dtype=images.dtype, device=images.device)
    across = torch.fft.rfftfreq(width, 1 / width, dtype=images.dtype, device=images.device)
    kept = torch.hypot(down[:, None], across) <= cycles
    return torch.fft.irfft2(torch.fft.rfft2(images) * kept, s=(height, width))
