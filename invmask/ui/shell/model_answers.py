"""Networks' answers to embedded test images: small forward passes, each made once for all sessions.

The caches are bounded and drop the oldest results. No pass has more than a few hundred images.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from invmask.data.budget import probe
from invmask.data.images import LabelledImages
from invmask.machine import Precision
from invmask.masks.repair import Gates, Repair, Weights
from invmask.masks.state import View
from invmask.measure.target_labels import Targets
from invmask.measure.views import ViewAnswers, view_probabilities
from invmask.memory import MIB
from invmask.runs.store import named_masks
from invmask.ui.shell import cache, shared_results
from invmask.victims.victim import VictimCard

ANSWER_BYTES = 64 * MIB
"""Bound of the cache of answers; with their images, they take half a mebibyte per round on CIFAR-10."""


@dataclass(frozen=True)
class CleanAndTriggered:
    """The same images with and without the trigger, and the victim's answers.

    `triggered` and `triggered_probabilities` are None for a clean control.

    Attributes:
        clean, triggered: uint8 [N, H, W, C].
        labels: int64 [N], the true classes.
        clean_probabilities, triggered_probabilities: softmax probabilities, float32 [N, K] in [0, 1].
    """

    clean: np.ndarray
    labels: np.ndarray
    clean_probabilities: np.ndarray
    triggered: np.ndarray | None
    triggered_probabilities: np.ndarray | None

    def take(self, places: list[int]) -> "CleanAndTriggered":
        """The images at `places`, in that order."""
        return CleanAndTriggered(
            self.clean[places],
            self.labels[places],
            self.clean_probabilities[places],
            None if self.triggered is None else self.triggered[places],
            None if self.triggered_probabilities is None else self.triggered_probabilities[places],
        )


@dataclass(frozen=True)
class FlipAnswers:
    """The views' answers to the same embedded test images at one round of a run.

    Attributes:
        images: the images behind `answers`, uint8 [N, H, W, C].
        answers: the answers of every view.
    """

    images: np.ndarray
    answers: ViewAnswers


def draw(card: VictimCard, true_class: int | None, seed: int, number: int) -> tuple[int, ...]:
    """Indices of `number` embedded test images drawn by `seed`, without images that have their target class already.

    Args:
        true_class: draw only from this class; None for all classes.
    """
    labels = cache.test_images(card.dataset).labels
    wanted = card.attacked(labels) if true_class is None else labels == true_class
    candidates = np.flatnonzero(wanted)
    chosen = np.random.default_rng(seed).choice(candidates, min(number, len(candidates)), replace=False)
    return tuple(int(place) for place in chosen)


@shared_results.copied()
def clean_and_triggered(victim: str, stamp: int, places: tuple[int, ...]) -> CleanAndTriggered:  # noqa: ARG001
    """A victim's answers to the embedded test images at `places`; `stamp` changes when the victim is retrained."""
    found = cache.victim(victim)
    images = cache.test_images(found.card.dataset).take(np.asarray(places, dtype=np.int64))
    clean = images.tensor()
    attack = found.card.make_attack()
    triggered = None if attack is None else attack.apply(clean)
    return CleanAndTriggered(
        clean=images.pixels,
        labels=images.labels,
        clean_probabilities=_softmax(found.model, clean),
        triggered=None if triggered is None else _pixels(triggered),
        triggered_probabilities=None if triggered is None else _softmax(found.model, triggered),
    )


def with_mask(run: str, name: str, victim_stamp: int, poisoned: bool) -> FlipAnswers:
    """Like `at_round`, with masks made by hand.

    Raises:
        UserError: no such run or masks.
    """
    return _answers(run, name, named_masks.stamp(cache.store().run(run), name), victim_stamp, poisoned)


def at_round(run: str, round_taken: int, victim_stamp: int, poisoned: bool) -> FlipAnswers:
    """The views' answers, after a round of a run, to the test images on which the run itself is measured.

    Raises:
        UserError: no such run or round.
    """
    return _answers(run, round_taken, 0, victim_stamp, poisoned)


@shared_results.copied(ANSWER_BYTES, "Asking the views")
def _answers(run: str, mask: int | str, mask_stamp: int, victim_stamp: int, poisoned: bool) -> FlipAnswers:  # noqa: ARG001
    """The answers under the masks of a round, or under the masks of a name; `mask` is either."""
    found = cache.store().run(run)
    spec = found.spec()
    precision = spec.probe_precision
    images, tensor, target = _probe_images(spec.victim, spec.probe_per_class, poisoned)
    repair = found.repair_at(mask) if isinstance(mask, int) else Gates(named_masks.load(found, mask))
    original = _original(spec.victim, victim_stamp, spec.probe_per_class, poisoned, precision)
    others = view_probabilities(cache.victim(spec.victim).model, repair, repair.views[1:], tensor, precision)
    answers = ViewAnswers(torch.cat([original, others]), images.label_tensor(), target, repair.views)
    return FlipAnswers(_pixels(tensor), answers)


@shared_results.copied()
def _original(victim: str, stamp: int, per_class: int, poisoned: bool, precision: Precision) -> Tensor:  # noqa: ARG001
    _, tensor, _ = _probe_images(victim, per_class, poisoned)
    model = cache.victim(victim).model
    return view_probabilities(model, Weights(), [View.ORIGINAL], tensor, precision)


@dataclass(frozen=True)
class PictureAnswers:
    """The views' answers to one picture.

    Attributes:
        views: the views of the repair.
        probabilities: softmax probabilities, float32 [V, K], one row a view.
    """

    views: tuple[View, ...]
    probabilities: Tensor


def of_picture(run: str, masks: int | str, victim_stamp: int, image: Tensor) -> PictureAnswers:
    """The views' answers to any picture. Nothing is kept: one picture takes a few milliseconds.

    Args:
        masks: a round, or the name of masks made by hand.
        victim_stamp: changes when the victim is trained again.
        image: float32 [1, C, H, W] in [0, 1].

    Raises:
        UserError: no such run, round or masks.
    """
    found = cache.store().run(run)
    spec = found.spec()
    stamp = 0 if isinstance(masks, int) else named_masks.stamp(found, masks)
    repair = _repair(run, masks, stamp, victim_stamp)
    model = cache.victim(spec.victim).model
    answers = view_probabilities(model, repair, repair.views, image, spec.probe_precision)
    return PictureAnswers(tuple(repair.views), answers[:, 0])


@shared_results.shared()
def _repair(run: str, masks: int | str, mask_stamp: int, victim_stamp: int) -> Repair:  # noqa: ARG001
    found = cache.store().run(run)
    return found.repair_at(masks) if isinstance(masks, int) else Gates(named_masks.load(found, masks))


def _probe_images(victim: str, per_class: int, poisoned: bool) -> tuple[LabelledImages, Tensor, Targets | None]:
    """The images, their tensor as the network sees it, and the backdoor's targets if they are triggered."""
    card = cache.victim(victim).card
    images = probe(card.dataset, per_class)
    attack = card.make_attack() if poisoned else None
    if attack is None:
        return images, images.tensor(), None
    images = images.take(card.attacked(images.labels))
    return images, attack.apply(images.tensor()), card.targets


@torch.no_grad()
def _softmax(model: torch.nn.Module, images: Tensor) -> np.ndarray:
    return model(images).softmax(1).numpy()


def _pixels(images: Tensor) -> np.ndarray:
    """float [N, C, H, W] in [0, 1] as uint8 [N, H, W, C]."""
    return (images * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
