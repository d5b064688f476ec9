"""The outer problem of IMS: what the pruned and the inverse view shall answer, and the gradient by their gates."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from invmask.defenses.base import Subject, Synthesis
from invmask.defenses.ims.losses import agree, disagree
from invmask.defenses.ims.perturbation import Gates
from invmask.defenses.ims.search import Triggered
from invmask.machine import autocast
from invmask.masks.attach import gated_logits


@dataclass(frozen=True)
class Part:
    """The outer terms on one set of images.

    Attributes:
        losses: by name, without a gradient.
        pruned, inverse: the gradient of their weighted sum by the gates of each view, [channels].
        answers: softmax answers of the pruned and the inverse view, [N, K] each, without a gradient.
    """

    losses: dict[str, Tensor]
    pruned: Tensor
    inverse: Tensor
    answers: tuple[Tensor, Tensor]


def _part(
    subject: Subject,
    gates: Gates,
    images: Tensor,
    weights: dict[str, float],
    losses_of: Callable[[Tensor, Tensor], dict[str, Tensor]],
    turned_up: Tensor | None = None,
) -> Part:
    """Both views of `images` in one pass, and back to their gates.

    What a gradient needs of the pass is let go with it: clean and perturbed images are not held together.
    """
    of_views = (gates.pruned, gates.inverse)
    pairs = [(images, gate if turned_up is None else gate * turned_up) for gate in of_views]
    with autocast(subject.precision, subject.device.type):
        pruned, inverse = (of.softmax(1) for of in gated_logits(subject.model, subject.layout, pairs))
    losses = losses_of(pruned, inverse)
    by_pruned, by_inverse = torch.autograd.grad(weighted(losses, weights), [gates.pruned, gates.inverse])
    kept = {name: loss.detach() for name, loss in losses.items()}
    return Part(kept, by_pruned, by_inverse, (pruned.detach(), inverse.detach()))


def on_clean(
    subject: Subject,
    gates: Gates,
    images: Tensor,
    reference: Tensor,
    weights: dict[str, float],
    floor: float,
) -> Part:
    """agree(pruned(x), ref(x)) and disagree(inverse(x), ref(x)); `floor` is that of agree."""
    return _part(
        subject,
        gates,
        images,
        weights,
        lambda pruned, inverse: {
            "pruned clean": agree(pruned, reference, floor),
            "inverse clean": disagree(inverse, reference),
        },
    )


def on_perturbed(
    subject: Subject,
    gates: Gates,
    images: Tensor,
    reference: Tensor,
    perturbed: Triggered,
    weights: dict[str, float],
    floor: float,
) -> tuple[Part, Synthesis]:
    """agree(pruned(x+d), ref(x)), agree(inverse(x+d), ref(x+d)) and disagree(inverse(x+d), ref(x)).

    With them comes how the inner problem did.
    """
    reference_perturbed = _reference(subject, perturbed)
    part = _part(
        subject,
        gates,
        perturbed.images,
        weights,
        lambda pruned, inverse: {
            "pruned perturbed": agree(pruned, reference, floor),
            "inverse agrees perturbed": agree(inverse, reference_perturbed, floor),
            "inverse perturbed": disagree(inverse, reference),
        },
        perturbed.gates,
    )
    return part, _report(reference, reference_perturbed, *part.answers, perturbed.images - images)


@torch.no_grad()
def _reference(subject: Subject, perturbed: Triggered) -> Tensor:
    """The original's softmax answers [N, K] to what is triggered."""
    if perturbed.gates is None:
        return subject.answers(subject.reference, perturbed.images)
    with autocast(subject.precision, subject.device.type):
        return gated_logits(subject.model, subject.layout, [(perturbed.images, perturbed.gates)])[0].softmax(1)


def weighted(losses: dict[str, Tensor], weights: dict[str, float]) -> Tensor:
    """The weighted sum; what `weights` does not name weighs 1."""
    return torch.stack([weights.get(name, 1.0) * loss for name, loss in losses.items()]).sum()


def _report(
    reference: Tensor, reference_perturbed: Tensor, pruned: Tensor, inverse: Tensor, perturbation: Tensor
) -> Synthesis:
    before, after = reference.argmax(1), reference_perturbed.argmax(1)
    flipped = before != after
    count = max(1, int(flipped.sum()))
    return Synthesis(
        flipped=float(flipped.double().mean()),
        flipped_to=tuple(torch.bincount(after[flipped], minlength=reference.shape[1]).tolist()),
        inverse_agrees=int((inverse.argmax(1) == after)[flipped].sum()) / count,
        pruned_restores=int((pruned.argmax(1) == before)[flipped].sum()) / count,
        largest=float(perturbation.abs().max()),
        samples=len(reference),
    )
