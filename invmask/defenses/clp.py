"""CLP, channel Lipschitzness based pruning: cut the channels that could amplify a small change of their input most.

R. Zheng, R. Tang, J. Li, L. Liu, Data-free Backdoor Removal based on Channel Lipschitzness, ECCV 2022, arXiv
2208.03111. A convolution's channel and the BatchNorm behind it are one linear map. The paper bounds its Lipschitz
constant by the largest singular value of the channel's filter, reshaped to [inputs, height x width], times |gamma| /
sqrt(var + eps) of the BatchNorm. The bound is computed from the weights alone. Clean images serve only to choose the
threshold, in presets that do.
"""

from dataclasses import replace

import torch
from torch import Tensor

from invmask.defenses.base import Subject
from invmask.defenses.cuts import units_of
from invmask.defenses.outliers import CAPABILITIES, NARROW, STAGES, TERMS, OutlierConfig, Outliers
from invmask.defenses.registry import register


@register(
    name="clp",
    title="CLP",
    family="pruning",
    paper="R. Zheng et al., Data-free Backdoor Removal based on Channel Lipschitzness, ECCV 2022, arXiv 2208.03111",
    explanation="Cuts the channels whose weights could amplify a small change of their input most.",
    config=OutlierConfig,
    # Chosen on the embedded BadNets and BPP victims with their test images in view.
    presets={"default": replace(NARROW, accuracy_kept=0.9), "paper": OutlierConfig()},
    preset_words={
        "default": "a threshold chosen on clean images, for networks narrower than the authors'.",
        "paper": "the published threshold, without a look at any image.",
    },
    stages=STAGES,
    terms=TERMS,
    capabilities=CAPABILITIES,
)
class CLP(Outliers):
    """The defence as a stepper; see `defenses.base.Defense`."""

    def scores(self, subject: Subject) -> Tensor:
        return lipschitz_bounds(subject)


@torch.no_grad()
def lipschitz_bounds(subject: Subject) -> Tensor:
    """The upper bound of each channel's Lipschitz constant, [channels]."""
    bounds = []
    for unit in units_of(subject):
        filters = subject.model.get_parameter(f"{unit.layer.name}.weight")
        # [outputs, inputs, height, width] -> for each output a matrix [inputs, height x width].
        largest = torch.linalg.matrix_norm(filters.flatten(2), ord=2)
        if unit.norm is not None and unit.norm.running_var is not None:
            largest = largest * (unit.norm.weight / (unit.norm.running_var + unit.norm.eps).sqrt()).abs()
        bounds.append(largest)
    return torch.cat(bounds)
