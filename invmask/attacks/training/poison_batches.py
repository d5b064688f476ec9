"""Attacks whose attacker trains the victim: each training batch is made anew, instead of the training set once."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from invmask.attacks.base import Attack
from invmask.measure.target_labels import Targets


@dataclass(frozen=True)
class Batch:
    """What the victim is trained on in one step.

    Attributes:
        images: float, [N, C, H, W], in [0, 1].
        labels: int64 [N], as poisoned.
        loss: what the attacker adds to the victim's loss, in nats; None for nothing.
    """

    images: Tensor
    labels: Tensor
    loss: Tensor | None = None


@dataclass(frozen=True)
class Drawn:
    """Places in a batch, int64: of images that get trigger and target, and of helpers that keep their labels."""

    poisoned: Tensor
    helpers: Tensor


class LoopAttack(Attack):
    """An attack that poisons a share of every batch.

    Beside the poisoned images there are *helpers*: images that are changed in the trigger's manner but keep their
    labels, so that nothing but the exact trigger is learned. What they are is the attack's own.
    """

    @abstractmethod
    def helper_ratio(self, ratio: float) -> float:
        """The share of helpers where `ratio` is poisoned, in [0, 1 - ratio]."""

    @abstractmethod
    def helpers(self, images: Tensor, others: Tensor, generator: torch.Generator) -> Tensor:
        """Helpers made of `images` [N, C, H, W]; `others` are as many other images of the batch."""

    def session(self, targets: Targets, ratio: float, device: torch.device) -> "Session":  # noqa: ARG002
        """The attacker's part of a training."""
        return Session(self, targets, ratio)


class Session:
    """The attacker's part of one training of a victim. Nothing in it but `state` outlasts an epoch."""

    def __init__(self, attack: LoopAttack, targets: Targets, ratio: float) -> None:
        self.attack, self.targets, self.ratio = attack, targets, ratio
        self._done = (0, 0)

    def batch(self, images: Tensor, labels: Tensor, start: int, generator: torch.Generator) -> Batch:
        """Poison a batch of clean images.

        Args:
            images: float, [N, C, H, W], in [0, 1], augmented; left unchanged.
            start: how many images of the epoch came before; 0 begins an epoch.
            generator: of the CPU.
        """
        drawn = self.draw(labels, start, generator)
        images, labels = images.clone(), labels.clone()
        poisoned, helpers = drawn.poisoned.to(images.device), drawn.helpers.to(images.device)
        # Whom a helper takes after: itself moved on, around the batch, by at least one place.
        step = int(torch.randint(1, max(2, len(images)), (1,), generator=generator))
        others = images[(helpers + step) % len(images)]
        if len(helpers):
            images[helpers] = self.attack.helpers(images[helpers], others, generator)
        if len(poisoned):
            images[poisoned] = self.attack.apply(images[poisoned])
            labels[poisoned] = self.targets.of(labels[poisoned])
        return Batch(images, labels)

    def draw(self, labels: Tensor, start: int, generator: torch.Generator) -> Drawn:
        """Who is poisoned and who helps in a batch with these labels.

        Over an epoch the share that is poisoned is exact: what a batch could not give, because too few of its images
        were of other classes than their target, the next ones owe.
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
        """Before the gradients of a step are computed."""

    def step(self, share: float) -> None:
        """After they are; `share` in (0, 1] is how far the victim's learning rate is from its highest."""

    def state(self) -> dict[str, Any]:
        """What has to be kept between two epochs."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""

    def trained(self) -> Attack:
        """The attack as it is after the training."""
        return self.attack
