"""A run as it stood after one of its rounds, and the figures of the page Defend made of it."""

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from invmask.data.budget import clean_budget
from invmask.data.images import LabelledImages
from invmask.defenses.ims.config import IMSConfig, Phase
from invmask.defenses.ims.records import InnerReport
from invmask.figures.channels import ChannelState, channel_map
from invmask.figures.inner import SHARES, flip_labels, inner_curves
from invmask.figures.losses import loss_curves
from invmask.figures.measures import measure_curves
from invmask.figures.palette import Theme
from invmask.figures.rounds import PhaseSpan, axis_end, phase_spans
from invmask.masks.state import View
from invmask.metrics import Measures
from invmask.runs.entries import RoundEntry, RunSummary, Views
from invmask.runs.run import Run

EXAMPLES = 8
VIEWS = tuple(view.value for view in View)


@dataclass(frozen=True)
class Frame:
    """A run as it stood after round `round`, of `last` rounds recorded.

    Attributes:
        shown: `round` if the reader went back to it, None while the latest is followed.
        entry: that round; None for round 0, before the first.
        views: the three views on the run's probe; before the first round all three answer as the original.
    """

    run: Run
    summary: RunSummary
    entries: tuple[RoundEntry, ...]
    round: int
    shown: int | None
    entry: RoundEntry | None
    views: Views

    @property
    def last(self) -> int:
        return len(self.entries)

    @property
    def inner(self) -> InnerReport | None:
        """How well the inner problem did in that round; None where there was none."""
        return self.entry.record.inner if self.entry else None


def read_frame(run: Run, asked: int | None = None) -> Frame | None:
    """The run at round `asked` (the latest if None, or if it has not come so far); None before it was taken up.

    Raises:
        UserError: a damaged run, or one that was deleted.
    """
    summary = run.summary()
    if summary.original is None:
        return None
    entries = run.entries()
    shown = None if asked is None else min(asked, len(entries))
    number = len(entries) if shown is None else shown
    entry = entries[number - 1] if number else None
    original = summary.original
    return Frame(
        run=run,
        summary=summary,
        entries=entries,
        round=number,
        shown=shown,
        entry=entry,
        views=entry.views if entry else Views(original, original, original),
    )


def most_rounds(config: IMSConfig, entries: tuple[RoundEntry, ...]) -> int:
    """The most rounds that the run can still come to: phases that ended early count as long as they were."""
    taken = dict.fromkeys(Phase, 0)
    ended = set()
    for entry in entries:
        taken[entry.record.phase] += 1
        if entry.record.phase_ended is not None:
            ended.add(entry.record.phase)
    return sum(taken[phase] if phase in ended else config.rounds(phase) for phase in Phase)


def labels_figure(frame: Frame, classes: tuple[str, ...], target: int | None, theme: Theme) -> go.Figure:
    """The labels that the frame's round flipped to."""
    inner = frame.inner
    if inner is None:
        return flip_labels([0] * len(classes), _batch(frame, len(classes)), classes, theme, target)
    return flip_labels(inner.flipped_to, inner.samples, classes, theme, target)


def map_figure(frame: Frame, quantity: str, theme: Theme, wide: bool = False) -> go.Figure:
    """The map of all channels after the frame's round."""
    masks, layout = frame.run.masks_at(frame.round), frame.run.layout()
    assert layout is not None
    state = ChannelState(
        layers=layout.layers,
        mask=masks.mask.numpy(),
        selection=masks.selection.numpy(),
        pruned_gate=masks.gate(View.PRUNED).numpy(),
        inverse_gate=masks.gate(View.INVERSE).numpy(),
    )
    return channel_map(state, quantity, theme, wide=wide)


def measures_figure(frame: Frame, theme: Theme, wide: bool = False) -> go.Figure:
    """ACC, ASR and RA over all rounds recorded."""
    original = frame.summary.original
    assert original is not None
    values: dict[str, dict[str, np.ndarray]] = {}
    for name in ("acc", "asr", "ra"):
        if getattr(original, name) is not None:
            values[name] = {
                view: np.array([_share(original, name), *(_share(getattr(e.views, view), name) for e in frame.entries)])
                for view in VIEWS
            }
    spans, end = _axis(frame)
    return measure_curves(np.arange(frame.last + 1), values, spans, end, theme, frame.shown, wide)


def losses_figure(frame: Frame, theme: Theme, wide: bool = False) -> go.Figure:
    """Every loss term over all rounds recorded."""
    records = [entry.record for entry in frame.entries]
    names = dict.fromkeys(name for record in records for name in record.losses)
    terms = {name: np.array([record.losses.get(name, np.nan) for record in records]) for name in names}
    terms["total"] = np.array([record.total for record in records])
    spans, end = _axis(frame)
    return loss_curves(np.arange(1, frame.last + 1), terms, spans, end, theme, frame.shown, wide)


def inner_figure(frame: Frame, theme: Theme) -> go.Figure:
    """The inner problem's shares over all rounds recorded."""
    reports = [entry.record.inner for entry in frame.entries]
    shares = {name: np.array([np.nan if r is None else getattr(r, name) for r in reports]) for name in SHARES}
    spans, end = _axis(frame)
    return inner_curves(np.arange(1, frame.last + 1), shares, spans, end, theme, frame.shown)


@dataclass(frozen=True)
class Examples:
    """Examples of one round's perturbations.

    Attributes:
        images: the clean images, with their true classes.
        perturbations: float [E, C, H, W] in the units of [0, 1], may be negative; zeros where the round made none.
        probabilities: answers of the three views to the perturbed images, float [3, E, K]; None where it made none.
    """

    images: LabelledImages
    perturbations: np.ndarray
    probabilities: np.ndarray | None

    @property
    def clean(self) -> np.ndarray:
        """The clean images, float32 [E, C, H, W] in [0, 1]."""
        return self.images.pixels.transpose(0, 3, 1, 2).astype(np.float32) / 255


def examples(frame: Frame, dataset: str) -> Examples:
    """The examples of the frame's round; in a phase that makes none, the same images without a perturbation."""
    spec, stored = frame.summary.spec, frame.run.examples_at(frame.round)
    budget = clean_budget(dataset, spec.spc, spec.seed)
    chosen = budget.take(np.arange(min(EXAMPLES, len(budget))) if stored is None else stored.indices)
    if stored is None:
        return Examples(chosen, np.zeros_like(chosen.pixels.transpose(0, 3, 1, 2), np.float32), None)
    return Examples(chosen, stored.perturbations, stored.probabilities)


def _axis(frame: Frame) -> tuple[tuple[PhaseSpan, ...], int]:
    spans = phase_spans([entry.record.phase for entry in frame.entries])
    return spans, axis_end(frame.last, most_rounds(frame.summary.spec.config, frame.entries))


def _batch(frame: Frame, classes: int) -> int:
    spec = frame.summary.spec
    return min(spec.spc * classes, spec.config.batch_size)


def _share(measures: Measures, name: str) -> float:
    value = getattr(measures, name)
    return float("nan") if value is None else value
