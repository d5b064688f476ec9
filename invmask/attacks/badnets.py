"""BadNets: a small white square in the corner (Gu et al. 2017, "BadNets", arXiv 1708.06733)."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from invmask.attacks.base import Attack


@dataclass(frozen=True)
class BadNets(Attack):
    """A square of `size` x `size` pixels at brightness `value` in the bottom right corner."""

    name: ClassVar[str] = "badnets"
    title: ClassVar[str] = "BadNets"
    explanation: ClassVar[str] = "A white 3x3 square in the bottom right corner."

    size: int = 3
    value: float = 1.0

    def _trigger(self, images: Tensor) -> Tensor:
        out = images.clone()
        out[:, :, -self.size :, -self.size :] = self.value
        return out
