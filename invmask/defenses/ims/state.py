"""The state of IMS between two rounds: plain data, random state included."""

from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor

from invmask.defenses.ims.config import Phase
from invmask.defenses.ims.search import Hypothesis, Search
from invmask.defenses.inversion import Inversion


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
        search: what the search found so far.
        hypotheses: what the masks learn against; empty before the end of a search, and without one.
        phase, round, round_in_phase: the phase that the next round belongs to, rounds taken in all and in it.
        optimizer_steps: AdamW's count since the phase began.
        best_total: the smallest outer loss of the phase that counted as progress.
        rounds_without_progress: rounds since then.
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
    search: Search = field(default_factory=Search)
    hypotheses: tuple[Hypothesis, ...] = ()
    phase: Phase = Phase.SEARCH
    round: int = 0
    round_in_phase: int = 0
    optimizer_steps: int = 0
    best_total: float = float("inf")
    rounds_without_progress: int = 0
    ended: str | None = None

    def begin(self, phase: Phase) -> "IMSState":
        """The same masks at the start of `phase`, with fresh optimizer state."""
        zeros = torch.zeros_like(self.mask)
        return replace(
            self,
            mask_mean=zeros,
            mask_square=zeros,
            selection_mean=zeros,
            selection_square=zeros,
            phase=phase,
            round_in_phase=0,
            optimizer_steps=0,
            best_total=float("inf"),
            rounds_without_progress=0,
        )


_NESTED = {"search", "hypotheses"}
_OF_INVERSION = tuple(each.name for each in fields(Inversion) if each.name != "steps")


def pack(state: IMSState) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state as named tensors and JSON. Infinity, which JSON lacks, as None."""
    tensors, numbers = {}, {}
    for each in fields(state):
        value = getattr(state, each.name)
        if each.name in _NESTED:
            continue
        if isinstance(value, Tensor):
            tensors[each.name] = value
        else:
            numbers[each.name] = None if value == float("inf") else value
    for name, inversion in state.search.inversions.items():
        tensors |= _tensors(f"search/{name}", inversion)
    numbers["search"] = {
        "steps": {name: inversion.steps for name, inversion in state.search.inversions.items()},
        "rounds": state.search.rounds,
    }
    numbers["hypotheses"] = []
    for place, each in enumerate(state.hypotheses):
        tensors |= _tensors(f"hypothesis/{place}", each.kept_up) | {f"hypothesis/{place}/found": each.found}
        told = {"family": each.family, "label": each.label, "lead": each.lead, "largest": each.largest}
        numbers["hypotheses"].append({**told, "steps": each.kept_up.steps})
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, numbers


def unpack(tensors: dict[str, Tensor], numbers: dict[str, Any]) -> IMSState:
    """The state from what `pack` gave.

    Raises:
        TypeError, KeyError, ValueError: not a state.
    """
    own = {name: tensor for name, tensor in tensors.items() if "/" not in name}
    best, told = numbers["best_total"], numbers["search"]
    inversions = {name: _inversion(tensors, f"search/{name}", steps) for name, steps in told["steps"].items()}
    hypotheses = tuple(
        Hypothesis(
            **{name: value for name, value in each.items() if name != "steps"},
            found=tensors[f"hypothesis/{place}/found"],
            kept_up=_inversion(tensors, f"hypothesis/{place}", each["steps"]),
        )
        for place, each in enumerate(numbers["hypotheses"])
    )
    others = {
        "search": Search(inversions, told["rounds"]),
        "hypotheses": hypotheses,
        "phase": Phase(numbers["phase"]),
        "best_total": float("inf") if best is None else best,
    }
    return IMSState(**own, **{**numbers, **others})


def _tensors(name: str, inversion: Inversion) -> dict[str, Tensor]:
    return {f"{name}/{part}": getattr(inversion, part) for part in _OF_INVERSION}


def _inversion(tensors: dict[str, Tensor], name: str, steps: int) -> Inversion:
    return Inversion(**{part: tensors[f"{name}/{part}"] for part in _OF_INVERSION}, steps=steps)
