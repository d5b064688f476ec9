"""What every defence is: a stepper. One driver serves the dashboard, the command line, tests and benchmarks.

A defence sees a model and a clean budget, never a trigger, a target label or test data.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from invmask.machine import Precision
from invmask.masks.state import Masks


@dataclass(frozen=True)
class Subject:
    """What a defence is given.

    Attributes:
        model: the victim in eval mode, weights frozen; private to the defence (see `masks.attach.sharing_copy`).
        images: the clean budget, float32 [N, C, H, W] in [0, 1].
        num_classes: number of logits K.
        precision: arithmetic of the networks' passes.
    """

    model: nn.Module
    images: Tensor
    num_classes: int
    precision: Precision = "float32"

    @property
    def device(self) -> torch.device:
        return self.images.device


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
