"""What the Defend page shows of a run at one round, drawn once for all who look at it."""

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from invmask.figures.candidates import Cards
from invmask.figures.palette import Theme
from invmask.figures.triggers import TriggerTiles, trigger_tiles
from invmask.frames import candidates
from invmask.frames import frame as frames
from invmask.frames.frame import Frame
from invmask.masks.state import GATED, View
from invmask.ui.shell import cache, shared_results


def read_frame(run_id: str, asked: int | None) -> Frame | None:
    """The run at round `asked` (the latest if None, or if it has not come so far); None before it was taken up.

    Raises:
        UserError: no such run, or a damaged one.
    """
    return frames.read_frame(cache.store().run(run_id), asked)


@dataclass(frozen=True)
class Gallery:
    """Examples of one round.

    Attributes:
        true_labels: the images' classes, int64 [E].
        probabilities: answers of the views to the perturbed images, float [V, E, K]; None where the round made no
            perturbation, and the tiles show none.
        views: which views these are.
    """

    tiles: TriggerTiles
    true_labels: np.ndarray
    probabilities: np.ndarray | None
    views: tuple[View, ...] = GATED


def _round_key(frame: Frame, *how: object) -> tuple[object, ...]:
    return str(frame.run.path), frame.round, *how


def _curve_key(frame: Frame, *how: str) -> tuple[object, ...]:
    return str(frame.run.path), frame.last, frame.shown, *how


@shared_results.shared(key=_round_key)
def gallery(frame: Frame, dataset: str) -> Gallery:
    """The examples of the frame's round; in a phase that makes none, the same images without a perturbation."""
    found = frames.examples(frame, dataset)
    return Gallery(
        trigger_tiles(found.clean, found.perturbations), found.images.labels, found.probabilities, found.views
    )


@shared_results.shared(key=_round_key)
def search_cards(frame: Frame, classes: tuple[str, ...]) -> Cards | None:
    """What the search had found by the frame's round; None where there was none."""
    return candidates.search_cards(frame, classes)


@shared_results.shared(key=_round_key)
def map_figure(frame: Frame, quantity: str, theme: Theme) -> go.Figure:
    """The map of all channels after the frame's round."""
    return frames.map_figure(frame, quantity, theme)


@shared_results.shared(key=_curve_key)
def measures_figure(frame: Frame, theme: Theme) -> go.Figure:
    """ACC, ASR and RA over all rounds recorded."""
    return frames.measures_figure(frame, theme)


@shared_results.shared(key=_curve_key)
def losses_figure(frame: Frame, theme: Theme) -> go.Figure:
    """Every loss term over all rounds recorded."""
    return frames.losses_figure(frame, theme)


@shared_results.shared(key=_curve_key)
def inner_figure(frame: Frame, theme: Theme) -> go.Figure:
    """The inner problem's shares over all rounds recorded."""
    return frames.inner_figure(frame, theme)
