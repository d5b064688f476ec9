"""The outer problem of IMS: what the pruned and the inverse view shall answer, and the gradient by their gates."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from invmask.defenses.base import Subject, Synthesis
from invmask.defenses.ims.losses import EPSILON, disagree
from invmask.defenses.ims.perturbation import Gates
from invmask.machine import autocast
from invmask.masks.attach import gated_logits

Alike = Callable[[Tensor, Tensor], Tensor]
"""A loss that is low where the first answers as the second: `losses.agree` or `losses.divergence`."""
TURNED_UP = 1.0
"""How far what is cut is turned up, with gates 1 + TURNED_UP (1 - m): the less, the more channels have to be cut."""


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
    turned_up: int | None = None,
) -> Part:
    """Both views of `images` in one pass, and back to their gates.

    What a gradient needs of the pass is let go with it: clean and perturbed images are not held together.
    """
    pairs = [(images, gates.pruned), (images, gates.inverse)]
    if turned_up is not None:
        pairs.append((images, 1 + TURNED_UP * (1 - gates.pruned)))
    with autocast(subject.precision, subject.device.type):
        pruned, inverse, *louder = (of.softmax(1) for of in gated_logits(subject.model, subject.layout, pairs))
    losses = losses_of(pruned, inverse)
    if turned_up is not None:
        losses["turned up"] = -torch.log(louder[0][:, turned_up] + EPSILON).mean()
    by_pruned, by_inverse = torch.autograd.grad(weighted(losses, weights), [gates.pruned, gates.inverse])
    kept = {name: loss.detach() for name, loss in losses.items()}
    return Part(kept, by_pruned, by_inverse, (pruned.detach(), inverse.detach()))


def on_clean(
    subject: Subject,
    gates: Gates,
    images: Tensor,
    reference: Tensor,
    weights: dict[str, float],
    alike: Alike,
    turned_up: int | None = None,
) -> Part:
    """alike(pruned(x), ref(x)) and disagree(inverse(x), ref(x)).

    With a label, also -log p[label] of the original with what the pruned view cuts turned up instead.
    """
    return _part(
        subject,
        gates,
        images,
        weights,
        lambda pruned, inverse: {
            "pruned clean": alike(pruned, reference),
            "inverse clean": disagree(inverse, reference),
        },
        turned_up,
    )


def on_perturbed(
    subject: Subject,
    gates: Gates,
    images: Tensor,
    reference: Tensor,
    perturbed: Tensor,
    weights: dict[str, float],
    alike: Alike,
) -> tuple[Part, Synthesis]:
    """alike(pruned(x+d), ref(x)), alike(inverse(x+d), ref(x+d)) and disagree(inverse(x+d), ref(x)).

    With them comes how the inner problem did.
    """
    reference_perturbed = subject.answers(subject.reference, perturbed)
    part = _part(
        subject,
        gates,
        perturbed,
        weights,
        lambda pruned, inverse: {
            "pruned perturbed": alike(pruned, reference),
            "inverse agrees perturbed": alike(inverse, reference_perturbed),
            "inverse perturbed": disagree(inverse, reference),
        },
    )
    return part, _report(reference, reference_perturbed, *part.answers, perturbed - images)


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
