"""The target labels of a backdoor. The target of a triggered image depends only on its true class."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Targets:
    """The target label of each class.

    Attributes:
        of_class: for each class, the label that its triggered images shall get; length K.
    """

    of_class: tuple[int, ...]

    @classmethod
    def all_to_one(cls, target_label: int, classes: int) -> "Targets":
        """Every image shall get `target_label`. Raises ValueError if there is no such class."""
        if not 0 <= target_label < classes:
            raise ValueError(f"target label {target_label} of {classes} classes")
        return cls((target_label,) * classes)

    @classmethod
    def all_to_all(cls, classes: int) -> "Targets":
        """Every image shall get the label after its own: (label + 1) mod K."""
        return cls(tuple((label + 1) % classes for label in range(classes)))

    @property
    def label(self) -> int | None:
        """The single target label; None if it differs between classes."""
        return self.of_class[0] if len(set(self.of_class)) == 1 else None

    def of(self, labels: Tensor) -> Tensor:
        """The target of each image, int64 [N], from the true labels int64 [N]."""
        return torch.tensor(self.of_class, device=labels.device)[labels]

    def attacked(self, labels: Tensor) -> Tensor:
        """Which images the backdoor attacks, bool [N]: those whose target differs from their true label int64 [N].

        ASR and RA leave out the other images, because they do not show whether the backdoor works.
        """
        return self.of(labels) != labels
