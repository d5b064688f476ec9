"""What the page Defend shows of a run at one round, computed once for all readers."""

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
    """Read the run at round `asked`; None before work on the run began.

    The latest round is read if `asked` is None or has not been reached.

    Raises:
        UserError: no such run, or it is damaged.
    """
    return frames.read_frame(cache.store().run(run_id), asked)


@dataclass(frozen=True)
class Gallery:
    """Examples of one round.

    Attributes:
        true_labels: the images' true classes, int64 [E].
        probabilities: softmax probabilities of the views for the perturbed images, float [V, E, K]; None if the round
            made no perturbation, and then the tiles show none.
        views: the names of the V views.
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
    """The examples of the frame's round; if the round made none, the same images without a perturbation."""
    found = frames.examples(frame, dataset)
    return Gallery(
        trigger_tiles(found.clean, found.perturbations), found.images.labels, found.probabilities, found.views
    )


@shared_results.shared(key=_round_key)
def search_cards(frame: Frame, classes: tuple[str, ...]) -> Cards | None:
    """The cards of the search at the frame's round; None if there was no search."""
    return candidates.search_cards(frame, classes)


@shared_results.shared(key=_round_key)
def map_figure(frame: Frame, quantity: str, theme: Theme) -> go.Figure:
    """The map of all channels after the frame's round."""
    return frames.map_figure(frame, quantity, theme)


@shared_results.shared(key=_round_key)
def stage_figure(frame: Frame, quantity: str, theme: Theme) -> go.Figure:
    """The map of all channels for the stage."""
    return frames.stage_figure(frame, quantity, theme)


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
