"""Fold a view's gates into the weights, so that the network needs no separate mask."""

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
    """A network whose weights contain a view's gates as far as possible.

    Attributes:
        model: a copy with its own weights, in eval mode if the original was; the module names are unchanged.
        layout: the masked layers.
        gates: the gates that could not be folded, by layer name, [channels of the layer] in [0, 1]. `model` has to be
            run with these attached. Empty if all gates were folded.
    """

    model: nn.Module
    layout: MaskLayout
    gates: Mapping[str, Tensor]

    def remaining(self) -> Tensor | None:
        """The gates still to attach to `model`, [channels], ones for folded layers; None if all are folded."""
        if not self.gates:
            return None
        some = next(iter(self.gates.values()))
        rest = torch.ones(self.layout.channels, dtype=some.dtype, device=some.device)
        for layer in self.layout.layers:
            if layer.name in self.gates:
                rest[layer.slice] = self.gates[layer.name]
        return rest

    def run(self, images: Tensor) -> Tensor:
        """The logits [N, K] of images [N, C, H, W] in [0, 1], with the remaining gates attached."""
        rest = self.remaining()
        if rest is None:
            return self.model(images)
        with attached(self.model, self.layout, rest):
            return self.model(images)


@torch.no_grad()
def fold(model: nn.Module, layout: MaskLayout, gates: Tensor) -> Folded:
    """A copy of `model` whose `Conv2d` weights hold the gates.

    A gate multiplies an output channel of a convolution, and a convolution is linear in its weights. So filters and
    bias times the gate give the gated output, whatever follows (BatchNorm, an addition, an activation or nothing). This
    is exact up to rounding for every `Conv2d`, with or without bias, groups or stride, and for one that the network
    calls several times.

    Three kinds of layers cannot be folded; their gates remain in `Folded.gates`. (1) A transformer's encoder block,
    whose output is a sum with its own input. (2) A convolution that shares its weight or bias Parameter with another
    module that would need other gates. (3) A convolution whose weight is computed (`torch.nn.utils.parametrizations`)
    and not a Parameter of its own. One case cannot be detected: a Parameter that some `forward` uses directly, outside
    the module that owns it.

    Args:
        model: left unchanged.
        gates: [channels] in [0, 1], of one view over `layout`.
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
    """Names of all modules that own each parameter, by the parameter's `id`."""
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
    # If a layer is not folded, layers that share its parameters must not be folded either: they would change its
    # weights.
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
