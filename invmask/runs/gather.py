"""The second kind of work: gather evidence about a run's channels, a few seconds at a time, and leave it on disk."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from invmask.attacks.victims import Victim, load_victim
from invmask.data.budget import probe
from invmask.evidence.ablation import Ablation, random_sets
from invmask.evidence.activation import activation_change
from invmask.evidence.conductance import layer_conductance
from invmask.evidence.scores import highest
from invmask.machine import Precision
from invmask.masks.state import MaskLayout
from invmask.memory import MIB, bounded
from invmask.runs import evidence
from invmask.runs.advance import Outcome
from invmask.runs.evidence import RANDOM_SETS, TOP, TopSet, VictimEvidence
from invmask.runs.keys import check_victim
from invmask.runs.run import Run
from invmask.runs.scores import run_scores
from invmask.runs.subject import ProbeImages, has_device
from invmask.settings import victim_folders

CONDUCTANCE_IMAGES = 18
CHUNK = 8
BENCH_BYTES = 384 * MIB
"""Of what evidence is gathered with: a victim, its images and what its blocks answer to them."""


@dataclass(frozen=True)
class _Bench:
    """What the evidence of one victim is gathered with, kept between two units of work."""

    victim: Victim
    layout: MaskLayout
    images: ProbeImages
    ablation: Ablation
    precision: Precision
    key: str


def gather(path: Path, seconds: float | None = None, patience: float = 0.0) -> Outcome:
    """Gather what is wanted of the run in `path` for about `seconds`; at least one piece. Wrongs are written down.

    Args:
        seconds: all there is to do if None.
        patience: seconds to wait for another process that gathers for the same run, before giving up as `BUSY`.
    """
    return evidence.ERRAND.do(path, evidence.has_work, _pieces, seconds, patience)


def _pieces(run: Run) -> Iterator[None]:
    """Piece after piece, each on disk before the next: first the comparison that the page leads with."""
    spec, round_taken = run.spec(), evidence.wanted(run)
    assert round_taken is not None
    torch.set_num_threads(spec.threads)
    check_victim(run)
    bench = _bench(run)
    yield from _compare(run, bench, round_taken)
    yield from _examine(run, bench)


def _compare(run: Run, bench: _Bench, round_taken: int) -> Iterator[None]:
    found = evidence.top_set(run, round_taken)
    channels = highest(run_scores(run, round_taken, bench.victim), TOP)
    # Where no channel scores, as before the first round, there is nothing to hold against random sets.
    sets = random_sets(bench.layout, channels, RANDOM_SETS) if channels else []
    if found is None:
        original, top = bench.ablation.cut([[], channels])
        found = TopSet(tuple(channels), original, top, (), len(sets), evidence.top_set_key(run))
        evidence.write_top_set(run, round_taken, found)
    while not found.complete:
        done = len(found.random)
        more = tuple(bench.ablation.cut(sets[done : done + 4]))
        found = replace(found, random=found.random + more)
        evidence.write_top_set(run, round_taken, found)
        yield


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
    """Pieces in order: the change under the trigger, the conductance layer by layer, then channels cut in chunks."""
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
    """What was gathered for another run of the same victim."""
    for path in sorted(run.path.parent.glob(f"*/{evidence.VICTIM}"), reverse=True):
        found = evidence.stored_evidence(Run(path.parents[1]))
        if found is not None and found.complete and found.key == key:
            return found
    return None


def _bench(run: Run) -> _Bench:
    spec = run.spec()
    # Of an accelerator's run in float32, so that it is the same, to rounding, on machines without one.
    precision: Precision = spec.precision if spec.device == "cpu" else "float32"
    device = spec.device if has_device(spec.device) else "cpu"
    folders = tuple(victim_folders(run.path.parents[1]))
    return _make_bench(spec.victim, folders, precision, device, evidence.victim_evidence_key(run))


@bounded(BENCH_BYTES, latest_stays=True)
def _make_bench(name: str, folders: tuple[Path, ...], precision: Precision, device: str, key: str) -> _Bench:
    victim = load_victim(name, list(folders))
    victim.model.to(device)
    layout = MaskLayout.of(victim.model)
    images = ProbeImages.of(probe(victim.card.dataset, evidence.PER_CLASS), victim, device)
    ablation = Ablation(victim.model, layout, images, precision=precision)
    return _Bench(victim, layout, images, ablation, precision, key)
