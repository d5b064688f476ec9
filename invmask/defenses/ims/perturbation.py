"""The inner problem of IMS: perturbations that the inverse view takes as the reference does."""

from dataclasses import dataclass

import torch
from torch import Tensor

from invmask.defenses.base import Subject
from invmask.defenses.ims.adamw import adamw_step
from invmask.defenses.ims.config import IMSConfig
from invmask.defenses.ims.losses import agree, disagree
from invmask.machine import autocast
from invmask.masks.constant import ConstantView


@dataclass(frozen=True)
class Gates:
    """What two of the views multiply the channels by: float32 [channels] each; the original by nothing."""

    pruned: Tensor
    inverse: Tensor


def solve_inner(subject: Subject, gates: Gates, images: Tensor, reference: Tensor, config: IMSConfig) -> Tensor:
    """Minimise agree(inverse(x+d), ref(x+d)) + disagree(ref(x+d), ref(x)) over d, one d an image.

    AdamW from d = 0; after each step d is clipped to the norm bound. The perturbed images are not clipped.

    Args:
        gates: constant here.
        images: x, [N, C, H, W] in [0, 1].
        reference: the reference's softmax answers to x, [N, K].

    Returns:
        d, float32 like `images`, in [-norm_bound, norm_bound].
    """
    inverse_view = ConstantView(subject.model, subject.layout, gates.inverse)
    perturbation = torch.zeros_like(images, requires_grad=True)
    moments = [(torch.zeros_like(images), torch.zeros_like(images))]
    for step in range(config.inner_steps):
        perturbed = images + perturbation
        with autocast(subject.precision, subject.device.type):
            inverse, original = inverse_view(perturbed).softmax(1), subject.reference(perturbed).softmax(1)
        loss = agree(inverse, original) + disagree(original, reference)
        gradients = torch.autograd.grad(loss, [perturbation])
        adamw_step([perturbation], list(gradients), moments, step, config.inner_learning_rate)
        with torch.no_grad():
            perturbation.clamp_(-config.norm_bound, config.norm_bound)
    return perturbation.detach()
