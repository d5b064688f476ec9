"""What a defence has made of a network by now: all that measures, shows or exports asks this, whatever the defence."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from invmask.masks.constant import ConstantView
from invmask.masks.state import GATED, MaskLayout, Masks, View

Network = Callable[[Tensor], Tensor]
"""Logits [N, K], float32, of images [N, C, H, W] in [0, 1]."""


class Repair(Protocol):
    """A repair of one network.

    Attributes:
        views: what there is to see of it; the original first, then the one to take away.
    """

    @property
    def views(self) -> tuple[View, ...]: ...

    def parts(self, model: nn.Module, view: View) -> tuple[nn.Module, Tensor]:
        """The network and the gates [channels] that together make one view of `model`, which is left as it is."""
        ...


@dataclass(frozen=True)
class Gates:
    """Masks on channels: every weight stays as it was."""

    masks: Masks

    @property
    def views(self) -> tuple[View, ...]:
        return GATED

    def parts(self, model: nn.Module, view: View) -> tuple[nn.Module, Tensor]:
        return model, self.masks.gate(view)


@dataclass(frozen=True)
class Weights:
    """Other weights.

    Attributes:
        tensors: those parameters and buffers that are others now, by their names in the network; none of them for the
            original network.
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
    """Whether two repairs of one network are the same to the bit, so that their views answer alike."""
    match before, after:
        case Gates(one), Gates(other):
            same = torch.equal(one.mask, other.mask) and torch.equal(one.selection, other.selection)
            return same and one.steepness == other.steepness
        case Weights(one), Weights(other):
            return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    return False


def network_of(repair: Repair, model: nn.Module, view: View) -> Network:
    """One view of `model`, made ready for many passes; `model` is left as it is."""
    network, gates = repair.parts(model, view)
    return ConstantView(network, MaskLayout.of(network), gates)
