"""A run in a worker's hands: its defence's state in memory and on disk, one round at a time."""

import math
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from cachetools import LRUCache
from torch import Tensor

from invmask.defenses.ims.config import Phase
from invmask.masks.state import Masks, Sparsity, View
from invmask.memory import MIB, least_recent_first, measure_again
from invmask.runs import journal
from invmask.runs.entries import RoundEntry, RunResult, Views
from invmask.runs.keys import check_victim, weights_digest
from invmask.runs.run import Run
from invmask.runs.shapes import EXAMPLES, Shapes
from invmask.runs.subject import Bench, make_bench
from invmask.runs.wants import Want
from invmask.settings import victim_folders

BENCH_BYTES = 384 * MIB
"""Of the networks and images of runs that a worker was at last: of eight with ResNet-18 of full width."""
_benches: LRUCache[Path, Bench] = least_recent_first(BENCH_BYTES, latest_stays=True)
_benches_lock = threading.Lock()


@dataclass
class Progress:
    """For the holder of the run's lock alone.

    Attributes:
        state: the defence's, of whatever type it uses.
        stored: the same as it lies on disk.
    """

    run: Run
    bench: Bench
    shapes: Shapes
    state: Any
    stored: journal.StoredState

    @classmethod
    def take_up(cls, run: Run) -> "Progress":
        """Go on from what is stored, or begin.

        Raises:
            UserError: damaged files, or a victim that is not there or another one by now.
        """
        bench = _bench(run)
        # Of this thread: OpenMP keeps the number a thread, and Dask runs tasks in threads of its own.
        torch.set_num_threads(bench.spec.threads)
        check_victim(run)
        shapes, weights = run.shapes(), weights_digest(bench.spec.victim, victim_folders(run.path.parents[1]))
        stored = journal.load(run, shapes) if shapes is not None else None
        if shapes is not None and stored is not None:
            tensors, numbers = stored.packed
            tensors = {name: _onto(bench.subject.device, tensor) for name, tensor in tensors.items()}
            return cls(run, bench, shapes, bench.defense.unpack(tensors, numbers), stored)
        state = bench.defense.init(bench.subject)
        masks = bench.defense.masks(state)
        shapes = _shapes(bench, masks, weights)
        stored = journal.begin(run, shapes, masks, _place(bench, state))
        return cls(run, bench, shapes, state, stored)

    def may_end(self, want: Want) -> bool:
        """Whether the run is over: the defence is done, or no further round is wanted and an end is."""
        return self.stored.ended is not None or want.wants_end(self.stored.round)

    def take_round(self) -> RoundEntry:
        """One round, measured and stored."""
        bench = self.bench
        started = time.perf_counter()
        self.state, record = bench.defense.step(bench.subject, self.state)
        seconds = time.perf_counter() - started
        masks = bench.defense.masks(self.state)
        measures = bench.measure(bench.probe, masks, (View.PRUNED, View.INVERSE))
        views = Views(self.shapes.original, measures[View.PRUNED], measures[View.INVERSE])
        entry = RoundEntry(record, views, seconds)
        examples = bench.defense.examples(self.state) if record.inner is not None else None
        place = _place(bench, self.state)
        self.stored = journal.commit(self.run, self.shapes, self.stored, entry, masks, examples, place)
        return entry

    def end(self, want: Want) -> RunResult:
        """Measure the three views on all embedded test images and write down how the run ended."""
        bench, ended = self.bench, self.stored.ended
        masks = bench.defense.masks(self.state)
        measures = bench.measure(bench.all_test_images(), masks, tuple(View))
        counts, entries = Sparsity.of(masks), self.run.entries()
        taken = Counter(entry.record.phase for entry in entries)
        result = RunResult(
            stopped_because=ended or want.because or f"Stopped by hand after round {self.stored.round}.",
            finished=ended is not None,
            round=self.stored.round,
            rounds={phase.value: taken[phase] for phase in Phase},
            seconds=math.fsum(entry.seconds for entry in entries),
            channels=counts.channels,
            selected=counts.selected,
            pruned=counts.pruned,
            inverse_cut=counts.inverse_cut,
            views=Views(measures[View.ORIGINAL], measures[View.PRUNED], measures[View.INVERSE]),
        )
        journal.write_result(self.run, result)
        # Its models need not stay in memory until other runs need the room.
        with _benches_lock:
            _benches.pop(self.run.path, None)
        return result


def _bench(run: Run) -> Bench:
    """The run's own, kept between two units of work; never shared by two runs, for a model cannot be."""
    spec = run.spec()
    with _benches_lock:
        # A bench keeps more once its run has begun.
        measure_again(_benches)
        bench = _benches.pop(run.path, None)
    if bench is None or bench.spec != spec:
        # The home is where the run lies, whatever this process's settings say: it may be a worker of a lab's cluster.
        bench = make_bench(spec, victim_folders(run.path.parents[1]))
    with _benches_lock:
        _benches[run.path] = bench
    return bench


def _shapes(bench: Bench, masks: Masks, weights: str | None) -> Shapes:
    _, channels, height, width = bench.subject.images.shape
    return Shapes(
        layers=tuple((layer.name, layer.channels) for layer in bench.layout.layers),
        image=(channels, height, width),
        classes=bench.subject.num_classes,
        examples=min(EXAMPLES, len(bench.subject.images)),
        original=bench.measure(bench.probe, masks, (View.ORIGINAL,))[View.ORIGINAL],
        weights=weights,
    )


def _place(bench: Bench, state: Any) -> journal.Place:
    return journal.Place(Phase(state.phase), bench.defense.done(state), bench.defense.pack(state))


def _onto(device: torch.device, tensor: Tensor) -> Tensor:
    # Bytes are random states, which live on the CPU wherever the networks run.
    return tensor if tensor.dtype == torch.uint8 else tensor.to(device)
