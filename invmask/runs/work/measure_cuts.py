"""The third kind of work: measure hard cuts of a run's masks, one after the other, and store them on disk."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from invmask.evidence.threshold import Cut, CutPoint, Order, cut_order, cuts, hard_masks
from invmask.masks.repair import Gates
from invmask.masks.state import GATED, Masks, View
from invmask.measure.views import view_probabilities
from invmask.runs.store.run import Run
from invmask.runs.store.staleness import check_victim
from invmask.runs.work import cut_curves
from invmask.runs.work.advance import Outcome
from invmask.runs.work.bench import Bench, has_device, make_bench
from invmask.runs.work.cut_curves import CutCurves
from invmask.runs.work.scores import run_scores
from invmask.settings import victim_folders


def measure_cuts(path: Path, seconds: float | None = None, patience: float = 0.0) -> Outcome:
    """Measure the requested cuts of the run in `path` for about `seconds`; at least one cut.

    Errors are stored in the run and not raised.

    Args:
        seconds: None to measure everything.
        patience: seconds to wait for another process that measures the same run, before giving up as `BUSY`.
    """
    return cut_curves.ERRAND.do(path, cut_curves.has_work, _pieces, seconds, patience)


def coarse_to_fine(count: int) -> list[int]:
    """0 to count - 1, both ends first, then ever finer in between, so that a curve shows its shape early."""
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
    spec, round_taken = run.spec(), cut_curves.ERRAND.wanted(run)
    assert round_taken is not None
    torch.set_num_threads(spec.threads)
    check_victim(run)
    if not has_device(spec.device):
        # A run on an accelerator, measured on a machine without one: the closest precision available.
        spec = replace(spec, device="cpu", precision="float32")
    masks = run.masks_at(round_taken)
    bench = make_bench(spec, victim_folders(run.home))
    masks = Masks(masks.mask.to(spec.device), masks.selection.to(spec.device), masks.steepness)
    clean = _Answered.by(bench, masks, bench.subject.images)
    triggered = _triggered(run, round_taken, clean)
    wanted = {order: cuts(masks, order) for order in Order}
    scores = run_scores(run, round_taken, bench.victim).to(spec.device)
    perturbed = 0 if triggered is None else len(triggered.images)
    found = cut_curves.read_curves(run, round_taken) or _nothing_yet(
        bench, masks, perturbed, sum(map(len, wanted.values())), cut_curves.curves_key(run)
    )
    for order in Order:
        channels = cut_order(masks, order, scores)
        for place in coarse_to_fine(len(wanted[order])):
            cut, points = wanted[order][place], found.points[order]
            if any(point.cut == cut for point in points):
                continue
            fresh = _measure(bench, hard_masks(masks, channels[: cut.channels]), cut, clean, triggered)
            points = tuple(sorted((*points, fresh), key=lambda point: point.cut.channels))
            found = replace(found, points={**found.points, order: points})
            cut_curves.write_curves(run, round_taken, found)
            yield


@dataclass(frozen=True)
class _Answered:
    """Images [N, C, H, W] and the answers that they should get, int64 [N]."""

    images: Tensor
    answers: Tensor

    @classmethod
    def by(cls, bench: Bench, masks: Masks, images: Tensor) -> "_Answered":
        """The images with the original view's answers."""
        return cls(images, _answers(bench, masks, View.ORIGINAL, images))

    def share(self, bench: Bench, masks: Masks) -> float:
        """The share of images, in [0, 1], for which the pruned view gives these answers."""
        return float((_answers(bench, masks, View.PRUNED, self.images) == self.answers).double().mean())


def _triggered(run: Run, round_taken: int, clean: _Answered) -> _Answered | None:
    """Budget images with the round's synthesized trigger, and the answers to the clean images; None without a trigger.

    A trigger that all images share is put on the whole budget. Otherwise only the few stored example images are used.
    """
    stored = run.examples_at(round_taken)
    if stored is None:
        return None
    if stored.shared is not None:
        return _Answered(clean.images + torch.from_numpy(stored.shared).to(clean.images.device), clean.answers)
    changes = torch.from_numpy(stored.perturbations.astype(np.float32)).to(clean.images.device)
    places = torch.from_numpy(stored.indices.astype(np.int64))
    return _Answered(clean.images[places.to(clean.images.device)] + changes, clean.answers[places])


def _measure(bench: Bench, hard: Masks, cut: Cut, clean: _Answered, triggered: _Answered | None) -> CutPoint:
    measures = bench.measure(bench.probe, Gates(hard), (View.PRUNED, View.INVERSE))
    restored = None if triggered is None else triggered.share(bench, hard)
    return CutPoint(cut, measures[View.PRUNED], measures[View.INVERSE], clean.share(bench, hard), restored)


def _nothing_yet(bench: Bench, masks: Masks, perturbed: int, total: int, key: str) -> CutCurves:
    measures = bench.measure(bench.probe, Gates(masks), GATED)
    return CutCurves(
        original=measures[View.ORIGINAL],
        learned=(measures[View.PRUNED], measures[View.INVERSE]),
        budget=len(bench.subject.images),
        perturbed=perturbed,
        points=dict.fromkeys(Order, ()),
        total=total,
        key=key,
    )


def _answers(bench: Bench, masks: Masks, view: View, images: Tensor) -> Tensor:
    return view_probabilities(bench.subject.model, Gates(masks), [view], images, bench.spec.precision)[0].argmax(1)
