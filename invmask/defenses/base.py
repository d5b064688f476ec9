"""What every defence is: a stepper. One driver serves the dashboard, the command line, tests and benchmarks.

A defence sees a model and a clean budget, never a trigger, a target label or test data.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from invmask.machine import Precision, autocast
from invmask.masks.constant import ConstantView
from invmask.masks.state import MaskLayout, Masks

PASS_SIZE = 256
"""Images a pass without a gradient."""


@dataclass(frozen=True)
class Subject:
    """What a defence is given.

    Attributes:
        model: the victim in eval mode, weights frozen; private to the defence (see `masks.attach.sharing_copy`).
        images: the clean budget, float32 [N, C, H, W] in [0, 1].
        num_classes: number of logits K.
        precision: arithmetic of the networks' passes.
        mirrors: whether an image keeps its class when left and right are exchanged.
    """

    model: nn.Module
    images: Tensor
    num_classes: int
    precision: Precision = "float32"
    mirrors: bool = True

    @property
    def device(self) -> torch.device:
        return self.images.device

    @cached_property
    def layout(self) -> MaskLayout:
        """The masked layers."""
        return MaskLayout.of(self.model)

    @cached_property
    def reference(self) -> ConstantView:
        """The unmasked network, made ready once for the many passes of a defence."""
        ones = torch.ones(self.layout.channels, dtype=self.images.dtype, device=self.device)
        return ConstantView(self.model, self.layout, ones)

    @torch.no_grad()
    def answers(self, network: ConstantView, images: Tensor) -> Tensor:
        """Softmax answers [N, K] of one view to images [N, C, H, W], without a gradient."""
        with autocast(self.precision, self.device.type):
            logits = torch.cat([network(batch) for batch in images.split(PASS_SIZE)])
        return logits.softmax(1)


@dataclass(frozen=True)
class Examples:
    """A few of the budget's images with the perturbations made for them in one round.

    Attributes:
        indices: int64 [E], places in the budget.
        perturbations: float32 [E, C, H, W], in the units of [0, 1]; may be negative.
        probabilities: float32 [3, E, K], softmax answers to the perturbed images of the original, pruned and
            inverse view (with the masks after the round).
    """

    indices: Tensor
    perturbations: Tensor
    probabilities: Tensor


State = TypeVar("State")
Record_co = TypeVar("Record_co", covariant=True)


class Defense(Protocol, Generic[State, Record_co]):
    """`init`, `step`, `done`. States are plain data and can be written to disk between any two rounds."""

    name: str

    def init(self, subject: Subject) -> State:
        """The state before the first round."""
        ...

    def step(self, subject: Subject, state: State) -> tuple[State, Record_co]:
        """One round. The state given is left unchanged."""
        ...

    def done(self, state: State) -> str | None:
        """Why the defence has ended, as a sentence for people; None while there is more to do."""
        ...

    def masks(self, state: State) -> Masks:
        """The masks as they stand."""
        ...

    def examples(self, state: State) -> Examples | None:
        """Example perturbations of the last round, if there was one."""
        ...

    def pack(self, state: State) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The state as named tensors and JSON, exactly."""
        ...

    def unpack(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> State:
        """The state from what `pack` gave."""
        ...


def drive(
    defense: Defense[State, Record_co], subject: Subject, state: State, rounds: int | None = None
) -> Iterator[tuple[State, Record_co]]:
    """Step until the defence is done, or for at most `rounds` rounds; yields the state and record of each."""
    taken = 0
    while defense.done(state) is None and (rounds is None or taken < rounds):
        state, record = defense.step(subject, state)
        taken += 1
        yield state, record
