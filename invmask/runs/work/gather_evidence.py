"""The second kind of work: gather evidence about a run's channels, a few seconds at a time, and store it on disk."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from invmask.data.budget import probe
from invmask.evidence.ablation import Ablation, random_sets
from invmask.evidence.activation import activation_change
from invmask.evidence.conductance import layer_conductance
from invmask.evidence.rankings import OF_THE_ROUND, RANKINGS, first_of
from invmask.machine import Precision
from invmask.masks import edit
from invmask.masks.repair import Gates
from invmask.masks.state import MaskLayout, Masks, View
from invmask.measure.metrics import Measures
from invmask.measure.views import view_probabilities
from invmask.memory import MIB, bounded
from invmask.runs.store.run import Run
from invmask.runs.store.staleness import check_victim
from invmask.runs.work import evidence
from invmask.runs.work.advance import Outcome
from invmask.runs.work.bench import ProbeImages, has_device
from invmask.runs.work.evidence import VictimEvidence
from invmask.runs.work.scores import run_scores, synthesized_change
from invmask.runs.work.top_cuts import DRAWS, Ranked, TopCuts, top_cuts_key, write_top_cuts
from invmask.settings import victim_folders
from invmask.victims.victim import Victim, load_victim

CONDUCTANCE_IMAGES = 18
CHUNK = 8
BENCH_BYTES = 384 * MIB
"""Bound of the cache of benches: a victim, its images and the outputs of its blocks for them."""


@dataclass(frozen=True)
class _Bench:
    """The objects with which the evidence of one victim is gathered, kept between two units of work.

    Attributes:
        images: a few images, on which every channel is cut alone.
        probe: the images on which the run's views are measured.
    """

    victim: Victim
    layout: MaskLayout
    images: ProbeImages
    probe: ProbeImages
    ablation: Ablation
    precision: Precision
    device: str
    key: str


def gather(path: Path, seconds: float | None = None, patience: float = 0.0) -> Outcome:
    """Gather the requested evidence of the run in `path` for about `seconds`; at least one piece.

    Errors are stored in the run and not raised.

    Args:
        seconds: None to gather everything.
        patience: seconds to wait for another process that gathers for the same run, before giving up as `BUSY`.
    """
    return evidence.ERRAND.do(path, evidence.has_work, _pieces, seconds, patience)


def _pieces(run: Run) -> Iterator[None]:
    """Gather piece after piece; each is stored before the next. The comparison at the top of the page comes first."""
    spec, round_taken = run.spec(), evidence.wanted(run)
    assert round_taken is not None
    torch.set_num_threads(spec.threads)
    check_victim(run)
    bench = _bench(run)
    yield from _compare(run, bench, round_taken, OF_THE_ROUND)
    yield from _examine(run, bench)
    yield from _compare(run, bench, round_taken, RANKINGS)


def _compare(run: Run, bench: _Bench, round_taken: int, names: Sequence[str]) -> Iterator[None]:
    """Measure the requested curves of these rankings; each is first measured and shown without random sets."""
    spec, masks = run.spec(), run.masks_at(round_taken)
    masks = Masks(masks.mask.to(bench.device), masks.selection.to(bench.device), masks.steepness)

    def measured(channels: Sequence[int]) -> Measures:
        # Use the computation for cuts by hand, so that equal cuts have equal numbers.
        gates = Gates(edit.cut(edit.nothing_cut(masks), channels))
        said = view_probabilities(bench.victim.model, gates, [View.PRUNED], bench.probe.images, bench.precision)
        return bench.probe.flags(said[0].argmax(1)).measures()

    found = evidence.top_cuts(run, round_taken)
    if found is None:
        wanted = _wanted(bench, run.examples_at(round_taken) is not None)
        key = top_cuts_key(run, evidence.victim_evidence_key(run))
        found = TopCuts(measured([]), wanted, {}, key)
        write_top_cuts(run, round_taken, found)
    for name in (name for name in names if name in found.wanted):
        ranked = found.of.get(name)
        if ranked is None:
            ranked = Ranked(tuple(first_of(name, _numbers(run, bench, round_taken, name))), (found.original,))
            found = replace(found, of={**found.of, name: ranked})
            write_top_cuts(run, round_taken, found)
        while not ranked.complete:
            ranked = _next_cut(ranked, measured, bench.layout, spec.seed)
            found = replace(found, of={**found.of, name: ranked})
            write_top_cuts(run, round_taken, found)
            yield


def _wanted(bench: _Bench, synthesized: bool) -> tuple[str, ...]:
    """The rankings that exist for this victim and round; `synthesized`: the round made synthesized triggers."""
    triggered = bench.probe.triggered is not None
    known = {"score": True, "synthesized": synthesized}
    return tuple(name for name in RANKINGS if known.get(name, triggered))


def _numbers(run: Run, bench: _Bench, round_taken: int, name: str) -> np.ndarray:
    """The numbers by which channels are ranked, float [channels]."""
    if name == "score":
        return run_scores(run, round_taken, bench.victim).numpy()
    if name == "synthesized":
        found = synthesized_change(run, round_taken, bench.victim)
        assert found is not None
        return found.change
    of_victim = evidence.victim_evidence(run)
    assert of_victim is not None
    return {"conductance": of_victim.conductance, "trigger": of_victim.trigger_change, "asr": of_victim.asr_change}[
        name
    ]


def _next_cut(ranked: Ranked, measured: Callable[[Sequence[int]], Measures], layout: MaskLayout, seed: int) -> Ranked:
    """Measure one more number of channels: the first of the ranking, or, when these are all done, random sets."""
    if len(ranked.top) < len(ranked.counts):
        first = ranked.channels[: ranked.counts[len(ranked.top)]]
        return replace(ranked, top=(*ranked.top, measured(first)))
    first = ranked.channels[: ranked.counts[len(ranked.random) + 1]]
    draws = tuple(measured(drawn) for drawn in random_sets(layout, first, DRAWS, seed))
    return replace(ranked, random=(*ranked.random, draws))


def _examine(run: Run, bench: _Bench) -> Iterator[None]:
    found = evidence.victim_evidence(run)
    if found is None:
        found = _of_sibling(run, bench.key) or _nothing_yet(bench)
        evidence.write_victim_evidence(run, found)
    order = bench.ablation.by_cost()
    while not found.complete:
        found = _next_piece(bench, found, order)
        evidence.write_victim_evidence(run, found)
        yield


def _next_piece(bench: _Bench, found: VictimEvidence, order: list[int]) -> VictimEvidence:
    """Do one piece, in this order: the change under the trigger, the conductance by layers, single cuts in chunks."""
    images, layers, piece = bench.images, bench.layout.layers, found.done
    if images.triggered is not None and images.targets is not None:
        clean = images.clean[images.attacked]
        wanted = images.targets.of(images.labels[images.attacked])
        if piece == 0:
            change = activation_change(bench.victim.model, bench.layout, clean, images.triggered, bench.precision)
            return replace(found, trigger_change=change.numpy(), done=1)
        if piece <= len(layers):
            layer, conductance = layers[piece - 1], found.conductance.copy()
            some = torch.linspace(0, len(clean) - 1, min(CONDUCTANCE_IMAGES, len(clean))).long()
            wanted, some = wanted[some].to(clean.device), some.to(clean.device)
            conductance[layer.slice] = layer_conductance(
                bench.victim.model, layer, images.triggered[some], clean[some], wanted
            ).numpy()
            return replace(found, conductance=conductance, n_conductance=len(some), done=piece + 1)
        piece -= 1 + len(layers)
    chunk = order[piece * CHUNK : (piece + 1) * CHUNK]
    asr, acc, before = found.asr_change.copy(), found.acc_change.copy(), found.original
    for channel, measures in zip(chunk, bench.ablation.cut([[channel] for channel in chunk]), strict=True):
        acc[channel] = measures.acc - before.acc
        if measures.asr is not None and before.asr is not None:
            asr[channel] = measures.asr - before.asr
    return replace(found, asr_change=asr, acc_change=acc, done=found.done + 1)


def _nothing_yet(bench: _Bench) -> VictimEvidence:
    unknown = np.full(bench.layout.channels, np.nan, np.float32)
    total = -(-bench.layout.channels // CHUNK)
    if bench.images.triggered is not None:
        total += 1 + len(bench.layout.layers)
    (original,) = bench.ablation.cut([[]])
    return VictimEvidence(unknown, unknown, unknown, unknown, original, 0, 0, total, bench.key)


def _of_sibling(run: Run, key: str) -> VictimEvidence | None:
    """The evidence gathered for another run of the same victim."""
    for path in sorted(run.path.parent.glob(f"*/{evidence.VICTIM}"), reverse=True):
        found = evidence.stored_evidence(Run(path.parents[1]))
        if found is not None and found.complete and found.key == key:
            return found
    return None


def _bench(run: Run) -> _Bench:
    spec = run.spec()
    # For a run on an accelerator use float32, so that machines without one give the same results up to rounding.
    precision = spec.probe_precision
    device = spec.device if has_device(spec.device) else "cpu"
    folders = tuple(victim_folders(run.home))
    key = evidence.victim_evidence_key(run)
    return _make_bench(spec.victim, folders, precision, device, spec.probe_per_class, key)


@bounded(BENCH_BYTES, latest_stays=True)
def _make_bench(
    name: str, folders: tuple[Path, ...], precision: Precision, device: str, per_class: int, key: str
) -> _Bench:
    victim = load_victim(name, list(folders))
    victim.model.to(device)
    layout = MaskLayout.of(victim.model)
    images, more = (
        ProbeImages.of(probe(victim.card.dataset, size), victim, device) for size in (evidence.PER_CLASS, per_class)
    )
    ablation = Ablation(victim.model, layout, images, precision=precision)
    return _Bench(victim, layout, images, more, ablation, precision, device, key)
