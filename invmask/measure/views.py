"""The answers of one network's views to the same images, and the fate of each image."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor, nn

from invmask.machine import Precision, autocast
from invmask.masks.repair import Repair, network_of
from invmask.masks.state import GATED, View
from invmask.measure.target_labels import Targets

BATCH_SIZE = 64


class Fate(StrEnum):
    """How a view's answer to an image compares with the original view's answer."""

    RECOVERED = "recovered"
    STILL_FOOLED = "still fooled"
    NEWLY_WRONG = "newly wrong"
    OTHERWISE_WRONG = "otherwise wrong"
    UNCHANGED = "unchanged"


FATE_EXPLANATIONS: dict[Fate, str] = {
    Fate.RECOVERED: "The original view answers wrongly, this view with the true class.",
    Fate.STILL_FOOLED: "The original view answers the target label, and so does this view.",
    Fate.NEWLY_WRONG: "The original view answers with the true class, this view does not.",
    Fate.OTHERWISE_WRONG: "Both views are wrong, each with another class.",
    Fate.UNCHANGED: "Both views give the same answer, and it is not the target label of a trigger at work.",
}


@dataclass(frozen=True)
class ViewAnswers:
    """Softmax probabilities of the views of a repair for N images.

    Attributes:
        probabilities: float32 [V, N, K] in [0, 1], one row for each of `views`.
        labels: int64 [N], the true classes.
        views: the views in order, the original first.
        targets: the backdoor's targets if the images carry a trigger; else None.
    """

    probabilities: Tensor
    labels: Tensor
    targets: Targets | None = None
    views: tuple[View, ...] = GATED

    @property
    def defended(self) -> View:
        """The view without the backdoor: pruned or repaired."""
        return self.views[1]

    def of(self, view: View) -> Tensor:
        """The view's probabilities, float32 [N, K]."""
        return self.probabilities[self.views.index(view)]

    def answers(self, view: View) -> Tensor:
        """The view's answers (arg max), int64 [N]."""
        return self.of(view).argmax(1)

    def fates(self, view: View) -> list[Fate]:
        """The fate of each image under `view`; length N."""
        before, after = self.answers(View.ORIGINAL).tolist(), self.answers(view).tolist()
        return [
            fate(old, new, true, self.target_of(true))
            for old, new, true in zip(before, after, self.labels.tolist(), strict=True)
        ]

    def target_of(self, true: int) -> int | None:
        """The backdoor's target for an image of the class `true`; None without a trigger."""
        return None if self.targets is None else self.targets.of_class[true]


def fate(before: int, after: int, true: int, target: int | None) -> Fate:
    """The fate of one image.

    Args:
        before, after: the answers of the original view and of the view in question.
        true: the true class.
        target: the backdoor's target for the image; None without a trigger.
    """
    if before == after:
        return Fate.STILL_FOOLED if after == target != true else Fate.UNCHANGED
    if after == true:
        return Fate.RECOVERED
    return Fate.NEWLY_WRONG if before == true else Fate.OTHERWISE_WRONG


@torch.no_grad()
def view_probabilities(
    model: nn.Module, repair: Repair, views: Sequence[View], images: Tensor, precision: Precision = "float32"
) -> Tensor:
    """Softmax probabilities of some views for the same images.

    Args:
        model: in eval mode; left unchanged.
        repair: a repair of `model`.
        images: float32 [N, C, H, W] in [0, 1].
        precision: number format of the passes.

    Returns:
        float32 [len(views), N, K] on the CPU.
    """
    answers = []
    with autocast(precision, images.device.type):
        for view in views:
            network = network_of(repair, model, view)
            answers.append(torch.cat([network(batch).softmax(1).cpu() for batch in images.split(BATCH_SIZE)]))
    return torch.stack(answers)
