"""The inner problem of IMS: perturbations that the inverse view takes as the reference does."""

from dataclasses import dataclass

import torch
from torch import Tensor

from invmask.defenses.base import Subject
from invmask.defenses.ims.config import IMSConfig
from invmask.defenses.ims.losses import agree, disagree
from invmask.machine import autocast
from invmask.masks.attach import gated_logits
from invmask.masks.state import MaskLayout


@dataclass(frozen=True)
class Gates:
    """What each view multiplies the channels by: float32 [channels] each."""

    original: Tensor
    pruned: Tensor
    inverse: Tensor

    def detach(self) -> "Gates":
        """The same as constants."""
        return Gates(self.original.detach(), self.pruned.detach(), self.inverse.detach())


def solve_inner(
    subject: Subject, layout: MaskLayout, gates: Gates, images: Tensor, reference: Tensor, config: IMSConfig
) -> Tensor:
    """Minimise agree(inverse(x+d), ref(x+d)) + disagree(ref(x+d), ref(x)) over d, one d an image.

    AdamW from d = 0; after each step d is clipped to the norm bound. The perturbed images are not clipped.
    Ours: with amplification the second term is agree(ref(x+d), amplified(x)) + agree(pruned(x+d), ref(x)); with
    shared cycles there is one d for all images, of low frequencies alone.

    Args:
        gates: constant here.
        images: x, [N, C, H, W] in [0, 1].
        reference: the reference's softmax answers to x, [N, K].

    Returns:
        d, float32 like `images`, in [-norm_bound, norm_bound].
    """
    guided = config.amplification > 0
    amplified = amplified_answers(subject, layout, gates, images, config.amplification) if guided else reference
    cycles = config.shared_cycles
    perturbation = torch.zeros_like(images[:1] if cycles else images, requires_grad=True)
    optimizer = torch.optim.AdamW([perturbation], lr=config.inner_learning_rate)
    for _ in range(config.inner_steps):
        perturbed = images + (low_frequencies(perturbation, cycles) if cycles else perturbation)
        with autocast(subject.precision, subject.device.type):
            pairs = [(perturbed, gates.inverse), (perturbed, gates.original)]
            pairs += [(perturbed, gates.pruned)] if guided else []
            answers = [logits.softmax(1) for logits in gated_logits(subject.model, layout, pairs)]
        inverse, original = answers[:2]
        if guided:
            loss = agree(inverse, original) + agree(original, amplified) + agree(answers[2], reference)
        else:
            loss = agree(inverse, original) + disagree(original, reference)
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


@torch.no_grad()
def amplified_answers(
    subject: Subject, layout: MaskLayout, gates: Gates, images: Tensor, amplification: float
) -> Tensor:
    """What the network answers while the channels that the pruned view cuts are turned up instead.

    Gates 1 + kappa (1 - m): a channel cut altogether is 1 + kappa times as loud.

    Returns:
        Softmax answers, [N, K]; constant for the inner problem.
    """
    louder = 1 + amplification * (1 - gates.pruned)
    with autocast(subject.precision, subject.device.type):
        return gated_logits(subject.model, layout, [(images, louder)])[0].softmax(1)
