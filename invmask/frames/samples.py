"""Figures with pictures: the trigger, the defence's synthesized triggers, and the views' answers to one sample."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from invmask.figures.palette import VIEW_TITLES, Theme
from invmask.figures.pictures import PictureRow, picture_rows
from invmask.figures.probabilities import class_probabilities
from invmask.figures.triggers import trigger_tiles
from invmask.frames.run_records import RunRecords
from invmask.measure.views import Fate, ViewAnswers

SHOWN = 6


def trigger_figure(records: RunRecords, theme: Theme) -> go.Figure:
    """The same test images clean and triggered, with the victim's answers."""
    found = records.samples
    triggered = found.triggered is not None
    return trigger_pictures(
        [_pixels(image) for image in found.clean[:SHOWN]],
        [_pixels(image) for image in found.triggered[:SHOWN]] if found.triggered is not None else None,
        found.answers.labels.tolist(),
        found.clean_answers,
        found.answers.probabilities[0].numpy() if triggered else None,
        records.classes,
        theme,
        records.wide_in(theme),
    )


def trigger_pictures(
    clean: Sequence[np.ndarray],
    triggered: Sequence[np.ndarray] | None,
    labels: Sequence[int],
    clean_answers: np.ndarray,
    triggered_answers: np.ndarray | None,
    classes: Sequence[str],
    theme: Theme,
    wide: bool = False,
) -> go.Figure:
    """Images clean and triggered, with the victim's answers.

    Args:
        clean, triggered: images, uint8 [H, W, C]; `triggered` is None for a clean control.
        labels: the true classes.
        clean_answers, triggered_answers: softmax probabilities [N, K] in [0, 1]; the second is None for a clean
            control.
    """
    rows = []
    for place, pixels in enumerate(clean):
        pictures, said = [pixels], _answer(clean_answers[place], classes)
        lines = [f"answer: {said}"]
        if triggered is not None and triggered_answers is not None:
            pictures.append(triggered[place])
            lines = [f"clean: {said}", f"triggered: {_answer(triggered_answers[place], classes)}"]
        rows.append(PictureRow(f"true class: {classes[labels[place]]}", pictures, lines))
    return picture_rows(rows, ["clean"] if triggered is None else ["clean", "triggered"], theme, wide=wide)


def synthesized_figure(records: RunRecords, theme: Theme) -> go.Figure:
    """The round's example perturbations, amplified, and the views' answers to the perturbed images."""
    found, classes = records.examples, records.classes
    tiles = trigger_tiles(found.clean, found.perturbations)
    rows = []
    for place, true in enumerate(found.images.labels.tolist()[:SHOWN]):
        pictures = [tiles.clean[place], tiles.perturbation[place], tiles.perturbed[place]]
        said = found.probabilities
        lines = [] if said is None else [
            f"{VIEW_TITLES[view]}: {_answer(said[row, place], classes)}" for row, view in enumerate(found.views)
        ]  # fmt: skip
        rows.append(PictureRow(f"true class: {classes[true]}", pictures, lines or ["no perturbation in this phase"]))
    return picture_rows(rows, ["clean", f"change ×{tiles.factor}", "perturbed"], theme, wide=records.wide_in(theme))


def flip_figure(records: RunRecords, theme: Theme) -> go.Figure:
    """Samples of the page Flip with the views' answers: the picked sample, then one class after the other."""
    found = records.flip_samples
    first = flip_sample(records)
    places = [first, *(place for place in by_turns(found.answers.labels.tolist()) if place != first)][:SHOWN]
    return flip_pictures(
        [_pixels(found.shown[place]) for place in places],
        found.answers,
        places,
        records.classes,
        theme,
        records.wide_in(theme),
    )


def flip_pictures(
    images: Sequence[np.ndarray],
    answers: ViewAnswers,
    places: Sequence[int],
    classes: Sequence[str],
    theme: Theme,
    wide: bool = False,
) -> go.Figure:
    """Images, uint8 [H, W, C], with the views' answers to them.

    Args:
        places: the images' indices in `answers`.
    """
    labels, fates = answers.labels.tolist(), answers.fates(answers.defended)
    rows = []
    for image, place in zip(images, places, strict=True):
        lines = [
            f"{VIEW_TITLES[view]}: {_answer(answers.probabilities[row, place].numpy(), classes)}"
            for row, view in enumerate(answers.views)
        ]
        rows.append(PictureRow(f"true class: {classes[labels[place]]}; {fates[place].value}", [image], lines))
    return picture_rows(rows, ["clean" if answers.targets is None else "triggered"], theme, wide=wide)


def probabilities_figure(records: RunRecords, theme: Theme) -> go.Figure:
    """The class probabilities of one sample under the views."""
    answers, place = records.flip_samples.answers, flip_sample(records)
    true = int(answers.labels[place])
    return class_probabilities(
        {view.value: answers.of(view)[place].tolist() for view in answers.views},
        records.classes,
        true,
        answers.target_of(true),
        theme,
    )


def flip_sample(records: RunRecords) -> int:
    """The picked sample; else the first sample recovered by the view without the backdoor; else the first sample."""
    if records.picked_sample is not None:
        return records.picked_sample
    answers = records.flip_samples.answers
    fates = answers.fates(answers.defended)
    return fates.index(Fate.RECOVERED) if Fate.RECOVERED in fates else 0


def which_sample(records: RunRecords) -> str:
    """`Sample 17, a triggered truck, picked on Flip.`"""
    found, place = records.flip_samples, flip_sample(records)
    kind = "clean" if found.triggered is None else "triggered"
    name = f"Sample {place}, {kind}, true class {records.classes[int(found.answers.labels[place])]}"
    if records.picked_sample is not None:
        return f"{name}, picked on the page Flip."
    view = found.answers.defended
    recovered = found.answers.fates(view)[place] is Fate.RECOVERED
    return f"{name}, the first {f'that the {view} view recovers' if recovered else 'of all'}."


def by_turns(labels: Sequence[int]) -> list[int]:
    """All indices in rotation over the classes: the first of each class, then the second of each, and so on."""
    seen: dict[int, int] = {}
    rank = []
    for place, label in enumerate(labels):
        seen[label] = seen.get(label, 0) + 1
        rank.append((seen[label], label, place))
    return [place for _, _, place in sorted(rank)]


def _answer(probabilities: np.ndarray, classes: Sequence[str]) -> str:
    best = int(probabilities.argmax())
    return f"{classes[best]}, {100 * float(probabilities[best]):.1f} %"


def _pixels(image: np.ndarray) -> np.ndarray:
    """Convert float [C, H, W] in [0, 1] to uint8 [H, W, C]."""
    return (np.clip(image, 0, 1) * 255).round().astype(np.uint8).transpose(1, 2, 0)
