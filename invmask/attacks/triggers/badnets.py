"""BadNets: a small white square in the corner (Gu et al. 2017, "BadNets", arXiv 1708.06733)."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from invmask.attacks.base import Attack, Paper


@dataclass(frozen=True)
class BadNets(Attack):
    """A square of `size` x `size` pixels at brightness `value` in the bottom right corner."""

    name: ClassVar[str] = "badnets"
    title: ClassVar[str] = "BadNets"
    explanation: ClassVar[str] = "A white 3×3 square in the bottom right corner."
    paper = Paper(
        "T. Gu, B. Dolan-Gavitt, S. Garg",
        "BadNets: Identifying Vulnerabilities in the Machine Learning Model Supply Chain",
        2017,
        "1708.06733",
    )
    limits: ClassVar[dict[str, tuple[float, float]]] = {"size": (1, 64), "value": (0, 1)}

    size: int = 3
    value: float = 1.0

    def _trigger(self, images: Tensor) -> Tensor:
        out = images.clone()
        out[:, :, -self.size :, -self.size :] = self.value
        return out
