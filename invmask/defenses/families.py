"""Families of triggers: candidate triggers of a backdoor, described by parameters that gradient descent can change.

A backdoor responds to one trigger on any image. The attacker's kind of trigger is unknown, so a search tries several
families. Each family computes the network's outputs with a trigger on, and the trigger's size. Three families change
the images. The fourth amplifies channels instead that the clean answers do not need, as any trigger finally does.
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
    """The network for which triggers are searched.

    Attributes:
        network: maps images [N, C, H, W] to logits [N, K].
        gated: maps images [N, C, H, W], each with its own gates [N, channels], to logits [N, K].
        channels: number of masked channels.
        shape: C, H, W of its images.
    """

    network: Network
    gated: Callable[[Tensor, Tensor], Tensor]
    channels: int
    shape: tuple[int, int, int]


@dataclass(frozen=True)
class Seen:
    """The network's outputs for N images with L triggers on.

    Attributes:
        logits: [L, N, K].
        price: the size penalty of each trigger, [L]; about 1 for the largest possible trigger.
        size: the size of each trigger, [L], in the unit that `family_texts` names; without a gradient.
    """

    logits: Tensor
    price: Tensor
    size: Tensor


class Family(Protocol):
    """A kind of trigger. L triggers are handled at once, one per label.

    Attributes:
        name: its name in records; its texts are in `family_texts`.
        rate: Adam's learning rate for its parameters.
        weight: initial weight of the price, in nats.
        faster: factor by which the weight changes in a step.
        memory: share of the previous size kept in a step's size (moving average); above 0 if the size depends on the
            images.
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
        """Random initial parameters of `labels` triggers: float32 [L, ...], on the CPU."""
        ...

    def see(self, led: Led, numbers: Tensor, images: Tensor, answers: Tensor) -> Seen:
        """Apply every trigger to every image.

        Args:
            numbers: the parameters of L triggers, [L, ...].
            images: [N, C, H, W] in [0, 1].
            answers: the original network's labels for the images, int64 [N].
        """
        ...

    def portraits(self, numbers: Tensor, image: tuple[int, int, int]) -> Tensor:
        """A picture of each trigger alone, [L, C, H, W] in [0, 1], for images of [C, H, W]."""
        ...


class OnImages(ABC):
    """The common part of the families that change images."""

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
        """Put every trigger on every image [N, C, H, W] in [0, 1]; returns [L, N, C, H, W] in [0, 1]."""

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
        # Drawn on mid grey, because pixels outside the mask do not belong to the trigger.
        return self.put_on(numbers, numbers.new_full((1, *image), 0.5))[:, 0]

    @staticmethod
    def _parts(numbers: Tensor) -> tuple[Tensor, Tensor]:
        """The masks [L, 1, H, W] and the patterns [L, C, H, W]."""
        return numbers[:, :1].sigmoid(), numbers[:, 1:].sigmoid()


@dataclass(frozen=True)
class Smooth(OnImages):
    """x' = x + d, clipped to [0, 1]; d [C, H, W] has at most `cycles` cycles across the picture."""

    name: str = "smooth"
    rate: float = 0.015
    weight: float = 80.0
    cycles: float = 6.0

    def start(self, labels: int, led: Led, generator: Generator) -> Tensor:
        # Start small, so that growing changes first reach the label that needs the smallest change.
        return 0.01 * torch.randn(labels, *led.shape, generator=generator)

    def put_on(self, numbers: Tensor, images: Tensor) -> Tensor:
        return (images + low_frequencies(numbers, self.cycles)[:, None]).clamp(0, 1)

    def size(self, numbers: Tensor) -> Tensor:
        return 255 * low_frequencies(numbers, self.cycles).square().mean((1, 2, 3)).sqrt()

    def price(self, numbers: Tensor) -> Tensor:
        return low_frequencies(numbers, self.cycles).square().mean((1, 2, 3))

    def portraits(self, numbers: Tensor, image: tuple[int, int, int]) -> Tensor:
        change = low_frequencies(numbers, self.cycles)
        # Each at full contrast; the size beside it says how large it is.
        return numbers.new_full(image, 0.5) + change / (2 * change.abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-6))


@dataclass(frozen=True)
class Warp(OnImages):
    """x' samples every pixel from a nearby place, given by a smooth field interpolated from a few displacements."""

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
        # grid_sample's coordinates run from -1 to 1 across the picture.
        scale = torch.tensor([2 / width, 2 / height], device=images.device, dtype=images.dtype)
        places = grid + field.permute(0, 2, 3, 1) * scale
        # All images of a label are sampled at the same places. Stacked as channels they share one sampling.
        flat = images.reshape(1, count * channels, height, width).expand(labels, -1, -1, -1)
        warped = F.grid_sample(flat, places, padding_mode="border", align_corners=False)
        return warped.reshape(labels, count, channels, height, width)

    def size(self, numbers: Tensor) -> Tensor:
        return self._spread(numbers).sqrt()

    def price(self, numbers: Tensor) -> Tensor:
        return self._spread(numbers)

    def portraits(self, numbers: Tensor, image: tuple[int, int, int]) -> Tensor:
        # A grid of lines, warped.
        _, height, width = image
        down, across = torch.arange(height, device=numbers.device), torch.arange(width, device=numbers.device)
        lines = (down[:, None] % 4 == 0) | (across % 4 == 0)
        return self.put_on(numbers, (0.9 - 0.6 * lines).expand(1, *image))[:, 0]

    @staticmethod
    def _spread(numbers: Tensor) -> Tensor:
        return numbers.square().sum(1).mean((1, 2))

    @staticmethod
    def _field(numbers: Tensor, height: int, width: int) -> Tensor:
        """Displacement of every pixel, [L, 2, H, W]: across and down, in pixels."""
        return F.interpolate(numbers, (height, width), mode="bicubic", align_corners=True)


@dataclass(frozen=True)
class Channels:
    """Gates 1 + kappa u that lead clean images to a label, while gates 1 - u keep the clean answers; u in [0, 1].

    A backdoor's channels lead to one label, and the clean answers do not need them. The price is the cost of cutting
    these
    channels: -log p[answer] with gates 1 - u. Amplifying channels is our own idea, from no paper.
    """

    name: str = "channels"
    rate: float = 0.3
    weight: float = 4.0
    faster: float = 1.0
    memory: float = 0.6
    kappa: float = 2.0

    def start(self, labels: int, led: Led, generator: Generator) -> Tensor:
        # u starts near 1/4: with less, few labels are reached; with more, the clean answers are lost.
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
        # All channels, row by row, in a square; a brighter cell is amplified more.
        up = numbers.sigmoid()
        side = math.ceil(math.sqrt(up.shape[1]))
        square = F.pad(up, (0, side * side - up.shape[1])).view(-1, 1, side, side)
        channels, height, width = image
        return F.interpolate(square, (height, width), mode="area").expand(-1, channels, -1, -1)


ON_IMAGES: dict[str, "Patch | Smooth | Warp"] = {family.name: family for family in (Patch(), Smooth(), Warp())}
"""Families that change images, by name."""
FAMILIES: dict[str, Family] = {**ON_IMAGES, Channels.name: Channels()}
"""All families by name, in the order in which a search tries them."""


def low_frequencies(images: Tensor, cycles: float) -> Tensor:
    """Low-pass filter: `images` [N, C, H, W] without waves of more than `cycles` cycles across the picture."""
    height, width = images.shape[-2:]
    down = torch.fft.fftfreq(height, 1 / height, dtype=images.dtype, device=images.device)
    across = torch.fft.rfftfreq(width, 1 / width, dtype=images.dtype, device=images.device)
    kept = torch.hypot(down[:, None], across) <= cycles
    return torch.fft.irfft2(torch.fft.rfft2(images) * kept, s=(height, width))
