"""The repair of a network by a defence: the common interface for measuring, showing and exporting it."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from invmask.masks.constant import ConstantView
from invmask.masks.state import GATED, MaskLayout, Masks, View

Network = Callable[[Tensor], Tensor]
"""A function from images [N, C, H, W] in [0, 1] to logits [N, K], float32."""


class Repair(Protocol):
    """A repair of one network.

    Attributes:
        views: its views; the original first, then the one without the backdoor.
    """

    @property
    def views(self) -> tuple[View, ...]: ...

    def parts(self, model: nn.Module, view: View) -> tuple[nn.Module, Tensor]:
        """The network and the gates [channels] in [0, 1] that make one view of `model`; `model` is left unchanged."""
        ...


@dataclass(frozen=True)
class Gates:
    """A repair by masks on channels; the weights are unchanged."""

    masks: Masks

    @property
    def views(self) -> tuple[View, ...]:
        return GATED

    def parts(self, model: nn.Module, view: View) -> tuple[nn.Module, Tensor]:
        return model, self.masks.gate(view)


@dataclass(frozen=True)
class Weights:
    """A repair by changed weights.

    Attributes:
        tensors: the changed parameters and buffers by their names in the network; empty for the original network.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)

    @property
    def views(self) -> tuple[View, ...]:
        return (View.ORIGINAL, View.REPAIRED)

    def parts(self, model: nn.Module, view: View) -> tuple[nn.Module, Tensor]:
        some = next(model.parameters())
        ones = torch.ones(MaskLayout.of(model).channels, dtype=some.dtype, device=some.device)
        return (model if view is View.ORIGINAL else self.onto(model)), ones

    def onto(self, model: nn.Module) -> nn.Module:
        """A copy of `model` with these weights, in eval mode and frozen."""
        repaired = copy.deepcopy(model).requires_grad_(False).eval()
        repaired.load_state_dict({**repaired.state_dict(), **self.tensors})
        return repaired


def unchanged(before: Repair, after: Repair) -> bool:
    """Whether two repairs of one network are identical bit by bit, so that their views give the same outputs."""
    match before, after:
        case Gates(one), Gates(other):
            same = torch.equal(one.mask, other.mask) and torch.equal(one.selection, other.selection)
            return same and one.steepness == other.steepness
        case Weights(one), Weights(other):
            return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    return False


def network_of(repair: Repair, model: nn.Module, view: View) -> Network:
    """One view of `model`, prepared for many passes; `model` is left unchanged."""
    network, gates = repair.parts(model, view)
    return ConstantView(network, MaskLayout.of(network), gates)
