"""IAB, the input-aware attack: each image has a small patch of its own (Nguyen and Tran 2020, arXiv 2010.08138)."""

import copy
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from invmask.attacks.base import Attack, Paper, Progress, TrainedAttack
from invmask.attacks.training.poison_batches import Batch, LoopAttack, Session
from invmask.attacks.training.train_trigger_networks import FitConfig, fit
from invmask.attacks.triggers.generators import Generator
from invmask.data.images import LabelledImages
from invmask.measure.target_labels import Targets

EPSILON = 1e-4
BETAS = (0.5, 0.9)


@dataclass(frozen=True)
class IAB(LoopAttack, TrainedAttack):
    """x' = (1 - m(x)) x + m(x) p(x): a mask m in [0, 1] and a pattern p in [0, 1], both made from the image.

    First the mask's generator is trained on clean images: a mask covers at most the share `density` of an image, and
    masks differ between images as much as the images do. Then the pattern's generator is trained together with the
    victim. The victim shall answer x' with the target. It shall answer an image with *another* image's mask and pattern
    with the true class (cross-trigger mode; `cross_ratio` such images per poisoned image). The diversity loss,
    `diversity_weight` times mean(|x - y| / |p(x) - p(y)|), makes the patterns differ. m is sigmoid(`steepness` (g -
    1/2)) of the generator's output g in [0, 1]. The authors' program uses tanh(20 g - 10) / 2 + 1/2, a steepness of 40.
    """

    name: ClassVar[str] = "iab"
    title: ClassVar[str] = "IAB (input-aware)"
    explanation: ClassVar[str] = (
        "A few pixels change, others in every image: a network draws each image a trigger of its own."
    )
    paper = Paper("T. A. Nguyen, A. T. Tran", "Input-Aware Dynamic Backdoor Attack", 2020, "2010.08138")
    limits: ClassVar[dict[str, tuple[float, float]]] = {
        "density": (0, 1),
        "cross_ratio": (0, 8),
        "width": (4, 128),
        "channels": (1, 4),
        "prepare_epochs": (0, 1000),
    }
    multiples: ClassVar[dict[str, int]] = {"width": 4}

    density: float = 0.032
    diversity_weight: float = 1.0
    norm_weight: float = 100.0
    cross_ratio: float = 1.0
    steepness: float = 20.0
    rate: float = 0.01
    width: int = 16
    channels: int = 3
    prepare_epochs: int = 2
    seed: int = 0

    def helper_ratio(self, ratio: float) -> float:
        return min(self.cross_ratio * ratio, 1 - ratio)

    def helpers(self, images: Tensor, others: Tensor, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        networks = self._on(images)
        return blend(images, self.mask(networks, others), self.pattern(networks, others))

    def prepare(self, images: LabelledImages, device: torch.device, bfloat16: bool, progress: Progress) -> Self:
        """Train the mask's generator. The pattern's generator is trained together with the victim."""

        def loss(networks: nn.Module, batch: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
            masks = self.mask(networks, batch)
            step = int(torch.randint(1, max(2, len(batch)), (1,), generator=generator))
            apart = diversity_loss(batch, batch.roll(step, 0), masks, masks.roll(step, 0))
            dense = (masks - self.density).relu().mean()
            return self.norm_weight * dense + self.diversity_weight * apart, masks.mean()

        config = FitConfig(self.settings(), self.prepare_epochs, self.rate, BETAS, seed=self.seed, bfloat16=bfloat16)
        return self.with_networks(fit(self.networks, loss, images, config, device, progress, "mask density"))

    def mask(self, networks: nn.Module, images: Tensor) -> Tensor:
        """m of each image, float32 [N, 1, H, W] in [0, 1]; nearly all values are close to 0 or 1."""
        drawn = networks.mask(2 * images - 1).float()  # type: ignore[operator]
        return torch.sigmoid(self.steepness * (torch.sigmoid(drawn) - 0.5))

    def pattern(self, networks: nn.Module, images: Tensor) -> Tensor:
        """p of each image, float32 [N, C, H, W] in [0, 1]."""
        return torch.sigmoid(networks.pattern(2 * images - 1).float())  # type: ignore[operator]

    def session(self, targets: Targets, ratio: float, device: torch.device) -> Session:
        return _Session(self, targets, ratio, device)

    def _build(self) -> nn.Module:
        return nn.ModuleDict(
            {
                "mask": Generator(self.channels, 1, self.width),
                "pattern": Generator(self.channels, self.channels, self.width),
            }
        )

    def _trigger(self, images: Tensor) -> Tensor:
        networks = self._on(images)
        return blend(images, self.mask(networks, images), self.pattern(networks, images))


class _Session(Session):
    """Trains the pattern's generator with the gradients of the victim's loss."""

    attack: IAB

    def __init__(self, attack: IAB, targets: Targets, ratio: float, device: torch.device) -> None:
        super().__init__(attack, targets, ratio)
        self.networks = copy.deepcopy(attack.networks).to(device).eval()
        pattern = self.networks.pattern.requires_grad_(True)  # type: ignore[union-attr]
        self.optimizer = torch.optim.Adam(pattern.parameters(), attack.rate, BETAS)  # type: ignore[union-attr]

    def batch(self, images: Tensor, labels: Tensor, start: int, generator: torch.Generator) -> Batch:
        drawn = self.draw(labels, start, generator)
        poisoned, helpers = drawn.poisoned.to(images.device), drawn.helpers.to(images.device)
        if len(poisoned) + len(helpers) == 0:
            return Batch(images, labels)
        attack, made = self.attack, images.clone()
        # Every helper carries the trigger of another image, its donor. The donors' patterns shall differ from those of
        # the poisoned images.
        step = int(torch.randint(1, max(2, len(images)), (1,), generator=generator))
        donors = images[(helpers + step) % len(images)]
        both = torch.cat([images[poisoned], donors])
        with torch.no_grad():
            masks = attack.mask(self.networks, both)
        patterns = attack.pattern(self.networks, both)
        worn = blend(torch.cat([images[poisoned], images[helpers]]), masks, patterns)
        made[torch.cat([poisoned, helpers])] = worn.to(made.dtype)
        given = labels.clone()
        given[poisoned] = self.targets.of(labels[poisoned])
        pairs, count = min(len(poisoned), len(donors)), len(poisoned)
        if pairs == 0:
            return Batch(made, given)
        apart = diversity_loss(both[:pairs], both[count : count + pairs], patterns[:pairs], patterns[count:][:pairs])
        return Batch(made, given, attack.diversity_weight * apart)

    def zero_grad(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)

    def step(self, share: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = share * self.attack.rate
        self.optimizer.step()

    def state(self) -> dict[str, Any]:
        return {"networks": self.networks.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        self.networks.load_state_dict(state["networks"])
        self.optimizer.load_state_dict(state["optimizer"])

    def trained(self) -> Attack:
        return self.attack.with_networks(copy.deepcopy(self.networks))


def blend(images: Tensor, masks: Tensor, patterns: Tensor) -> Tensor:
    """(1 - m) x + m p, for images x and patterns p [N, C, H, W] and masks m [N, 1, H, W]."""
    return images + masks * (patterns - images)


def diversity_loss(first: Tensor, second: Tensor, made_first: Tensor, made_second: Tensor) -> Tensor:
    """mean(|x - y| / |g(x) - g(y)|) over N pairs of images [N, C, H, W] and of the tensors made from them.

    Distances are root mean squares, so that the number of channels does not matter (1 for masks, C for images).
    """
    return (_distance(first, second) / (_distance(made_first, made_second) + EPSILON)).mean()


def _distance(first: Tensor, second: Tensor) -> Tensor:
    # The square root has no gradient at 0, where two images are equal.
    return ((first - second).float().square().flatten(1).mean(1) + EPSILON**2).sqrt()
