"""ACC, ASR, RA and DER, computed from flags of each image.

All are shares in [0, 1]; per cent appear on screen only.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

# Images per pass. On a CPU, the activations of this many images in a narrow network still fit into its caches.
PASS_SIZE = 64
ACCELERATOR_PASS_SIZE = 1000


@dataclass(frozen=True)
class Measures:
    """The measures of one view of a network on a test set. Shares are in [0, 1].

    Attributes:
        acc: clean accuracy, over `n_clean` images.
        asr: attack success rate: share of triggered images answered with their target; None without a trigger.
        ra: recovery accuracy: share of the same images answered with their true label; None without a trigger.
        n_clean, n_triggered: number of clean and of triggered images.
    """

    acc: float
    asr: float | None
    ra: float | None
    n_clean: int
    n_triggered: int


@dataclass(frozen=True)
class Flags:
    """The outcome of each image, as bool tensors on the CPU.

    Attributes:
        correct: [N], the clean image is answered with its true label.
        fooled: [M], the triggered image is answered with its target.
        recovered: [M], the triggered image is answered with its true label.
    """

    correct: Tensor
    fooled: Tensor | None = None
    recovered: Tensor | None = None

    def measures(self) -> Measures:
        """ACC, ASR and RA: the share of set flags of each kind."""
        triggered = self.fooled is not None and self.recovered is not None
        return Measures(
            acc=_share(self.correct),
            asr=_share(self.fooled) if triggered and self.fooled is not None else None,
            ra=_share(self.recovered) if triggered and self.recovered is not None else None,
            n_clean=len(self.correct),
            n_triggered=len(self.fooled) if self.fooled is not None else 0,
        )


def flags(
    clean_answers: Tensor,
    labels: Tensor,
    triggered_answers: Tensor | None = None,
    triggered_labels: Tensor | None = None,
    targets: Tensor | int | None = None,
) -> Flags:
    """The flags of every image, from the network's answers (arg max of the logits, int64).

    Args:
        clean_answers, labels: [N], answers to the clean images and their true labels.
        triggered_answers, triggered_labels: [M], answers to triggered images and their true labels. No true label may
            equal its target, because an image of the target class does not show whether the backdoor works.
        targets: the target of each triggered image, [M], or one label for all (see `Targets`).
    """
    correct = (clean_answers == labels).cpu()
    if triggered_answers is None or triggered_labels is None or targets is None:
        return Flags(correct)
    if bool((triggered_labels == targets).any()):
        raise ValueError("triggered images must not belong to the target class")
    return Flags(
        correct=correct,
        fooled=(triggered_answers == targets).cpu(),
        recovered=(triggered_answers == triggered_labels).cpu(),
    )


def defence_effectiveness(before: Measures, after: Measures) -> float | None:
    """DER = (max(0, drop of ASR) - max(0, drop of ACC) + 1) / 2, in [0, 1]; None without a trigger."""
    if before.asr is None or after.asr is None:
        return None
    return (max(0.0, before.asr - after.asr) - max(0.0, before.acc - after.acc) + 1) / 2


def _share(flag: Tensor) -> float:
    return float(flag.double().mean()) if len(flag) else float("nan")


def pass_size(device: torch.device) -> int:
    """The number of images per pass that is fast on `device`, for passes without gradients."""
    return PASS_SIZE if device.type == "cpu" else ACCELERATOR_PASS_SIZE


@torch.no_grad()
def answers(model: torch.nn.Module, images: Tensor, batch_size: int | None = None) -> Tensor:
    """Predicted labels: arg max of the logits of `model` for `images` [N, C, H, W] in [0, 1]; int64 [N] on the CPU.

    Args:
        batch_size: images per pass; None for the number that suits the images' device.
    """
    size = batch_size or pass_size(images.device)
    return torch.cat([model(batch).argmax(1).cpu() for batch in images.split(size)])
