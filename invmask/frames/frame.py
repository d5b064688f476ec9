"""The state of a run after one of its rounds, and the figures of the page Defend made from it."""

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from invmask.data.budget import clean_budget
from invmask.data.images import LabelledImages
from invmask.defenses.base import Synthesis
from invmask.defenses.entry import Capabilities, Entry
from invmask.figures.channels import GATES, QUANTITIES, ChannelState, channel_map
from invmask.figures.inner import SHARES, flip_labels, inner_curves
from invmask.figures.losses import TermWords, loss_curves
from invmask.figures.measures import measure_curves
from invmask.figures.palette import Theme
from invmask.figures.rounds import PhaseSpan, axis_end, phase_spans
from invmask.figures.stage_map import stage_map
from invmask.masks.state import GATED, View
from invmask.measure.metrics import Measures
from invmask.runs.store.records import RoundEntry, RunSummary, Views
from invmask.runs.store.run import Run
from invmask.runs.store.spec import RunSpec

EXAMPLES = 8


@dataclass(frozen=True)
class Frame:
    """The state of a run after round `round`; `last` rounds are recorded.

    Attributes:
        shown: `round` if the reader went back to it, None while the latest is followed.
        entry: the record of the round; None for round 0.
        views: measures of the views on the run's probe; at round 0 all views equal the original.
        repair_views: the names of the views, in order.
    """

    run: Run
    summary: RunSummary
    entries: tuple[RoundEntry, ...]
    round: int
    shown: int | None
    entry: RoundEntry | None
    views: Views
    repair_views: tuple[View, ...] = GATED

    @property
    def last(self) -> int:
        return len(self.entries)

    @property
    def synthesis(self) -> Synthesis | None:
        """How well the perturbations of the round work; None if it made none."""
        return self.entry.record.synthesis if self.entry else None

    @property
    def searching(self) -> bool:
        """Whether a search for label and trigger is under way after the round."""
        following = self.entries[self.round].record.stage if self.round < self.last else self.summary.stage
        ended = self.round == self.last and self.summary.result is not None
        return self.capabilities.searches and following == self.defense.stages[0].name and not ended

    @property
    def defense(self) -> Entry:
        """The defence's description in the registry."""
        return self.summary.spec.entry

    @property
    def capabilities(self) -> Capabilities:
        """What the defence can show."""
        return self.defense.capabilities

    @property
    def quantities(self) -> tuple[str, ...]:
        """The quantities that the map of all channels can show; only gates if the defence does not select channels."""
        return tuple(QUANTITIES) if self.capabilities.invertible else GATES


def read_frame(run: Run, asked: int | None = None) -> Frame | None:
    """Read the run at round `asked`; None before work on the run began.

    The latest round is read if `asked` is None or has not been reached.

    Raises:
        UserError: the run is damaged or deleted.
    """
    summary = run.summary()
    if summary.original is None:
        return None
    entries = run.entries()
    shown = None if asked is None else min(asked, len(entries))
    number = len(entries) if shown is None else shown
    entry = entries[number - 1] if number else None
    original, shapes = summary.original, run.shapes()
    assert shapes is not None
    return Frame(
        run=run,
        summary=summary,
        entries=entries,
        round=number,
        shown=shown,
        entry=entry,
        views=entry.views if entry else Views(**{view.value: original for view in shapes.views}),
        repair_views=shapes.views,
    )


def most_rounds(spec: RunSpec, entries: tuple[RoundEntry, ...]) -> int:
    """The maximum total number of rounds of the run. Stages that ended early count with their real length."""
    names = [stage.name for stage in spec.entry.stages]
    taken = dict.fromkeys(names, 0)
    ended = set()
    for entry in entries:
        taken[entry.record.stage] += 1
        if entry.record.stage_ended is not None:
            ended.add(entry.record.stage)
    return sum(taken[name] if name in ended else spec.config.rounds(name) for name in names)


def stage_titles(defense: Entry) -> dict[str, tuple[str, str]]:
    """The title and the short title of each stage, for figures."""
    return {stage.name: (stage.title, stage.short) for stage in defense.stages}


def labels_figure(frame: Frame, classes: tuple[str, ...], target: int | None, theme: Theme) -> go.Figure:
    """The labels to which the perturbations of the frame's round flip answers."""
    found = frame.synthesis
    if found is None:
        return flip_labels([0] * len(classes), _batch(frame, len(classes)), classes, theme, target)
    return flip_labels(found.flipped_to, found.samples, classes, theme, target)


def map_figure(frame: Frame, quantity: str, theme: Theme, wide: bool = False) -> go.Figure:
    """The map of all channels after the frame's round."""
    return channel_map(_channels(frame), quantity, theme, wide=wide)


def stage_figure(frame: Frame, quantity: str, theme: Theme) -> go.Figure:
    """The same map for a place whose height is not known, without each layer's counts."""
    return stage_map(_channels(frame), quantity, theme)


def measures_figure(frame: Frame, theme: Theme, wide: bool = False) -> go.Figure:
    """ACC, ASR and RA over all rounds recorded."""
    original = frame.summary.original
    assert original is not None
    values: dict[str, dict[str, np.ndarray]] = {}
    for name in ("acc", "asr", "ra"):
        if getattr(original, name) is not None:
            values[name] = {
                view.value: np.array(
                    [_share(original, name), *(_share(e.views.present()[view], name) for e in frame.entries)]
                )
                for view in frame.repair_views
            }
    spans, end = _axis(frame)
    return measure_curves(np.arange(frame.last + 1), values, spans, end, theme, frame.shown, wide)


def losses_figure(frame: Frame, theme: Theme, wide: bool = False) -> go.Figure:
    """Every loss term over all rounds recorded."""
    records = [entry.record for entry in frame.entries]
    names = dict.fromkeys(name for record in records for name in record.terms)
    terms = {name: np.array([record.terms.get(name, np.nan) for record in records]) for name in names}
    terms["total"] = np.array([record.total for record in records])
    words = {
        name: TermWords(term.title, term.share, term.view, term.since, term.unit)
        for name, term in frame.defense.terms.items()
    }
    spans, end = _axis(frame)
    return loss_curves(np.arange(1, frame.last + 1), terms, words, spans, end, theme, frame.shown, wide)


def inner_figure(frame: Frame, theme: Theme) -> go.Figure:
    """The inner problem's shares over all rounds recorded."""
    reports = [entry.record.synthesis for entry in frame.entries]
    shares = {name: np.array([np.nan if r is None else getattr(r, name) for r in reports]) for name in SHARES}
    spans, end = _axis(frame)
    return inner_curves(np.arange(1, frame.last + 1), shares, spans, end, theme, frame.shown)


@dataclass(frozen=True)
class Examples:
    """Examples of one round's perturbations.

    Attributes:
        images: the clean images, with their true classes.
        perturbations: float [E, C, H, W] in the units of [0, 1], may be negative; zeros if the round made none.
        probabilities: softmax probabilities of the views for the perturbed images, float [V, E, K]; None if it made
            none.
        views: the names of the V views.
    """

    images: LabelledImages
    perturbations: np.ndarray
    probabilities: np.ndarray | None
    views: tuple[View, ...] = GATED

    @property
    def clean(self) -> np.ndarray:
        """The clean images, float32 [E, C, H, W] in [0, 1]."""
        return self.images.pixels.transpose(0, 3, 1, 2).astype(np.float32) / 255


def examples(frame: Frame, dataset: str) -> Examples:
    """The examples of the frame's round; if the round made none, the same images without a perturbation."""
    spec, stored = frame.summary.spec, frame.run.examples_at(frame.round)
    budget = clean_budget(dataset, spec.spc, spec.seed)
    chosen = budget.take(np.arange(min(EXAMPLES, len(budget))) if stored is None else stored.indices)
    if stored is None:
        return Examples(
            chosen, np.zeros_like(chosen.pixels.transpose(0, 3, 1, 2), np.float32), None, frame.repair_views
        )
    return Examples(chosen, stored.perturbations, stored.probabilities, frame.repair_views)


def _channels(frame: Frame) -> ChannelState:
    masks, layout = frame.run.masks_at(frame.round), frame.run.layout()
    assert layout is not None
    return ChannelState(
        layers=layout.layers,
        mask=masks.mask.numpy(),
        selection=masks.selection.numpy(),
        pruned_gate=masks.gate(View.PRUNED).numpy(),
        inverse_gate=masks.gate(View.INVERSE).numpy(),
        selects="selection" in frame.quantities,
    )


def _axis(frame: Frame) -> tuple[tuple[PhaseSpan, ...], int]:
    spans = phase_spans([entry.record.stage for entry in frame.entries], stage_titles(frame.defense))
    return spans, axis_end(frame.last, most_rounds(frame.summary.spec, frame.entries))


def _batch(frame: Frame, classes: int) -> int:
    spec = frame.summary.spec
    return min(spec.spc * classes, getattr(spec.config, "batch_size", spec.spc * classes))


def _share(measures: Measures, name: str) -> float:
    value = getattr(measures, name)
    return float("nan") if value is None else value
