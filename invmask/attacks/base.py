"""What an attack is: a way to put a trigger on images, with settings that make it again."""

from abc import ABC, abstractmethod
from dataclasses import asdict
from typing import Any, ClassVar

import torch
from torch import Tensor


class Attack(ABC):
    """A static backdoor trigger. Subclasses are frozen dataclasses and write only `_trigger`.

    The settings (the dataclass fields) fix the trigger completely, so a victim's card can carry them.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    explanation: ClassVar[str]

    @abstractmethod
    def _trigger(self, images: Tensor) -> Tensor:
        """Triggered images before clipping and rounding, same shape as `images`."""

    def apply(self, images: Tensor) -> Tensor:
        """Put the trigger on every image.

        Args:
            images: float, [N, C, H, W], in [0, 1]; left unchanged.

        Returns:
            A new tensor of that shape in [0, 1], rounded to the 8 bits in which an attacker's images are stored.
        """
        if images.ndim != 4:
            raise ValueError(f"images must be [N, C, H, W], not {tuple(images.shape)}")
        return torch.round(self._trigger(images).clamp(0, 1) * 255) / 255

    def settings(self) -> dict[str, Any]:
        """The numbers that make this trigger again, as JSON."""
        return asdict(self)  # type: ignore[call-overload]
