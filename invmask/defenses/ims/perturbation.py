"""The inner problem of IMS: perturbations that the inverse view takes as the reference does."""

from dataclasses import dataclass

import torch
from torch import Tensor

from invmask.defenses.base import Subject
from invmask.defenses.ims.config import IMSConfig
from invmask.defenses.ims.losses import agree, disagree
from invmask.machine import autocast
from invmask.masks.constant import ConstantView


@dataclass(frozen=True)
class Gates:
    """What two of the views multiply the channels by: float32 [channels] each; the original by nothing."""

    pruned: Tensor
    inverse: Tensor

    def detach(self) -> "Gates":
        """The same as constants."""
        return Gates(self.pruned.detach(), self.inverse.detach())


def solve_inner(subject: Subject, gates: Gates, images: Tensor, reference: Tensor, config: IMSConfig) -> Tensor:
    """Minimise agree(inverse(x+d), ref(x+d)) + disagree(ref(x+d), ref(x)) over d, one d an image.

    AdamW from d = 0; after each step d is clipped to the norm bound. The perturbed images are not clipped.
    Ours: with amplification the second term is agree(ref(x+d), amplified(x)) + agree(pruned(x+d), ref(x)); with
    shared cycles there is one d for all images, of low frequencies alone, and each step looks at one of
    `inner_parts` parts of the images, the parts taking turns.

    Args:
        gates: constant here.
        images: x, [N, C, H, W] in [0, 1].
        reference: the reference's softmax answers to x, [N, K].

    Returns:
        d, float32 like `images`, in [-norm_bound, norm_bound].
    """
    inverse_view = ConstantView(subject.model, subject.layout, gates.inverse)
    guide = _Guide.of(subject, gates, images, config.amplification) if config.amplification > 0 else None
    cycles = config.shared_cycles
    perturbation = torch.zeros_like(images[:1] if cycles else images, requires_grad=True)
    optimizer = torch.optim.AdamW([perturbation], lr=config.inner_learning_rate)
    parts = min(config.inner_parts, len(images)) if cycles else 1
    for step in range(config.inner_steps):
        part = slice(step % parts, None, parts)
        perturbed = images[part] + (low_frequencies(perturbation, cycles) if cycles else perturbation)
        with autocast(subject.precision, subject.device.type):
            inverse, original = inverse_view(perturbed).softmax(1), subject.reference(perturbed).softmax(1)
            pruned = guide.pruned_view(perturbed).softmax(1) if guide is not None else None
        if guide is not None and pruned is not None:
            loss = agree(inverse, original) + agree(original, guide.amplified[part]) + agree(pruned, reference[part])
        else:
            loss = agree(inverse, original) + disagree(original, reference[part])
        (perturbation.grad,) = torch.autograd.grad(loss, [perturbation])
        optimizer.step()
        with torch.no_grad():
            perturbation.clamp_(-config.norm_bound, config.norm_bound)
    found = perturbation.detach()
    if not cycles:
        return found
    return low_frequencies(found, cycles).clamp(-config.norm_bound, config.norm_bound).expand_as(images)


def low_frequencies(images: Tensor, cycles: float) -> Tensor:
    """What is left of `images` [N, C, H, W] without waves of more than `cycles` cycles across the picture."""
    height, width = images.shape[-2:]
    down = torch.fft.fftfreq(height, 1 / height, dtype=images.dtype, device=images.device)
    across = torch.fft.rfftfreq(width, 1 / width, dtype=images.dtype, device=images.device)
    kept = torch.hypot(down[:, None], across) <= cycles
    return torch.fft.irfft2(torch.fft.rfft2(images) * kept, s=(height, width))


@dataclass(frozen=True)
class _Guide:
    """Where the inner problem is led with amplification.

    Attributes:
        amplified: what the network answers to the clean images while the channels that the pruned view cuts are
            turned up instead, with gates 1 + kappa (1 - m): a channel cut altogether is 1 + kappa times as loud.
            Softmax answers, [N, K].
    """

    pruned_view: ConstantView
    amplified: Tensor

    @classmethod
    def of(cls, subject: Subject, gates: Gates, images: Tensor, amplification: float) -> "_Guide":
        pruned_view = ConstantView(subject.model, subject.layout, gates.pruned)
        return cls(pruned_view, amplified_answers(subject, gates.pruned, images, amplification))


def amplified_answers(subject: Subject, gates: Tensor, images: Tensor, amplification: float) -> Tensor:
    """Softmax answers [N, K] to `images` with the channels that `gates` [channels] cut turned up: 1 + kappa (1 - m)."""
    louder = ConstantView(subject.model, subject.layout, 1 + amplification * (1 - gates))
    return subject.answers(louder, images)
