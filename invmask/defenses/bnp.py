"""BNP, BatchNorm pruning: cut the channels whose activations on clean images are unlike those of the training.

R. Zheng, R. Tang, J. Li, L. Liu, Pre-activation Distributions Expose Backdoor Neurons, NeurIPS 2022. A BatchNorm keeps
the mean and variance that a channel had in training, poisoned images included. Clean images do not excite a channel
that answers the trigger, so its mean and variance on them are others. Of each channel it computes the divergence

    KL(N(mean, var) || N(running mean, running var))
      = log(running std / std) + (var + (mean - running mean)^2) / (2 running var) - 1/2,

with mean and var over all clean images and positions.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from invmask.defenses.base import PASS_SIZE, Subject
from invmask.defenses.cuts import units_of
from invmask.defenses.outliers import CAPABILITIES, NARROW, STAGES, TERMS, OutlierConfig, Outliers
from invmask.defenses.registry import register
from invmask.errors import UserError


@register(
    name="bnp",
    title="BNP",
    family="pruning",
    paper="R. Zheng et al., Pre-activation Distributions Expose Backdoor Neurons, NeurIPS 2022",
    explanation="Cuts the channels whose values on clean images are distributed unlike those of the training.",
    config=OutlierConfig,
    presets={"default": NARROW, "paper": OutlierConfig()},
    preset_words={
        "default": "a threshold chosen on clean images, for networks narrower than the authors'.",
        "paper": "the published threshold.",
    },
    stages=STAGES,
    terms=TERMS,
    capabilities=CAPABILITIES,
)
class BNP(Outliers):
    """The defence as a stepper; see `defenses.base.Defense`."""

    def scores(self, subject: Subject) -> Tensor:
        return divergences(subject)


def divergences(subject: Subject) -> Tensor:
    """Of each channel the divergence between its values on the clean images and those in training, in nats, [channels].

    0 for channels without a BatchNorm.

    Raises:
        UserError: the network has no BatchNorm behind a convolution.
    """
    units = units_of(subject)
    clean = statistics(subject, {unit.norm for unit in units if unit.norm is not None})
    if not clean:
        raise UserError("BNP compares BatchNorms, and this network has none that it can use. Choose another defence.")
    found = []
    for unit in units:
        norm = unit.norm
        if norm is None or norm.running_mean is None or norm.running_var is None:
            found.append(torch.zeros(unit.layer.channels, dtype=subject.images.dtype, device=subject.device))
            continue
        mean, variance = clean[norm]
        # With eps, as in the BatchNorm itself, so that a channel that is constant has no infinite divergence.
        divergence = normal_divergence(
            mean, variance + norm.eps, norm.running_mean.double(), norm.running_var.double() + norm.eps
        )
        found.append(divergence.to(subject.images.dtype))
    return torch.cat(found)


def normal_divergence(mean: Tensor, variance: Tensor, other_mean: Tensor, other_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(other_mean, other_variance)), elementwise, in nats."""
    ratio = (variance + (mean - other_mean) ** 2) / other_variance
    return (ratio - 1 - (variance / other_variance).log()) / 2


@torch.no_grad()
def statistics(subject: Subject, norms: set[nn.BatchNorm2d]) -> dict[nn.BatchNorm2d, tuple[Tensor, Tensor]]:
    """Mean and variance, float64 [channels], of each BatchNorm's input over all clean images and positions."""
    sums: dict[nn.BatchNorm2d, tuple[Tensor, Tensor, int]] = {}

    def watch(norm: nn.BatchNorm2d) -> RemovableHandle:
        def add(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
            values = inputs[0].double()
            total, squares, count = sums.get(norm, (0, 0, 0))
            added = (values.sum((0, 2, 3)), (values**2).sum((0, 2, 3)), values[:, 0].numel())
            sums[norm] = (total + added[0], squares + added[1], count + added[2])

        return norm.register_forward_pre_hook(add)

    hooks = [watch(norm) for norm in norms]
    try:
        for images in subject.images.split(PASS_SIZE):
            subject.model(images)
    finally:
        for hook in hooks:
            hook.remove()
    return {
        norm: (total / count, (squares / count - (total / count) ** 2).clamp(min=0))
        for norm, (total, squares, count) in sums.items()
    }
