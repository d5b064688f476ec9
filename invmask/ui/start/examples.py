"""The example pictures of Start: clean, triggered, and what the trigger changed."""

import numpy as np

from invmask.ui.parts.samples import Answer, Kind, Picture, Sample, amplified
from invmask.ui.shell.model_answers import CleanAndTriggered
from invmask.victims.victim import VictimCard

_MARGIN = 3
"""Pixels shown around what the trigger changed."""
_SMALL = 0.5
"""A trigger that covers at most this share of each side is shown enlarged."""


def right_first(found: CleanAndTriggered, target: int | None) -> list[int]:
    """Indices of the pictures; those that show the effect of the trigger come first.

    They are answered correctly without the trigger and, if there is a trigger, with the target label with it.
    """
    right = found.clean_probabilities.argmax(1) == found.labels
    if found.triggered_probabilities is not None:
        answers = found.triggered_probabilities.argmax(1)
        right &= answers == target if target is not None else answers != found.labels
    return [int(place) for place in np.argsort(~right, kind="stable")]


def samples(card: VictimCard, found: CleanAndTriggered) -> list[Sample]:
    """A sample for each picture."""
    classes, labels = card.dataset_info.classes, found.labels
    if found.triggered is None or found.triggered_probabilities is None:
        return [
            Sample(classes[true], (Picture(pixels, answers=_answer(said, int(true), card)),))
            for pixels, said, true in zip(found.clean, found.clean_probabilities, labels, strict=True)
        ]
    changed, caption = _changed(found.clean, found.triggered)
    return [
        Sample(
            f"true class: {classes[true]}",
            (
                Picture(found.clean[i], "clean", _answer(found.clean_probabilities[i], int(true), card)),
                Picture(found.triggered[i], "triggered", _answer(found.triggered_probabilities[i], int(true), card)),
                Picture(changed[i], caption),
            ),
        )
        for i, true in enumerate(labels)
    ]


def _changed(clean: np.ndarray, triggered: np.ndarray) -> tuple[np.ndarray, str]:
    """What the trigger changed, uint8 [N, H, W, C], and its caption.

    A small trigger is cut out of the triggered pictures and shown enlarged; of any other, the difference is shown.
    """
    side = clean.shape[1]
    box = _box(clean, triggered)
    if box is not None and max(box[1] - box[0], box[3] - box[2]) <= _SMALL * side:
        top, bottom, left, right = _square(box, side)
        return triggered[:, top:bottom, left:right], "trigger, enlarged"
    difference = (triggered.astype(np.float32) - clean.astype(np.float32)).transpose(0, 3, 1, 2) / 255
    visible, factor = amplified(difference)
    return visible, f"difference ×{factor:.1f}"


def _box(clean: np.ndarray, triggered: np.ndarray) -> tuple[int, int, int, int] | None:
    """Top, bottom, left and right (ends excluded) of the smallest box with all changes; None if nothing changed."""
    differs = (clean != triggered).any((0, 3))
    rows, columns = np.flatnonzero(differs.any(1)), np.flatnonzero(differs.any(0))
    if not len(rows):
        return None
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _square(box: tuple[int, int, int, int], side: int) -> tuple[int, int, int, int]:
    """The smallest square with a margin around `box` that lies in a picture of `side` pixels."""
    top, bottom, left, right = box
    size = min(side, max(bottom - top, right - left) + 2 * _MARGIN)
    first_row = min(max((top + bottom - size) // 2, 0), side - size)
    first_column = min(max((left + right - size) // 2, 0), side - size)
    return first_row, first_row + size, first_column, first_column + size


def _kind(answer: int, true: int, target: int | None) -> Kind:
    return "true" if answer == true else "target" if answer == target else "other"


def _answer(probabilities: np.ndarray, true: int, card: VictimCard) -> tuple[Answer]:
    """The model's answer from its K class probabilities in [0, 1]."""
    best = int(probabilities.argmax())
    title = card.dataset_info.classes[best]
    return (Answer(title, float(probabilities[best]), _kind(best, true, card.target_of(true))),)
