"""Cutting channels: as masks, in one pass, and in the weights."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from invmask.defenses.base import Subject
from invmask.errors import UserError
from invmask.machine import autocast
from invmask.masks.attach import attached
from invmask.masks.state import MaskedLayer, Masks

STEEPNESS = 40.0
"""k. With it q reaches 0 and 1 to within 2e-9, so that a mask value can express every gate in [0, 1]."""


def as_masks(gates: Tensor) -> Masks:
    """Masks whose pruned view has these gates [channels] in [0, 1], and whose inverse view has 1 minus them."""
    return Masks((0.5 + torch.logit(gates, eps=1e-9) / STEEPNESS).clamp(0, 1), torch.zeros_like(gates), STEEPNESS)


def gated(subject: Subject, images: Tensor, gates: Tensor, changed: dict[str, Tensor] | None = None) -> Tensor:
    """Logits [N, K], at least float32, of the network with gates [channels] and some tensors changed.

    Differentiable with respect to the gates and to `changed`, parameters by name.
    """
    with attached(subject.model, subject.layout, gates), autocast(subject.precision, subject.device.type):
        logits = functional_call(subject.model, changed or {}, (images,))
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


@dataclass(frozen=True)
class Unit:
    """A convolution with the BatchNorm behind it, whose channels are cut together.

    Attributes:
        layer: the convolution, a masked layer.
        norm_name, norm: its BatchNorm; None if it has none of its own width with weights and statistics.
    """

    layer: MaskedLayer
    norm_name: str | None = None
    norm: nn.BatchNorm2d | None = None


def units_of(subject: Subject) -> list[Unit]:
    """Each masked convolution with its BatchNorm: the next one in module order, if it has as many channels.

    In a pre-activation network, that is the BatchNorm at the start of the next block, which gets the convolution's
    output added to the shortcut's.

    Raises:
        UserError: the masked layers are not convolutions.
    """
    layers = {layer.name: layer for layer in subject.layout.layers}
    found: dict[str, Unit] = {}
    waiting: list[tuple[str, int]] = []
    for name, module in subject.model.named_modules():
        if isinstance(module, nn.Conv2d) and name in layers:
            found[name] = Unit(layers[name])
            waiting.append((name, module.out_channels))
        elif isinstance(module, nn.BatchNorm2d):
            if module.affine and module.running_var is not None:
                fitting = [conv for conv, channels in waiting if channels == module.num_features]
                found |= {conv: Unit(layers[conv], name, module) for conv in fitting}
            waiting = []
    if not found:
        raise UserError("This defence needs convolutions, and this network has encoder blocks. Choose another defence.")
    return list(found.values())


def factors(subject: Subject, gates: Tensor) -> tuple[dict[str, Tensor], int]:
    """What to multiply tensors by, to cut channels: 0 for weight and bias of their BatchNorm, or of their convolution.

    A convolution's gate leaves what its BatchNorm makes of 0, which is not 0. This leaves nothing.

    Args:
        gates: [channels], 0 for those that are cut and 1 for all others.

    Returns:
        A factor for each tensor that changes, by name, in a shape that broadcasts over it; and the number of channels
        cut. Two convolutions that are added before one BatchNorm count once.
    """
    kept = _by_module(subject, gates)
    changing = {name: gate for name, gate in kept.items() if bool((gate == 0).any())}
    return _over_parameters(subject, changing), sum(int((gate == 0).sum()) for gate in kept.values())


def cut_weights(subject: Subject, gates: Tensor) -> tuple[dict[str, Tensor], int]:
    """The victim's tensors that change when channels are cut, by name, and the number of channels; see `factors`."""
    by, cut = factors(subject, gates)
    return {name: subject.model.get_parameter(name).detach() * factor for name, factor in by.items()}, cut


def masked_weights(subject: Subject, weights: dict[str, Tensor], mask: Tensor) -> dict[str, Tensor]:
    """The tensors of `weights` that a mask [channels] in [0, 1] multiplies, multiplied; differentiable in the mask.

    As in `factors`, these are weight and bias of each channel's BatchNorm, or of its convolution without one.
    """
    by = _over_parameters(subject, _by_module(subject, mask))
    return {name: weights[name] * factor for name, factor in by.items()}


def _by_module(subject: Subject, gates: Tensor) -> dict[str, Tensor]:
    """The gates of each BatchNorm, or of a convolution without one, by the module's name."""
    found: dict[str, Tensor] = {}
    for unit in units_of(subject):
        name, own = unit.norm_name or unit.layer.name, gates[unit.layer.slice]
        found[name] = found[name] * own if name in found else own
    return found


def _over_parameters(subject: Subject, gates: dict[str, Tensor]) -> dict[str, Tensor]:
    """Each module's gates in a shape that broadcasts over each of its parameters, by the parameter's name."""
    found = {}
    for name, gate in gates.items():
        for key, parameter in subject.model.get_submodule(name).named_parameters(recurse=False):
            found[f"{name}.{key}"] = gate.to(parameter).reshape(-1, *[1] * (parameter.ndim - 1))
    return found
