"""What an attack is: a way to put a trigger on images, with settings that reproduce it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from invmask.data.images import LabelledImages

CHUNK = 500
Labels = Literal["all-to-one", "all-to-all", "clean-label"]


@dataclass(frozen=True)
class Paper:
    """Where an attack was published."""

    authors: str
    title: str
    year: int
    arxiv: str

    @property
    def url(self) -> str:
        return f"https://arxiv.org/abs/{self.arxiv}"

    def __str__(self) -> str:
        return f"{self.authors}, {self.title}, {self.year}, arXiv {self.arxiv}"


class Attack(ABC):
    """A backdoor attack. Subclasses are frozen dataclasses and write only `_trigger`.

    The settings (the dataclass fields) fix a static trigger completely, so a victim's card can carry them.

    Attributes:
        paper: None for an attack that nobody published.
        labellings: how the attack can label what it poisons (see `training.poison_set`).
        limits: the smallest and largest value of a numeric setting; a number without limits has to be at least 0.
        multiples: for some settings, the number that the value has to be a multiple of.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    explanation: ClassVar[str]
    paper: ClassVar[Paper | None] = None
    labellings: ClassVar[tuple[Labels, ...]] = ("all-to-one", "all-to-all")
    limits: ClassVar[dict[str, tuple[float, float]]] = {}
    multiples: ClassVar[dict[str, int]] = {}

    @abstractmethod
    def _trigger(self, images: Tensor) -> Tensor:
        """Triggered images before clipping and rounding, same shape as `images`."""

    @torch.no_grad()
    def apply(self, images: Tensor) -> Tensor:
        """Put the trigger on every image. Each image is handled independently of the others.

        Args:
            images: float, [N, C, H, W], in [0, 1]; left unchanged.

        Returns:
            A new float tensor [N, C, H, W] in [0, 1], rounded to 8 bits, as images are stored in files.
        """
        if images.ndim != 4:
            raise ValueError(f"images must be [N, C, H, W], not {tuple(images.shape)}")
        if len(images) == 0:
            return images.clone()
        return torch.cat([to_8_bits(self._trigger(some)) for some in images.split(CHUNK)])

    def settings(self) -> dict[str, Any]:
        """The settings that reproduce this trigger, as JSON values."""
        return asdict(self)  # type: ignore[call-overload]

    def suited_to(self, shape: tuple[int, int, int]) -> Self:  # noqa: ARG002
        """This attack, adapted to images of `shape` (C, H, W) where it depends on the shape."""
        return self


@dataclass(frozen=True)
class EpochReport:
    """One epoch.

    Attributes:
        epoch: counted from 1.
        loss: mean training loss, in nats for a classifier.
        accuracy: the quantity that `measure` names, in [0, 1]; for a classifier, accuracy on the poisoned labels.
    """

    epoch: int
    loss: float
    accuracy: float
    measure: str = "training ACC"


@dataclass(frozen=True)
class Progress:
    """How training is watched, and where it resumes from.

    Attributes:
        checkpoint: file to write after each epoch and to resume from if it exists; None for neither.
        on_epoch, on_step: called with each epoch's report, and with (step within the epoch, steps per epoch).
        on_model: called with the classifier and each epoch's number before the epoch counts as finished. It may put the
            classifier in eval mode, and must change nothing else.
        on_resume: called with the number of finished epochs when training resumes from a checkpoint.
        of: describes the training as plain data; training does not resume from a checkpoint with other values.
    """

    checkpoint: Path | None = None
    on_epoch: Callable[[EpochReport], None] = lambda report: None
    on_step: Callable[[int, int], None] = lambda step, steps: None
    on_model: Callable[[nn.Module, int], None] = lambda model, epoch: None
    on_resume: Callable[[int], None] = lambda epochs: None
    of: Mapping[str, Any] = field(default_factory=dict)


class TrainedAttack(Attack):
    """An attack whose trigger is made by networks that the attacker trains.

    Untrained networks are initialised from `seed`, a field that every such attack has. Trained networks are stored with
    the victim (`victims.trigger_file`) and restored by `with_tensors`.
    """

    seed: int
    channels: int
    prepare_epochs: int

    @abstractmethod
    def _build(self) -> nn.Module:
        """Freshly initialised networks, for images of `channels` channels and any size."""

    @abstractmethod
    def prepare(self, images: LabelledImages, device: torch.device, bfloat16: bool, progress: Progress) -> Self:
        """Train what is trained before the victim: `prepare_epochs` epochs on the attacker's clean images."""

    @cached_property
    def networks(self) -> nn.Module:
        """The networks in eval mode. They are shared, so they must never be trained in place."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return self._build().eval().requires_grad_(False)

    def with_networks(self, networks: nn.Module) -> Self:
        """The same attack with these networks. The attack keeps a reference to them."""
        twin = replace(self)  # type: ignore[type-var]
        # cached_property's cache can be filled on a frozen dataclass; comparison and printing use the settings only.
        vars(twin)["networks"] = networks.cpu().float().eval().requires_grad_(False)
        return twin

    def tensors(self) -> dict[str, Tensor]:
        """The tensors that have to be stored beside the settings, by name."""
        return {name: tensor.detach().cpu().contiguous() for name, tensor in self.networks.state_dict().items()}

    def with_tensors(self, tensors: Mapping[str, Tensor]) -> Self:
        """The attack with stored networks.

        Raises:
            RuntimeError: the tensors belong to other networks.
        """
        # Skip weight initialisation, which would advance the caller's random state.
        with torch.device("meta"):
            networks = self._build()
        networks.load_state_dict(tensors, assign=True)
        return self.with_networks(networks)

    def suited_to(self, shape: tuple[int, int, int]) -> Self:
        return replace(self, channels=shape[0]) if shape[0] != self.channels else self  # type: ignore[type-var]

    def _on(self, images: Tensor) -> nn.Module:
        """The networks on the device of `images`."""
        return self.networks.to(images.device)


def to_8_bits(images: Tensor) -> Tensor:
    """Images clipped to [0, 1] and rounded to 8 bits, as images are stored in files. Any shape; the shape is kept."""
    return torch.round(images.clamp(0, 1) * 255) / 255
