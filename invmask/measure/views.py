"""What the views of one network say of the same images, and what became of each image."""

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
    """What a view makes of an image, held against the original view's answer."""

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
    """Softmax answers of the views of a repair.

    Attributes:
        probabilities: float32 [V, N, K] in [0, 1], a row for each of `views`.
        labels: int64 [N], the true classes.
        views: the original first.
        targets: what the backdoor shall answer, if the images carry a trigger; else None.
    """

    probabilities: Tensor
    labels: Tensor
    targets: Targets | None = None
    views: tuple[View, ...] = GATED

    @property
    def defended(self) -> View:
        """The view to take away: the pruned or the repaired one."""
        return self.views[1]

    def of(self, view: View) -> Tensor:
        """The view's probabilities, float32 [N, K]."""
        return self.probabilities[self.views.index(view)]

    def answers(self, view: View) -> Tensor:
        """The view's answers, int64 [N]."""
        return self.of(view).argmax(1)

    def fates(self, view: View) -> list[Fate]:
        """What became of each image under `view`; one fate an image, length N."""
        before, after = self.answers(View.ORIGINAL).tolist(), self.answers(view).tolist()
        return [
            fate(old, new, true, self.target_of(true))
            for old, new, true in zip(before, after, self.labels.tolist(), strict=True)
        ]

    def target_of(self, true: int) -> int | None:
        """What the backdoor shall answer to an image of the class `true`; None without a trigger."""
        return None if self.targets is None else self.targets.of_class[true]


def fate(before: int, after: int, true: int, target: int | None) -> Fate:
    """The fate of one image: the original view's answer, the new one, the true class, its target if triggered."""
    if before == after:
        return Fate.STILL_FOOLED if after == target != true else Fate.UNCHANGED
    if after == true:
        return Fate.RECOVERED
    return Fate.NEWLY_WRONG if before == true else Fate.OTHERWISE_WRONG


@torch.no_grad()
def view_probabilities(
    model: nn.Module, repair: Repair, views: Sequence[View], images: Tensor, precision: Precision = "float32"
) -> Tensor:
    """Softmax answers of some views to the same images.

    Args:
        model: in eval mode; left as it is.
        repair: of `model`.
        images: float32 [N, C, H, W] in [0, 1].
        precision: arithmetic of the passes.

    Returns:
        float32 [len(views), N, K] on the CPU.
    """
    answers = []
    with autocast(precision, images.device.type):
        for view in views:
            network = network_of(repair, model, view)
            answers.append(torch.cat([network(batch).softmax(1).cpu() for batch in images.split(BATCH_SIZE)]))
    return torch.stack(answers)
