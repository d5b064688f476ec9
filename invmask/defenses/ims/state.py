"""The state of IMS between two rounds: plain data, random state included."""

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from invmask.defenses.ims.config import Phase

VECTORS = ("mask", "selection", "mask_mean", "mask_square", "selection_mean", "selection_square")


@dataclass(frozen=True)
class IMSState:
    """Everything that the next round depends on, beside the subject and the config.

    Attributes:
        mask, selection: the learned vectors a and s, float32 [channels] in [0, 1].
        mask_mean, mask_square, selection_mean, selection_square: AdamW's running moments of each, [channels].
        reference: the reference's softmax answers to the clean budget, float32 [N, K]; computed once.
        generator: state of the generator that draws batches, uint8.
        example_indices, example_perturbations, example_probabilities: see `defenses.base.Examples`; empty before
            the first round that has an inner problem.
        phase, round, round_in_phase: the phase that the next round belongs to, rounds taken in all and in it.
        optimizer_steps: AdamW's count since the phase began.
        best_total: the smallest outer loss of the phase that counted as progress.
        rounds_without_progress: rounds since then.
        effort: what the next round's pressure or weight is multiplied by, see `IMSConfig.keep_clean`; 1 without it.
        one_label: the share of the clean images that went to one label after the last round with the channels cut so
            far turned up; 0 where that is not looked at.
        label: the label that the cut channels, turned up, are to lead to in the first phase, or to the end where it is
            held to; None without one.
        race_labels, race_vectors, race_efforts, race_totals: the labels still in the race (see `race`), int64 [L];
            the six vectors of each, in the order of `VECTORS`, [6, L, channels]; its effort; and the sum of
            its outer losses, float64 [L] both. Empty but for the rounds of a race.
        race_over: whether it has been run.
        held: whether `label` is held to, see `IMSConfig.hold_lead`.
        ended: why the defence has ended, as a sentence; None while there is more to do.
    """

    mask: Tensor
    selection: Tensor
    mask_mean: Tensor
    mask_square: Tensor
    selection_mean: Tensor
    selection_square: Tensor
    reference: Tensor
    generator: Tensor
    example_indices: Tensor
    example_perturbations: Tensor
    example_probabilities: Tensor
    phase: Phase = Phase.INITIALISE
    round: int = 0
    round_in_phase: int = 0
    optimizer_steps: int = 0
    best_total: float = float("inf")
    rounds_without_progress: int = 0
    effort: float = 1.0
    one_label: float = 0.0
    label: int | None = None
    race_labels: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))
    race_vectors: Tensor = field(default_factory=lambda: torch.empty(6, 0, 0))
    race_efforts: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.float64))
    race_totals: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.float64))
    race_over: bool = False
    held: bool = False
    ended: str | None = None

    def begin(self, phase: Phase) -> "IMSState":
        """The same masks at the start of `phase`, with fresh optimizer state and without a race."""
        zeros = torch.zeros_like(self.mask)
        return replace(
            self.without_race(),
            mask_mean=zeros,
            mask_square=zeros,
            selection_mean=zeros,
            selection_square=zeros,
            phase=phase,
            round_in_phase=0,
            optimizer_steps=0,
            best_total=float("inf"),
            rounds_without_progress=0,
            effort=1.0,
            one_label=0.0,
        )

    def without_race(self) -> "IMSState":
        """The same with the masks and the label of the one that leads, and nothing of the others."""
        empty = torch.empty(0, dtype=torch.float64)
        return replace(
            self,
            race_labels=empty.long(),
            race_vectors=torch.empty(6, 0, 0),
            race_efforts=empty,
            race_totals=empty,
        )


def unpack(tensors: dict[str, Tensor], numbers: dict[str, Any]) -> IMSState:
    """The state from what `defenses.base.pack_fields` gave.

    Raises:
        TypeError, KeyError, ValueError: not a state.
    """
    best = numbers["best_total"]
    return IMSState(
        **tensors,
        **{**numbers, "phase": Phase(numbers["phase"]), "best_total": float("inf") if best is None else best},
    )
