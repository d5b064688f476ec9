"""The data of the page Neurons about a run's channels, read or computed once for all sessions, in bounded caches."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from invmask.data.budget import budget_size, probe
from invmask.data.images import LabelledImages
from invmask.errors import UserError
from invmask.frames.channels import Channels, known_channels
from invmask.masks import edit
from invmask.masks.repair import Gates
from invmask.masks.state import Masks, View
from invmask.measure.metrics import Measures
from invmask.measure.views import view_probabilities
from invmask.runs.store import named_masks
from invmask.runs.store.records import RunSummary
from invmask.runs.work import evidence
from invmask.runs.work.bench import ProbeImages
from invmask.runs.work.scores import Synthesized, run_scores, synthesized_change
from invmask.ui.neurons.neurons_choice import LEARNED, NOTHING, TOP, Decided
from invmask.ui.shell import cache, shared_results
from invmask.victims.victim import CLEAN, VictimCard

HIGH_SCORE = 0.25
CUT_BELOW = 0.5
"""A channel whose gate is below this counts as cut, as everywhere."""
_UNTOUCHED = Decided((), ())


@dataclass(frozen=True)
class Base:
    """The start of cuts by hand: `TOP`, `LEARNED`, `NOTHING` or the name of a mask; for `TOP`, the cut channels too."""

    name: str
    top: tuple[int, ...] = ()


_ORIGINAL = Base(NOTHING)


@dataclass(frozen=True)
class WhatIf:
    """The pruned view's measures on the run's probe before and after cuts by hand.

    Attributes:
        original, base, now: measures of the original network, of the mask that the cuts start from, and with the cuts.
        original_answers, now_answers: softmax probabilities, float32 [N + M, K], clean images first.
        gates: gates of the pruned view with the cuts, float32 [channels] in [0, 1].
    """

    original: Measures
    base: Measures
    now: Measures
    original_answers: Tensor
    now_answers: Tensor
    gates: Tensor

    @property
    def cut(self) -> set[int]:
        """The channels that are cut now, whether by hand or not."""
        return set(torch.nonzero(self.gates < CUT_BELOW).flatten().tolist())


@dataclass(frozen=True)
class ControlScores:
    """The scores of a clean control's run: its summary, the number of high scores, of how many, and the highest."""

    run: RunSummary
    high: int
    channels: int
    highest: float


def channels_at(run_id: str, round_taken: int, stamp: int, target: bool) -> Channels:
    """Everything known about the channels at a round, with the evidence gathered so far.

    Args:
        stamp: the victim's stamp.
        target: whether the victim has a trigger.

    Raises:
        UserError: no such run or round.
    """
    run = cache.store().run(run_id)
    layout = run.layout()
    assert layout is not None
    spec = run.spec()
    return known_channels(
        layout,
        run.masks_at(round_taken),
        scores_at(run_id, round_taken, stamp),
        budget_size(cache.victim(spec.victim).card.dataset, spec.spc),
        _synthesized_change(run_id, round_taken, stamp),
        evidence.victim_evidence(run),
        target,
    )


@shared_results.copied(spinner="Running the synthesized triggers")
def _synthesized_change(run_id: str, round_taken: int, stamp: int) -> Synthesized | None:  # noqa: ARG001
    run = cache.store().run(run_id)
    return synthesized_change(run, round_taken, cache.victim(run.spec().victim))


def base_masks(run_id: str, round_taken: int, base: Base) -> Masks:
    """The masks that cuts by hand start from.

    Raises:
        UserError: no such masks.
    """
    run = cache.store().run(run_id)
    learned = run.masks_at(round_taken)
    if base.name == LEARNED:
        return learned
    if base.name in (NOTHING, TOP):
        return edit.cut(edit.nothing_cut(learned), base.top)
    return named_masks.load(run, base.name)


def what_if(run_id: str, round_taken: int, base: Base, by_hand: Decided) -> WhatIf:
    """The pruned view's measures and answers, computed exactly for any set of channels.

    Raises:
        UserError: no such run, round or mask.
    """
    run = cache.store().run(run_id)
    spec = run.spec()
    stamp = cache.victim_stamp(spec.victim)
    return _what_if(run_id, round_taken, base, named_masks.stamp(run, base.name), by_hand, stamp)


def probe_images(victim: str, per_class: int) -> tuple[LabelledImages, ProbeImages]:
    """The images on which a what-if is measured, and the same images with the victim's trigger."""
    found = cache.victim(victim)
    images = probe(found.card.dataset, per_class)
    return images, ProbeImages.of(images, found)


def has_control(card: VictimCard) -> bool:
    """Whether there is a clean control of the same data set and architecture."""
    wanted = (CLEAN, card.dataset, card.architecture)
    return any((other.attack, other.dataset, other.architecture) == wanted for other in cache.victim_cards().values())


def control_scores(card: VictimCard, summary: RunSummary) -> ControlScores | None:
    """Scores of a clean control with the same data set and architecture, preferably of a run with the same settings.

    None if there is no such run.
    """
    cards = cache.victim_cards()
    runs = [
        run
        for run in cache.listing().runs
        if run.round
        and run.spec.defense == summary.spec.defense
        and (other := cards.get(run.spec.victim)) is not None
        and (other.attack, other.dataset, other.architecture) == (CLEAN, card.dataset, card.architecture)
    ]
    wanted = (summary.spec.preset, summary.spec.spc)
    runs.sort(key=lambda run: ((run.spec.preset, run.spec.spc) == wanted, run.result is not None, run.id))
    if not runs:
        return None
    try:
        scores = scores_at(runs[-1].id, runs[-1].round, cache.victim_stamp(runs[-1].spec.victim))
    except UserError:
        return None
    return ControlScores(runs[-1], int((scores > HIGH_SCORE).sum()), len(scores), float(scores.max()))


@shared_results.copied(spinner="Scoring the channels")
def scores_at(run_id: str, round_taken: int, stamp: int) -> np.ndarray:  # noqa: ARG001
    """The channel scores after a round, float32 [channels] in [0, 1).

    Args:
        stamp: the victim's stamp.
    """
    run = cache.store().run(run_id)
    return run_scores(run, round_taken, cache.victim(run.spec().victim)).numpy()


@shared_results.copied(spinner="Asking the views")
def _what_if(run_id: str, round_taken: int, base: Base, base_stamp: int, by_hand: Decided, stamp: int) -> WhatIf:
    run = cache.store().run(run_id)
    spec, masks = run.spec(), base_masks(run_id, round_taken, base)
    _, images = probe_images(spec.victim, spec.probe_per_class)
    before = _answers(run_id, round_taken, base, base_stamp, _UNTOUCHED, stamp)
    recorded: dict[Base, Measures | None] = {}
    if cache.another_victim(run_id) is None:
        # Use the run's own measurements, as other pages do: a new measurement may be rounded differently.
        learned = run.entry(round_taken).views.pruned if round_taken else None
        recorded = {Base(LEARNED): learned, _ORIGINAL: run.summary().original}
    untouched = _answers(run_id, round_taken, _ORIGINAL, 0, _UNTOUCHED, stamp)
    original = recorded.get(_ORIGINAL)
    if original is None:
        original = images.flags(untouched.argmax(1)).measures()
    start = _ORIGINAL if base == Base(TOP) else base
    measured = recorded.get(start) or images.flags(before.argmax(1)).measures()
    gates = by_hand.apply(masks).gate(View.PRUNED)
    if torch.equal(gates, masks.gate(View.PRUNED)):
        return WhatIf(original, measured, measured, untouched, before, gates)
    after = _answers(run_id, round_taken, base, base_stamp, by_hand, stamp)
    return WhatIf(original, measured, images.flags(after.argmax(1)).measures(), untouched, after, gates)


@shared_results.copied()
def _answers(
    run_id: str,
    round_taken: int,
    base: Base,
    base_stamp: int,  # noqa: ARG001
    by_hand: Decided,
    stamp: int,  # noqa: ARG001
) -> Tensor:
    """Softmax probabilities of the pruned view, float32 [N + M, K], computed as in the measurement of a run's views."""
    spec = cache.store().run(run_id).spec()
    model, masks = cache.victim(spec.victim).model, by_hand.apply(base_masks(run_id, round_taken, base))
    _, images = probe_images(spec.victim, spec.probe_per_class)
    return view_probabilities(model, Gates(masks), [View.PRUNED], images.images, spec.probe_precision)[0]
