"""Figures of pictures: what the trigger does, what the defence synthesizes, and what the views say of one sample."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from invmask.evidence.views import Fate
from invmask.exports.frames import VIEWS
from invmask.exports.records import RunRecords
from invmask.figures.palette import VIEW_TITLES, Theme
from invmask.figures.pictures import PictureRow, picture_rows
from invmask.figures.probabilities import class_probabilities
from invmask.figures.triggers import trigger_tiles
from invmask.masks.state import View

SHOWN = 6


def trigger_figure(records: RunRecords, theme: Theme) -> go.Figure:
    """The same test images clean and triggered, and what the victim answers."""
    found, classes = records.samples, records.classes
    labels = found.answers.labels.tolist()[:SHOWN]
    rows = []
    if found.triggered is None:
        for place, true in enumerate(labels):
            lines = [f"answer: {_answer(found.clean_answers[place], classes)}"]
            rows.append(PictureRow(f"true class: {classes[true]}", [_pixels(found.clean[place])], lines))
        return picture_rows(rows, ["clean"], theme)
    triggered = found.answers.probabilities[0].numpy()
    for place, true in enumerate(labels):
        pictures = [_pixels(found.clean[place]), _pixels(found.triggered[place])]
        lines = [
            f"clean: {_answer(found.clean_answers[place], classes)}",
            f"triggered: {_answer(triggered[place], classes)}",
        ]
        rows.append(PictureRow(f"true class: {classes[true]}", pictures, lines))
    return picture_rows(rows, ["clean", "triggered"], theme)


def synthesized_figure(records: RunRecords, theme: Theme) -> go.Figure:
    """The round's example perturbations, amplified, and what the three views answer to the perturbed images."""
    found, classes = records.examples, records.classes
    tiles = trigger_tiles(found.clean, found.perturbations)
    rows = []
    for place, true in enumerate(found.images.labels.tolist()[:SHOWN]):
        pictures = [tiles.clean[place], tiles.perturbation[place], tiles.perturbed[place]]
        said = found.probabilities
        lines = [] if said is None else [
            f"{VIEW_TITLES[view]}: {_answer(said[row, place], classes)}" for row, view in enumerate(VIEWS)
        ]  # fmt: skip
        rows.append(PictureRow(f"true class: {classes[true]}", pictures, lines or ["no perturbation in this phase"]))
    return picture_rows(rows, ["clean", f"change ×{tiles.factor}", "perturbed"], theme)


def probabilities_figure(records: RunRecords, theme: Theme) -> go.Figure:
    """The class probabilities of one sample under the three views."""
    answers, place = records.samples.answers, recovered_sample(records)
    true = int(answers.labels[place])
    return class_probabilities(
        {view.value: answers.probabilities[row, place].tolist() for row, view in enumerate(View)},
        records.classes,
        true,
        answers.target_of(true),
        theme,
    )


def recovered_sample(records: RunRecords) -> int:
    """The first sample that the pruned view recovers; the first of all where it recovers none."""
    fates = records.samples.answers.fates(View.PRUNED)
    return fates.index(Fate.RECOVERED) if Fate.RECOVERED in fates else 0


def _answer(probabilities: np.ndarray, classes: Sequence[str]) -> str:
    best = int(probabilities.argmax())
    return f"{classes[best]}, {100 * float(probabilities[best]):.1f} %"


def _pixels(image: np.ndarray) -> np.ndarray:
    """float [C, H, W] in [0, 1] as uint8 [H, W, C]."""
    return (np.clip(image, 0, 1) * 255).round().astype(np.uint8).transpose(1, 2, 0)
