"""What a backdoor shall answer to a triggered image: the target of an image depends on its true class alone."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Targets:
    """The attacker's aim.

    Attributes:
        of_class: for each class, the label that its triggered images shall get.
    """

    of_class: tuple[int, ...]

    @classmethod
    def all_to_one(cls, target_label: int, classes: int) -> "Targets":
        """Every image shall get `target_label`. Raises ValueError where there is no such class."""
        if not 0 <= target_label < classes:
            raise ValueError(f"target label {target_label} of {classes} classes")
        return cls((target_label,) * classes)

    @classmethod
    def all_to_all(cls, classes: int) -> "Targets":
        """Every image shall get the label after its own, the last class the first: (label + 1) mod K."""
        return cls(tuple((label + 1) % classes for label in range(classes)))

    @property
    def label(self) -> int | None:
        """The one target label; None where it differs from class to class."""
        return self.of_class[0] if len(set(self.of_class)) == 1 else None

    def of(self, labels: Tensor) -> Tensor:
        """The target of each image, int64 [N], from the true labels int64 [N]."""
        return torch.tensor(self.of_class, device=labels.device)[labels]

    def attacked(self, labels: Tensor) -> Tensor:
        """Which images the backdoor is for, bool [N]: those whose target is not their own label.

        An image of its own target class says nothing about the backdoor, so ASR and RA leave it out.
        """
        return self.of(labels) != labels
