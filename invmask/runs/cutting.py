"""The third kind of work: measure hard cuts of a run's masks, one after the other, and leave them on disk."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from invmask.evidence.threshold import Cut, CutPoint, Order, cut_order, cuts, hard_masks
from invmask.evidence.views import view_probabilities
from invmask.masks.state import Masks, View
from invmask.runs import tuning
from invmask.runs.advance import Outcome
from invmask.runs.run import Run
from invmask.runs.scores import run_scores
from invmask.runs.subject import Bench, make_bench
from invmask.runs.tuning import CutCurves
from invmask.settings import victim_folders


def measure_cuts(path: Path, seconds: float | None = None, patience: float = 0.0) -> Outcome:
    """Measure what is wanted of the run in `path` for about `seconds`; at least one cut. Wrongs are written down.

    Args:
        seconds: all there is to do if None.
        patience: seconds to wait for another process that measures the same run, before giving up as `BUSY`.
    """
    return tuning.ERRAND.do(path, tuning.has_work, _pieces, seconds, patience)


def coarse_to_fine(count: int) -> list[int]:
    """0 to count - 1: both ends first, then ever finer between, so that a curve has its shape early."""
    if count < 3:
        return list(range(count))
    order, gaps = [0, count - 1], [(0, count - 1)]
    for low, high in gaps:
        middle = (low + high) // 2
        if middle not in (low, high):
            order.append(middle)
            gaps += [(low, middle), (middle, high)]
    return order


def _pieces(run: Run) -> Iterator[None]:
    spec, round_taken = run.spec(), tuning.ERRAND.wanted(run)
    assert round_taken is not None
    torch.set_num_threads(spec.threads)
    masks = run.masks_at(round_taken)
    bench = make_bench(spec, victim_folders(run.path.parents[1]))
    masks = Masks(masks.mask.to(spec.device), masks.selection.to(spec.device), masks.steepness)
    reference = _budget_answers(bench, masks, View.ORIGINAL)
    wanted = {order: cuts(masks, order) for order in Order}
    scores = run_scores(run, round_taken, bench.victim).to(spec.device)
    found = tuning.read_curves(run, round_taken) or _nothing_yet(
        bench, masks, sum(map(len, wanted.values())), tuning.curves_key(run)
    )
    for order in Order:
        channels = cut_order(masks, order, scores)
        for place in coarse_to_fine(len(wanted[order])):
            cut, points = wanted[order][place], found.points[order]
            if any(point.cut == cut for point in points):
                continue
            fresh = _measure(bench, hard_masks(masks, channels[: cut.channels]), cut, reference)
            points = tuple(sorted((*points, fresh), key=lambda point: point.cut.channels))
            found = replace(found, points={**found.points, order: points})
            tuning.write_curves(run, round_taken, found)
            yield


def _measure(bench: Bench, hard: Masks, cut: Cut, reference: torch.Tensor) -> CutPoint:
    measures = bench.measure(bench.probe, hard, (View.PRUNED, View.INVERSE))
    same = _budget_answers(bench, hard, View.PRUNED) == reference
    return CutPoint(cut, measures[View.PRUNED], measures[View.INVERSE], float(same.double().mean()))


def _nothing_yet(bench: Bench, masks: Masks, total: int, key: str) -> CutCurves:
    measures = bench.measure(bench.probe, masks, tuple(View))
    return CutCurves(
        original=measures[View.ORIGINAL],
        learned=(measures[View.PRUNED], measures[View.INVERSE]),
        budget=len(bench.subject.images),
        points=dict.fromkeys(Order, ()),
        total=total,
        key=key,
    )


def _budget_answers(bench: Bench, masks: Masks, view: View) -> torch.Tensor:
    subject = bench.subject
    return view_probabilities(subject.model, masks, [view], subject.images, bench.spec.precision)[0].argmax(1)
