"""The outer problem of IMS: what the pruned and the inverse view shall answer, and the gradient by their gates."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from invmask.defenses.base import Subject, Synthesis
from invmask.defenses.ims.losses import agree, certain, disagree
from invmask.defenses.ims.perturbation import Gates
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


@dataclass(frozen=True)
class TurnedUp:
    """What the cut channels, turned up with gates 1 + kappa (1 - m), shall lead every clean image to."""

    label: int
    amplification: float


def _part(
    subject: Subject,
    gates: Gates,
    images: Tensor,
    weights: dict[str, float],
    losses_of: Callable[[Tensor, Tensor], dict[str, Tensor]],
    turned_up: TurnedUp | None = None,
) -> Part:
    """Both views of `images` in one pass, and back to their gates.

    What a gradient needs of the pass is let go with it: clean and perturbed images are not held together.
    """
    pairs = [(images, gates.pruned), (images, gates.inverse)]
    if turned_up is not None:
        pairs.append((images, 1 + turned_up.amplification * (1 - gates.pruned)))
    with autocast(subject.precision, subject.device.type):
        pruned, inverse, *louder = (of.softmax(1) for of in gated_logits(subject.model, subject.layout, pairs))
    losses = losses_of(pruned, inverse)
    if turned_up is not None:
        losses["turned up"] = agree(louder[0], certain(turned_up.label, louder[0]))
    by_pruned, by_inverse = torch.autograd.grad(weighted(losses, weights), [gates.pruned, gates.inverse])
    kept = {name: loss.detach() for name, loss in losses.items()}
    return Part(kept, by_pruned, by_inverse, (pruned.detach(), inverse.detach()))


def on_clean(
    subject: Subject,
    gates: Gates,
    images: Tensor,
    reference: Tensor,
    weights: dict[str, float],
    turned_up: TurnedUp | None = None,
) -> Part:
    """agree(pruned(x), ref(x)) and disagree(inverse(x), ref(x)); with a label to lead to, agree(turned up(x), it)."""
    return _part(
        subject,
        gates,
        images,
        weights,
        lambda pruned, inverse: {
            "pruned clean": agree(pruned, reference),
            "inverse clean": disagree(inverse, reference),
        },
        turned_up,
    )


def on_perturbed(
    subject: Subject,
    gates: Gates,
    images: Tensor,
    reference: Tensor,
    perturbation: Tensor,
    weights: dict[str, float],
) -> tuple[Part, Synthesis]:
    """agree(pruned(x+d), ref(x)), agree(inverse(x+d), ref(x+d)) and disagree(inverse(x+d), ref(x)).

    With them comes how the inner problem did.
    """
    perturbed = images + perturbation
    reference_perturbed = subject.answers(subject.reference, perturbed)
    part = _part(
        subject,
        gates,
        perturbed,
        weights,
        lambda pruned, inverse: {
            "pruned perturbed": agree(pruned, reference),
            "inverse agrees perturbed": agree(inverse, reference_perturbed),
            "inverse perturbed": disagree(inverse, reference),
        },
    )
    return part, _report(reference, reference_perturbed, *part.answers, perturbation)


def kept(answers: Tensor, reference: Tensor) -> float:
    """How much of the accuracy that the reference expects of itself is kept, as a share.

    The reference's mean probability of the class that `answers` say, over that of the class that it says itself: to
    differ where it is unsure costs little. No labels enter.

    Args:
        answers, reference: softmax answers to the same images, [N, K].
    """
    of_answers = reference.gather(1, answers.argmax(1, keepdim=True)).sum()
    return float(of_answers / reference.max(1).values.sum())


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
