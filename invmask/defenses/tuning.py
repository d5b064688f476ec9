"""What the defences share that train the network's weights on the clean images.

Their state is plain data. Each round makes from it a network and an optimiser, trains these for an epoch, and stores
what became of them.
"""

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from invmask.augmentation import augment
from invmask.defenses.base import Examples, Record, Subject
from invmask.defenses.clean_images import labels_of
from invmask.defenses.settings import DefenseConfig, setting
from invmask.machine import autocast
from invmask.masks.repair import Weights

Batches = Iterator[tuple[Tensor, Tensor]]
"""Images, float [N, C, H, W] in [0, 1], and their classes, int64 [N]."""


@dataclass(frozen=True, kw_only=True)
class TuningConfig(DefenseConfig):
    """The settings of training by SGD. The defaults are those of the field's usual benchmark."""

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
class TunedState:
    """Everything that the next round depends on.

    Attributes:
        weights: every parameter and buffer by name.
        generator: state of the random generator for batches and crops, uint8.
        stage: the stage of the next round.
        velocities: SGD's momentum of every parameter by name; empty before the first step.
        kept: further tensors by name, as the defence needs them.
        round, round_in_stage: rounds taken in all, and in this stage.
        numbers: further JSON values by name, as the defence needs them.
        ended: why the defence has ended; None while there is more to do.
    """

    weights: dict[str, Tensor]
    generator: Tensor
    stage: str
    velocities: dict[str, Tensor] = field(default_factory=dict)
    kept: dict[str, Tensor] = field(default_factory=dict)
    round: int = 0
    round_in_stage: int = 0
    numbers: dict[str, Any] = field(default_factory=dict)
    ended: str | None = None

    def in_stage(self, stage: str, **changed: Any) -> "TunedState":
        """The state at the beginning of another stage."""
        return replace(self, stage=stage, round_in_stage=0, **changed)


_PREFIXES = {"weights": "weight", "velocities": "velocity", "kept": "kept"}


class Tuning:
    """What all such steppers have in common; see `defenses.base.Defense`. A subclass adds `step`."""

    first_stage: str

    def __init__(self, config: Any) -> None:
        self.config = config

    def init(self, subject: Subject) -> TunedState:
        generator = torch.Generator().manual_seed(self.config.seed).get_state()
        return TunedState(tensors_of(subject.model), generator, self.first_stage)

    def stage(self, state: TunedState) -> str:
        return state.stage

    def done(self, state: TunedState) -> str | None:
        return state.ended

    def repair(self, state: TunedState) -> Weights:
        return Weights(state.weights)

    def examples(self, state: TunedState) -> Examples | None:  # noqa: ARG002
        return None

    def pack(self, state: TunedState) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = {"generator": state.generator}
        for kind, prefix in _PREFIXES.items():
            tensors |= {f"{prefix}:{name}": tensor for name, tensor in getattr(state, kind).items()}
        numbers = {each.name: getattr(state, each.name) for each in fields(state)}
        return tensors, {name: value for name, value in numbers.items() if name not in ("generator", *_PREFIXES)}

    def unpack(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> TunedState:
        def of(prefix: str) -> dict[str, Tensor]:
            named = {name.partition(":")[::2]: tensor for name, tensor in tensors.items()}
            return {name: tensor for (kind, name), tensor in named.items() if kind == prefix}

        by_kind = {kind: of(prefix) for kind, prefix in _PREFIXES.items()}
        # States of earlier versions have no stage; they are in the first one.
        return TunedState(**by_kind, generator=tensors["generator"], **{"stage": self.first_stage, **numbers})


def tensors_of(network: nn.Module) -> dict[str, Tensor]:
    """Copies of all parameters and buffers by name."""
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def network_with(subject: Subject, weights: dict[str, Tensor]) -> nn.Module:
    """A copy of the victim with these weights, in training mode and with gradients."""
    network = copy.deepcopy(subject.model)
    network.load_state_dict(weights)
    return network.requires_grad_(True).train()


def sgd(network: nn.Module, config: TuningConfig, velocities: dict[str, Tensor]) -> torch.optim.SGD:
    """SGD with its earlier momentum; without momentum if `velocities` is empty."""
    optimizer = torch.optim.SGD(
        network.parameters(), lr=config.learning_rate, momentum=config.momentum, weight_decay=config.weight_decay
    )
    for name, parameter in network.named_parameters():
        if name in velocities:
            optimizer.state[parameter]["momentum_buffer"] = velocities[name].clone()
    return optimizer


def velocities_of(network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's momentum of every parameter by name; a parameter that has none yet is left out."""
    found = {name: optimizer.state[parameter] for name, parameter in network.named_parameters()}
    return {name: own["momentum_buffer"].clone() for name, own in found.items() if "momentum_buffer" in own}


def batches(subject: Subject, config: TuningConfig, generator: torch.Generator) -> Batches:
    """One epoch: every clean image once, shifted at random, and mirrored at random if that keeps its class."""
    labels = labels_of(subject)
    for chosen in torch.randperm(len(subject.images), generator=generator).split(config.batch_size):
        # BatchNorm cannot train on a single image.
        if len(chosen) > 1:
            places = chosen.to(subject.device)
            yield augment(subject.images[places], generator, config.crop_padding, flip=subject.mirrors), labels[places]


def logits_of(subject: Subject, network: nn.Module, images: Tensor) -> Tensor:
    """Logits [N, K] in at least float32, with a gradient."""
    with autocast(subject.precision, subject.device.type):
        logits = network(images)
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def generator_of(state: TunedState) -> torch.Generator:
    """The random generator where the last round left it."""
    generator = torch.Generator()
    generator.set_state(state.generator)
    return generator


def after_round(state: TunedState, generator: torch.Generator, **changed: Any) -> TunedState:
    """The state one round later, with these fields changed."""
    counted = {"round": state.round + 1, "round_in_stage": state.round_in_stage + 1}
    return replace(state, generator=generator.get_state(), **{**counted, **changed})


def after_epoch(
    subject: Subject,
    state: TunedState,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    epochs: int,
    terms: dict[str, float],
    total: float,
    accuracy: float,
    then: str = "",
    **kept: Tensor,
) -> tuple[TunedState, Record]:
    """The state and the record after an epoch.

    Args:
        network, optimizer, generator: as the epoch left them.
        epochs: number of epochs of this stage, with the last of which it ends.
        terms, total: of the loss, means over the epoch.
        accuracy: share of right answers in the epoch, in [0, 1].
        then: the stage after this one, which begins without momentum; empty if this is the last one.
        kept: tensors that replace those of the same names in `TunedState.kept`.
    """
    over = state.round_in_stage + 1 >= epochs
    after = after_round(
        state,
        generator,
        weights=tensors_of(network),
        velocities=velocities_of(network, optimizer),
        kept={**state.kept, **kept},
        ended=f"All {epochs:,} epochs are done." if over and not then else None,
    )
    record = Record(
        round=after.round,
        stage=state.stage,
        round_in_stage=after.round_in_stage,
        terms=terms,
        total=total,
        counts={"cut": after.numbers["cut"]} if "cut" in after.numbers else {},
        notes={"accuracy on clean images": accuracy, "weights moved": moved(subject.model, after.weights)},
        stage_ended=f"reached its {epochs:,} epochs" if over else None,
    )
    return (after.in_stage(then, velocities={}) if over and then else after), record


class Means:
    """Means over an epoch's images: of each term of the loss, and of right answers."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._images = self._right = 0

    def add(self, logits: Tensor, labels: Tensor, **terms: Tensor) -> None:
        """Take in a batch: its logits [N, K], its classes [N], and the means of terms over it."""
        self._images += len(labels)
        self._right += int((logits.argmax(1) == labels).sum())
        for name, value in terms.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(value.detach()) * len(labels)

    def of(self, name: str) -> float:
        """The mean of a term over the epoch; 0 if no batch was taken."""
        return self._sums.get(name, 0.0) / max(self._images, 1)

    @property
    def accuracy(self) -> float:
        return self._right / max(self._images, 1)


def moved(model: nn.Module, weights: dict[str, Tensor]) -> float:
    """Euclidean distance of the parameters from the victim's, over the norm of the victim's; 0 if nothing changed."""
    named: Iterable[tuple[str, nn.Parameter]] = list(model.named_parameters())
    change = torch.stack([(weights[name] - own).norm() for name, own in named]).norm()
    return float(change / torch.stack([own.norm() for _, own in named]).norm())
