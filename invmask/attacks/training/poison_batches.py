"""Attacks whose attacker controls the training: each batch is poisoned, instead of the training set once."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from invmask.attacks.base import Attack
from invmask.measure.target_labels import Targets


@dataclass(frozen=True)
class Batch:
    """The images and labels that the victim is trained on in one step.

    Attributes:
        images: float, [N, C, H, W], in [0, 1].
        labels: int64 [N], the target for poisoned images.
        loss: a term that the attacker adds to the victim's loss, in nats; None for no term.
    """

    images: Tensor
    labels: Tensor
    loss: Tensor | None = None


@dataclass(frozen=True)
class Drawn:
    """Indices in a batch, int64: images that get the trigger and the target, and helpers that keep their labels."""

    poisoned: Tensor
    helpers: Tensor


class LoopAttack(Attack):
    """An attack that poisons a share of every batch.

    Beside the poisoned images there are *helpers*: images that are changed much as the trigger changes them but keep
    their labels. They teach the victim that only the exact trigger counts. Each attack defines its own helpers.
    """

    @abstractmethod
    def helper_ratio(self, ratio: float) -> float:
        """The share of helpers in a batch, in [0, 1 - ratio], if the share `ratio` is poisoned."""

    @abstractmethod
    def helpers(self, images: Tensor, others: Tensor, generator: torch.Generator) -> Tensor:
        """Make helpers from `images` [N, C, H, W]; `others` [N, C, H, W] are other images of the batch."""

    def session(self, targets: Targets, ratio: float, device: torch.device) -> "Session":  # noqa: ARG002
        """The attacker's part of one training of a victim."""
        return Session(self, targets, ratio)


class Session:
    """The attacker's part of one training of a victim. Only `state` is kept between epochs."""

    def __init__(self, attack: LoopAttack, targets: Targets, ratio: float) -> None:
        self.attack, self.targets, self.ratio = attack, targets, ratio
        self._done = (0, 0)

    def batch(self, images: Tensor, labels: Tensor, start: int, generator: torch.Generator) -> Batch:
        """Poison a batch of clean images.

        Args:
            images: float, [N, C, H, W], in [0, 1], augmented; left unchanged.
            labels: int64 [N], the true labels.
            start: number of images of this epoch before the batch; 0 begins an epoch.
            generator: a CPU generator.
        """
        drawn = self.draw(labels, start, generator)
        images, labels = images.clone(), labels.clone()
        poisoned, helpers = drawn.poisoned.to(images.device), drawn.helpers.to(images.device)
        # Each helper's donor: another image of the batch, found by a cyclic shift of at least one place.
        step = int(torch.randint(1, max(2, len(images)), (1,), generator=generator))
        others = images[(helpers + step) % len(images)]
        if len(helpers):
            images[helpers] = self.attack.helpers(images[helpers], others, generator)
        if len(poisoned):
            images[poisoned] = self.attack.apply(images[poisoned])
            labels[poisoned] = self.targets.of(labels[poisoned])
        return Batch(images, labels)

    def draw(self, labels: Tensor, start: int, generator: torch.Generator) -> Drawn:
        """Choose the poisoned images and the helpers of a batch with these labels.

        The poisoned share is exact over an epoch. A batch in which too few images can be poisoned (too many have the
        target class already) falls short; the next batches make up for it.
        """
        order = torch.randperm(len(labels), generator=generator)
        poisoned, helped = (0, 0) if start == 0 else self._done
        end = start + len(labels)
        attacked = order[self.targets.attacked(labels).cpu()[order]]
        chosen = attacked[: round(self.ratio * end) - poisoned]
        rest = order[~torch.isin(order, chosen)]
        helpers = rest[: round(self.attack.helper_ratio(self.ratio) * end) - helped]
        self._done = poisoned + len(chosen), helped + len(helpers)
        return Drawn(chosen, helpers)

    def zero_grad(self) -> None:
        """Called before the gradients of a step are computed."""

    def step(self, share: float) -> None:
        """Called after they are computed; `share` in (0, 1] is the victim's learning rate over its highest."""

    def state(self) -> dict[str, Any]:
        """The state to keep between two epochs."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Resume from `state`."""

    def trained(self) -> Attack:
        """The attack as it is after the training."""
        return self.attack
