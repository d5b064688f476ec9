"""Fold a view's gates into the weights, so that the network needs no mask beside it any more."""

import copy
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from invmask.masks.attach import attached
from invmask.masks.state import MaskLayout


@dataclass(frozen=True)
class Folded:
    """A network that is a view by itself, as far as its weights can hold the gates.

    Attributes:
        model: a copy with weights of its own, in eval mode if the original was; the module names are unchanged.
        layout: the masked layers.
        gates: by layer name, the gates that could not be folded, [channels] in [0, 1]: `model` still has to be run
            with them attached. Empty where everything was folded.
    """

    model: nn.Module
    layout: MaskLayout
    gates: Mapping[str, Tensor]

    def remaining(self) -> Tensor | None:
        """The gates still to attach to `model`, [channels], with ones where they are folded; None if none is left."""
        if not self.gates:
            return None
        some = next(iter(self.gates.values()))
        rest = torch.ones(self.layout.channels, dtype=some.dtype, device=some.device)
        for layer in self.layout.layers:
            if layer.name in self.gates:
                rest[layer.slice] = self.gates[layer.name]
        return rest

    def run(self, images: Tensor) -> Tensor:
        """The logits [N, K] of images [N, C, H, W], with what could not be folded attached."""
        rest = self.remaining()
        if rest is None:
            return self.model(images)
        with attached(self.model, self.layout, rest):
            return self.model(images)


@torch.no_grad()
def fold(model: nn.Module, layout: MaskLayout, gates: Tensor) -> Folded:
    """A copy of `model` whose `Conv2d` weights hold the gates.

    A gate multiplies an output channel of a convolution, and a convolution is linear in its weights: its filters and
    its bias times the gate give the gated output, whatever comes after it (BatchNorm, an addition, an activation,
    nothing). So this is exact up to rounding for every `Conv2d`, with or without bias, groups or stride, and for one
    that the network calls several times.

    What cannot be folded is left to be attached (`Folded.gates`): a transformer's encoder block, whose output is a sum
    with its own input; a convolution whose weight or bias is a Parameter that another module has as well and that
    would need other gates there; and one whose weight is computed (`torch.nn.utils.parametrizations`) rather than a
    Parameter of its own. A Parameter that some `forward` also uses by hand, outside the module that owns it, cannot
    be seen from here.

    Args:
        model: left as it is.
        gates: [channels] of one view over `layout`.
    """
    folded = copy.deepcopy(model)
    modules = dict(folded.named_modules())
    gate_of = {layer.name: gates[layer.slice] for layer in layout.layers}
    owners = _owners(folded)
    left = _left(modules, owners, gate_of)
    done: set[int] = set()
    for name, gate in gate_of.items():
        for parameter in () if name in left else modules[name].parameters(recurse=False):
            if id(parameter) not in done:
                done.add(id(parameter))
                parameter.mul_(gate.to(parameter).reshape(-1, *[1] * (parameter.ndim - 1)))
    return Folded(folded, layout, {name: gate_of[name] for name in gate_of if name in left})


def _owners(model: nn.Module) -> Mapping[int, list[str]]:
    """By the parameter's identity, the names of all modules that have it."""
    owners: dict[int, list[str]] = defaultdict(list)
    for name, module in model.named_modules():
        for parameter in module.parameters(recurse=False):
            owners[id(parameter)].append(name)
    return owners


def _left(modules: Mapping[str, nn.Module], owners: Mapping[int, list[str]], gate_of: Mapping[str, Tensor]) -> set[str]:
    """The layers that cannot be folded."""
    sharing: dict[str, set[str]] = {}
    for name in gate_of:
        own = dict(modules[name].named_parameters(recurse=False))
        sharing[name] = {owner for parameter in own.values() for owner in owners[id(parameter)]}
        if "weight" not in own:
            sharing[name].add("")
    left: set[str] = set()
    # A layer that stays behind would run on folded weights, if one that it shares them with did not stay too.
    while more := {
        name
        for name, others in sharing.items()
        if name not in left
        and any(
            other in left or other not in gate_of or not torch.equal(gate_of[other], gate_of[name]) for other in others
        )
    }:
        left |= more
    return left
