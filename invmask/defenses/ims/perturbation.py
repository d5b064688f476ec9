"""The inner problem of IMS: perturbations that the inverse view takes as the reference does."""

from dataclasses import dataclass

import torch
from torch import Tensor

from invmask.defenses.base import Subject
from invmask.defenses.ims.config import IMSConfig
from invmask.defenses.ims.losses import agree, certain, disagree
from invmask.machine import autocast
from invmask.masks.constant import ConstantView

STRENGTHS = 8
"""Steps of strength between none and the whole perturbation that `weakened` tells apart."""


@dataclass(frozen=True)
class Gates:
    """What two of the views multiply the channels by: float32 [channels] each; the original by nothing."""

    pruned: Tensor
    inverse: Tensor

    def detach(self) -> "Gates":
        """The same as constants."""
        return Gates(self.pruned.detach(), self.inverse.detach())


def solve_inner(
    subject: Subject, gates: Gates, images: Tensor, reference: Tensor, config: IMSConfig, label: int | None = None
) -> Tensor:
    """Minimise agree(inverse(x+d), ref(x+d)) + disagree(ref(x+d), ref(x)) over d, one d an image.

    AdamW from d = 0; after each step d is clipped to the norm bound. The perturbed images are not clipped.
    Ours: with amplification the second term is agree(ref(x+d), wanted) + agree(pruned(x+d), ref(x)), with what the
    channels cut say when they are turned up as wanted, or where one is given the label; with
    shared cycles there is one d for all images, of low frequencies alone, and each step looks at one of
    `inner_parts` parts of the images, the parts taking turns; and with flips to keep, d is made weaker (`weakened`).

    Args:
        gates: constant here.
        images: x, [N, C, H, W] in [0, 1].
        reference: the reference's softmax answers to x, [N, K].
        label: one that is held to, see `IMSConfig.hold_lead`.

    Returns:
        d, float32 like `images`, in [-norm_bound, norm_bound].
    """
    inverse_view = ConstantView(subject.model, subject.layout, gates.inverse)
    guide = None
    if config.amplification > 0:
        guide = _Guide.of(subject, gates, images, reference, config.amplification, label)
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
            loss = agree(inverse, original) + agree(original, guide.wanted[part]) + agree(pruned, reference[part])
        else:
            loss = agree(inverse, original) + disagree(original, reference[part])
        (perturbation.grad,) = torch.autograd.grad(loss, [perturbation])
        optimizer.step()
        with torch.no_grad():
            perturbation.clamp_(-config.norm_bound, config.norm_bound)
    found = perturbation.detach()
    if cycles:
        found = low_frequencies(found, cycles).clamp(-config.norm_bound, config.norm_bound)
    if config.flips_kept:
        found = weakened(subject, images, reference, found, config.flips_kept)
    return found.expand_as(images)


def weakened(subject: Subject, images: Tensor, reference: Tensor, perturbation: Tensor, share: float) -> Tensor:
    """`perturbation` times an eighth, as small as halving finds it, that changes nearly as many answers as it whole.

    The steps that find d go on when the reference has long changed its answers, and what d is beyond that need not be
    like a trigger: the inverse view can follow it without the backdoor's channels. One strength is for all images.

    Args:
        images: x, [N, C, H, W].
        reference: the reference's softmax answers to x, [N, K].
        perturbation: d, like `images`, or one for all of them, [1, C, H, W].
        share: of the number of answers that x + d changes, so many have to be changed; in [0, 1].

    Returns:
        Like `perturbation`; itself where it changes no answer.
    """
    before = reference.argmax(1)

    def flips(strength: float) -> int:
        return int((subject.answers(subject.reference, images + strength * perturbation).argmax(1) != before).sum())

    whole = flips(1)
    if not whole:
        return perturbation
    too_weak, enough = 0, STRENGTHS
    while enough - too_weak > 1:
        middle = (too_weak + enough) // 2
        if flips(middle / STRENGTHS) >= share * whole:
            enough = middle
        else:
            too_weak = middle
    return perturbation * (enough / STRENGTHS)


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
        wanted: softmax answers that the reference shall give to the perturbed images, [N, K]: those of the network
            to the clean images while the channels that the pruned view cuts are turned up instead, with gates
            1 + kappa (1 - m) (a channel cut altogether is 1 + kappa times as loud), or all of them a label's.
    """

    pruned_view: ConstantView
    wanted: Tensor

    @classmethod
    def of(
        cls, subject: Subject, gates: Gates, images: Tensor, reference: Tensor, amplification: float, label: int | None
    ) -> "_Guide":
        pruned_view = ConstantView(subject.model, subject.layout, gates.pruned)
        if label is not None:
            return cls(pruned_view, certain(label, reference))
        return cls(pruned_view, amplified_answers(subject, gates.pruned, images, amplification))


def amplified_answers(subject: Subject, gates: Tensor, images: Tensor, amplification: float) -> Tensor:
    """Softmax answers [N, K] to `images` with the channels that `gates` [channels] cut turned up: 1 + kappa (1 - m)."""
    louder = ConstantView(subject.model, subject.layout, 1 + amplification * (1 - gates))
    return subject.answers(louder, images)
