"""The interface of every defence: a stepper. One driver serves dashboard, command line, tests and benchmarks.

A defence sees a model and a clean budget, never a trigger, a target label or test data.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

from invmask.machine import Precision, autocast
from invmask.masks.constant import ConstantView
from invmask.masks.repair import Network, Repair
from invmask.masks.state import MaskLayout

PASS_SIZE = 256
"""Images per pass without a gradient."""


@dataclass(frozen=True)
class Subject:
    """What a defence is given.

    Attributes:
        model: the victim in eval mode, weights frozen; private to the defence (see `masks.attach.sharing_copy`).
        images: the clean budget, float32 [N, C, H, W] in [0, 1].
        num_classes: number of logits K.
        labels: the images' true classes, int64 [N]; None if they are not given, as for a defence that needs none.
        precision: the number format in which networks run.
        mirrors: whether a mirrored image (left to right) keeps its class.
    """

    model: nn.Module
    images: Tensor
    num_classes: int
    precision: Precision = "float32"
    mirrors: bool = True
    labels: Tensor | None = None

    @property
    def device(self) -> torch.device:
        return self.images.device

    @property
    def shape(self) -> tuple[int, int, int]:
        """C, H, W of an image."""
        _, channels, height, width = self.images.shape
        return channels, height, width

    @cached_property
    def layout(self) -> MaskLayout:
        """The masked layers."""
        return MaskLayout.of(self.model)

    @cached_property
    def reference(self) -> ConstantView:
        """The unmasked network, prepared once for the many passes of a defence."""
        ones = torch.ones(self.layout.channels, dtype=self.images.dtype, device=self.device)
        return ConstantView(self.model, self.layout, ones)

    @torch.no_grad()
    def answers(self, network: Network, images: Tensor) -> Tensor:
        """Softmax probabilities [N, K] of one view for images [N, C, H, W] in [0, 1], without a gradient."""
        with autocast(self.precision, self.device.type):
            logits = torch.cat([network(batch) for batch in images.split(PASS_SIZE)])
        return logits.softmax(1)


@dataclass(frozen=True)
class Examples:
    """A few of the budget's images with the perturbations made for them in one round.

    Attributes:
        indices: int64 [E], positions in the budget.
        perturbations: float32 [E, C, H, W], in the units of [0, 1]; may be negative.
        probabilities: float32 [V, E, K], softmax probabilities of each view for the perturbed images, after the round.
        one_for_all: whether all images have the same perturbation.
    """

    indices: Tensor
    perturbations: Tensor
    probabilities: Tensor
    one_for_all: bool = False


@dataclass(frozen=True)
class Synthesis:
    """How well the perturbations of a round work, on its clean batch. Shares are in [0, 1].

    Attributes:
        flipped: share of images for which the perturbation changes the reference network's answer.
        flipped_to: number of images flipped to each label; length K.
        inverse_agrees: share of the flipped images for which the inverse view gives the same answer as the reference.
        pruned_restores: share of the flipped images for which the pruned view gives the reference's answer to the clean
            image.
        largest: largest absolute change of a pixel, in the units of [0, 1].
        samples: images in the batch.
    """

    flipped: float
    flipped_to: tuple[int, ...]
    inverse_agrees: float
    pruned_restores: float
    largest: float
    samples: int


PORTRAITS = 12
"""Labels whose candidates a round shows, at most."""


@dataclass(frozen=True)
class Candidates:
    """The smallest trigger found so far for each label, after one round of a search.

    Attributes:
        family: the kind of trigger, by its name in `defenses.family_texts.FAMILY_WORDS`.
        labels: int64 [P], rising; the labels with the smallest triggers, at most `PORTRAITS`.
        portraits: float32 [P, C, H, W] in [0, 1], one picture of each trigger.
        sizes: float32 [P], in the family's unit.
        flips: float32 [P], share of images in [0, 1] that the trigger leads to its label.
        searched: bool [P], whether the label is still searched.
        standing_out: the label whose trigger is clearly smaller than all others; None if there is none yet.
        lead: log of the second smallest size over the smallest size, in nats; None before two labels have been reached.
    """

    family: str
    labels: Tensor
    portraits: Tensor
    sizes: Tensor
    flips: Tensor
    searched: Tensor
    standing_out: int | None
    lead: float | None


@runtime_checkable
class Searching(Protocol):
    """A defence that searches for the backdoor's label and trigger in its first stage."""

    def candidates(self, subject: Subject, state: Any) -> Candidates | None:
        """What the last round found; None if it was not a round of the search."""
        ...


@dataclass(frozen=True)
class Record:
    """The record of one round, as JSON values only. Equal rounds give equal records.

    Attributes:
        round: counted over all stages, from 1.
        stage: the name of the stage that it belongs to.
        round_in_stage: from 1.
        terms: every term of the loss by name, unweighted, before the step; in nats unless the entry says otherwise.
        total: the weighted sum that was minimised.
        counts: whole numbers by name, after the step.
        notes: further values by name: numbers, strings, booleans or None.
        synthesis: how well its perturbations work; None if the round made none.
        stage_ended: why the stage ended with this round, as the end of a sentence; None if it goes on.
    """

    round: int
    stage: str
    round_in_stage: int
    terms: dict[str, float]
    total: float
    counts: dict[str, int] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    synthesis: Synthesis | None = None
    stage_ended: str | None = None


State = TypeVar("State")


class Defense(Protocol[State]):
    """`init`, `step`, `done`. States are plain data and can be written to disk between any two rounds."""

    def init(self, subject: Subject) -> State:
        """Return the state before the first round."""
        ...

    def step(self, subject: Subject, state: State) -> tuple[State, Record]:
        """Take one round; returns the new state and the round's record. `state` is left unchanged."""
        ...

    def stage(self, state: State) -> str:
        """The stage of the next round, or at the end of the last one."""
        ...

    def done(self, state: State) -> str | None:
        """Why the defence has ended, as a sentence for people; None while there is more to do."""
        ...

    def repair(self, state: State) -> Repair:
        """The repair of the network after the last round."""
        ...

    def examples(self, state: State) -> Examples | None:
        """Example perturbations of the last round, if it made any."""
        ...

    def pack(self, state: State) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The exact state as named tensors and JSON values."""
        ...

    def unpack(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> State:
        """Rebuild the state from what `pack` returned."""
        ...


def drive(
    defense: Defense[State], subject: Subject, state: State, rounds: int | None = None
) -> Iterator[tuple[State, Record]]:
    """Step until the defence is done, or for at most `rounds` rounds; yields the state and record of each."""
    taken = 0
    while defense.done(state) is None and (rounds is None or taken < rounds):
        state, record = defense.step(subject, state)
        taken += 1
        yield state, record


def pack_fields(state: Any) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Split a dataclass of tensors and JSON values, by field name. Infinity, which JSON lacks, becomes None."""
    tensors, numbers = {}, {}
    for each in fields(state):
        value = getattr(state, each.name)
        if isinstance(value, Tensor):
            tensors[each.name] = value.detach().cpu().contiguous()
        else:
            numbers[each.name] = None if value == float("inf") else value
    return tensors, numbers
