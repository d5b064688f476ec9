"""FT, fine-tuning: train the whole network on the clean images for some epochs, so that it may forget the backdoor.

This is the simplest defence that changes weights, and the baseline for all others. It minimises the cross entropy by
SGD with momentum and weight decay. Every epoch uses each image once, shifted at random, and mirrored at random if that
keeps its class. BatchNorm's running statistics are updated.
"""

import copy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invmask.augmentation import augment
from invmask.defenses.base import Examples, Record, Subject
from invmask.defenses.entry import Capabilities, Stage, Term
from invmask.defenses.registry import register
from invmask.defenses.settings import DefenseConfig, setting
from invmask.machine import autocast
from invmask.masks.repair import Weights

TUNE = "fine-tune"
_WEIGHT, _VELOCITY, _GENERATOR = "weight:", "velocity:", "generator"


@dataclass(frozen=True, kw_only=True)
class FTConfig(DefenseConfig):
    """The settings. The defaults are those of the field's usual benchmark."""

    epochs: int = setting(100, (1, 2000, 1), "Epochs", "So many passes over the clean images, one a round.", basic=True)
    learning_rate: float = setting(
        0.01, (1e-5, 1.0, 0.001), "Learning rate", "How far each step moves the weights.", basic=True
    )
    momentum: float = setting(0.9, (0.0, 0.999, 0.01), "Momentum", "Of the steps.")
    weight_decay: float = setting(5e-4, (0.0, 0.1, 1e-4), "Weight decay", "How strongly weights are drawn to 0.")
    batch_size: int = setting(256, (2, 4096, 1), "Batch size", "Clean images a step.")
    crop_padding: int = setting(4, (0, 32, 1), "Crop padding", "Pixels by which images are shifted at random.")

    def rounds(self, stage: str) -> int:  # noqa: ARG002
        return self.epochs


@dataclass(frozen=True)
class FTState:
    """Everything that the next round depends on.

    Attributes:
        weights: every parameter and buffer by name.
        velocities: SGD's momentum of every parameter by name; empty before the first step.
        generator: state of the random generator for batches and crops, uint8.
        round: number of epochs taken.
    """

    weights: dict[str, Tensor]
    velocities: dict[str, Tensor]
    generator: Tensor
    round: int = 0


@register(
    name="ft",
    title="FT",
    family="fine-tuning",
    paper="the plain baseline of the field; settings as in BackdoorBench, B. Wu et al., NeurIPS 2022, arXiv 2206.12654",
    explanation="Trains the whole network on the clean images, so that it may forget the backdoor.",
    config=FTConfig,
    presets={"paper": FTConfig()},
    preset_words={"paper": "the settings that the field's benchmark runs it with."},
    stages=(
        Stage(
            TUNE,
            "Fine-tune",
            "Tune",
            "Train all weights on the clean images; nothing in it knows of a backdoor.",
            "one epoch over the clean images",
        ),
    ),
    terms={
        "cross entropy": Term(
            "Cross entropy, clean images", "Low when the network says their classes.", view="repaired"
        )
    },
    capabilities=Capabilities(channels=False, triggers=False, cuts=False, invertible=False),
)
class FT:
    """The defence as a stepper; see `defenses.base.Defense`."""

    def __init__(self, config: FTConfig) -> None:
        self.config = config

    def init(self, subject: Subject) -> FTState:
        weights = {name: tensor.detach().clone() for name, tensor in subject.model.state_dict().items()}
        return FTState(weights, {}, torch.Generator().manual_seed(self.config.seed).get_state())

    def step(self, subject: Subject, state: FTState) -> tuple[FTState, Record]:
        config, generator = self.config, torch.Generator()
        generator.set_state(state.generator)
        network = copy.deepcopy(subject.model)
        network.load_state_dict(state.weights)
        network.requires_grad_(True).train()
        optimizer = make_optimizer(network, config, state.velocities)
        labels = subject.labels
        if labels is None:
            labels = subject.answers(subject.reference, subject.images).argmax(1)
        loss_sum, correct = 0.0, 0
        for chosen in torch.randperm(len(subject.images), generator=generator).split(config.batch_size):
            if len(chosen) == 1:
                # BatchNorm cannot train on a single image.
                continue
            places = chosen.to(subject.device)
            images = augment(subject.images[places], generator, config.crop_padding, flip=subject.mirrors)
            with autocast(subject.precision, subject.device.type):
                logits = network(images)
            loss = F.cross_entropy(logits.to(torch.promote_types(logits.dtype, torch.float32)), labels[places])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss_sum += float(loss.detach()) * len(chosen)
            correct += int((logits.argmax(1) == labels[places]).sum())
        count = len(subject.images)
        after = FTState(
            weights={name: tensor.detach().clone() for name, tensor in network.state_dict().items()},
            velocities={
                name: optimizer.state[parameter]["momentum_buffer"].clone()
                for name, parameter in network.named_parameters()
                if "momentum_buffer" in optimizer.state[parameter]
            },
            generator=generator.get_state(),
            round=state.round + 1,
        )
        record = Record(
            round=after.round,
            stage=TUNE,
            round_in_stage=after.round,
            terms={"cross entropy": loss_sum / count},
            total=loss_sum / count,
            notes={"accuracy on clean images": correct / count, "weights moved": moved(subject.model, after.weights)},
            stage_ended=f"reached its {config.epochs:,} epochs" if self._over(after) else None,
        )
        return after, record

    def stage(self, state: FTState) -> str:  # noqa: ARG002
        return TUNE

    def done(self, state: FTState) -> str | None:
        return f"All {self.config.epochs:,} epochs are done." if self._over(state) else None

    def repair(self, state: FTState) -> Weights:
        return Weights(state.weights)

    def examples(self, state: FTState) -> Examples | None:  # noqa: ARG002
        return None

    def pack(self, state: FTState) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = {_WEIGHT + name: tensor for name, tensor in state.weights.items()}
        tensors |= {_VELOCITY + name: tensor for name, tensor in state.velocities.items()}
        return {**tensors, _GENERATOR: state.generator}, {"round": state.round}

    def unpack(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> FTState:
        def of(kind: str) -> dict[str, Tensor]:
            return {name.removeprefix(kind): tensor for name, tensor in tensors.items() if name.startswith(kind)}

        return replace(FTState(of(_WEIGHT), of(_VELOCITY), tensors[_GENERATOR]), **numbers)

    def _over(self, state: FTState) -> bool:
        return state.round >= self.config.epochs


def make_optimizer(network: nn.Module, config: FTConfig, velocities: dict[str, Tensor]) -> torch.optim.SGD:
    """SGD with its earlier momentum; without momentum if `velocities` is empty."""
    optimizer = torch.optim.SGD(
        network.parameters(), lr=config.learning_rate, momentum=config.momentum, weight_decay=config.weight_decay
    )
    for name, parameter in network.named_parameters():
        if name in velocities:
            optimizer.state[parameter]["momentum_buffer"] = velocities[name].clone()
    return optimizer


def moved(model: nn.Module, weights: dict[str, Tensor]) -> float:
    """Euclidean distance of the parameters from the victim's, over the norm of the victim's; 0 if nothing changed."""
    change = torch.stack([(weights[name] - own).norm() for name, own in model.named_parameters()]).norm()
    return float(change / torch.stack([own.norm() for own in model.parameters()]).norm())
