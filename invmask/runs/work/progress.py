"""Advancing a run round by round in a worker, with the defence's state in memory and on disk."""

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

from invmask.defenses.base import PORTRAITS, Searching
from invmask.masks.repair import Gates, Repair, Weights, unchanged
from invmask.masks.state import HARD, View
from invmask.memory import MIB, least_recent_first, measure_again
from invmask.runs.store import journal
from invmask.runs.store.format import EXAMPLES, Shapes
from invmask.runs.store.goals import Want
from invmask.runs.store.records import RoundEntry, RunResult, Views
from invmask.runs.store.run import Run
from invmask.runs.store.spec import RunSpec
from invmask.runs.store.staleness import check_victim, weights_digest
from invmask.runs.work.bench import Bench, make_bench
from invmask.settings import victim_folders

MOST_WEIGHT_BYTES = 256 * MIB
"""Bound of the weights kept for all rounds of a run, if its defence changes weights."""
BENCH_BYTES = 384 * MIB
"""Bound of the cache of benches for a worker's recent runs: room for eight ResNet-18 of full width."""
_benches: LRUCache[Path, Bench] = least_recent_first(BENCH_BYTES, latest_stays=True)
_benches_lock = threading.Lock()


@dataclass
class Progress:
    """The progress of a run. Only the holder of the run's lock may use it.

    Attributes:
        state: the defence's state, of the defence's own type.
        stored: the same state as stored on disk.
    """

    run: Run
    bench: Bench
    shapes: Shapes
    state: Any
    stored: journal.StoredState

    @classmethod
    def take_up(cls, run: Run) -> "Progress":
        """Resume from the stored state, or begin the run.

        Raises:
            UserError: the files are damaged, or the victim is missing or has been replaced.
        """
        bench = _bench(run)
        # Set this in the current thread: OpenMP keeps the number per thread, and Dask runs tasks in its own threads.
        torch.set_num_threads(bench.spec.threads)
        check_victim(run)
        shapes, weights = run.shapes(), weights_digest(bench.spec.victim, victim_folders(run.home))
        stored = journal.load(run, shapes) if shapes is not None else None
        if shapes is not None and stored is not None:
            tensors, numbers = stored.packed
            tensors = {name: _onto(bench.subject.device, tensor) for name, tensor in tensors.items()}
            return cls(run, bench, shapes, bench.defense.unpack(tensors, numbers), stored)
        state = bench.defense.init(bench.subject)
        repair = bench.defense.repair(state)
        shapes = _shapes(bench, repair, weights)
        stored = journal.begin(run, shapes, repair, _place(bench, state))
        return cls(run, bench, shapes, state, stored)

    def may_end(self, want: Want) -> bool:
        """Whether the run can end: the defence is done, or the request asks for an end and no further round."""
        return self.stored.ended is not None or want.wants_end(self.stored.round)

    def take_round(self) -> RoundEntry:
        """Take one round, measure the views, and store both."""
        bench, before = self.bench, self.bench.defense.repair(self.state)
        started = time.perf_counter()
        self.state, record = bench.defense.step(bench.subject, self.state)
        seconds = time.perf_counter() - started
        repair = bench.defense.repair(self.state)
        entry = RoundEntry(record, self._views(before, repair), seconds)
        examples = bench.defense.examples(self.state) if record.synthesis is not None else None
        place = _place(bench, self.state)
        defense = bench.defense
        found = defense.candidates(bench.subject, self.state) if isinstance(defense, Searching) else None
        self.stored = journal.commit(self.run, self.shapes, self.stored, entry, repair, examples, place, found)
        return entry

    def _views(self, before: Repair, after: Repair) -> Views:
        """Measures of the views after the current round, on the probe. They are measured only if something changed."""
        if self.stored.round and unchanged(before, after):
            # Read from disk, so that a resumed run uses the same values.
            return self.run.entry(self.stored.round).views
        # The original view does not change.
        measures = self.bench.measure(self.bench.probe, after, after.views[1:])
        return Views(self.shapes.original, **{view.value: of for view, of in measures.items()})

    def end(self, want: Want) -> RunResult:
        """Measure the views on all embedded test images, and store how the run ended."""
        bench, ended = self.bench, self.stored.ended
        repair, entries = bench.defense.repair(self.state), self.run.entries()
        measures = bench.measure(bench.all_test_images(), repair, repair.views)
        taken = Counter(entry.record.stage for entry in entries)
        result = RunResult(
            stopped_because=ended or want.because or f"Stopped by hand after round {self.stored.round}.",
            finished=ended is not None,
            round=self.stored.round,
            rounds={name: taken[name] for name in bench.spec.stages},
            seconds=math.fsum(entry.seconds for entry in entries),
            counts=entries[-1].record.counts if entries else {},
            notes=_last_told(entries),
            views=Views(**{view.value: of for view, of in measures.items()}),
        )
        journal.write_result(self.run, result)
        # Free its models now instead of when other runs need the memory.
        with _benches_lock:
            _benches.pop(self.run.path, None)
        return result


def prepare(spec: RunSpec, home: Path, take_round: bool) -> None:
    """Load what a run with this victim needs, or take its first round, because the first one of a process is slow.

    Args:
        home: the folder of runs and of the user's own victims.
        take_round: whether to take the round, which is not stored.
    """
    torch.set_num_threads(spec.threads)
    bench = make_bench(spec, victim_folders(home))
    if take_round:
        state = bench.defense.init(bench.subject)
        bench.measure(bench.probe, bench.defense.repair(state), (View.ORIGINAL,))
        bench.defense.step(bench.subject, state)


def _bench(run: Run) -> Bench:
    """The run's own bench, kept between two units of work. Runs never share one, as they cannot share a model."""
    spec = run.spec()
    with _benches_lock:
        # A bench needs more memory once its run has begun.
        measure_again(_benches)
        bench = _benches.pop(run.path, None)
    if bench is None or bench.spec != spec:
        # The home is that of the run, not of this process's settings: it may be a worker of a lab's cluster.
        bench = make_bench(spec, victim_folders(run.home))
    with _benches_lock:
        _benches[run.path] = bench
    return bench


def _last_told(entries: tuple[RoundEntry, ...]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for entry in entries:
        told |= {name: note for name, note in entry.record.notes.items() if note is not None}
    return told


def _shapes(bench: Bench, repair: Repair, weights: str | None) -> Shapes:
    _, channels, height, width = bench.subject.images.shape
    return Shapes(
        layers=tuple((layer.name, layer.channels) for layer in bench.layout.layers),
        image=(channels, height, width),
        classes=bench.subject.num_classes,
        examples=min(EXAMPLES, len(bench.subject.images)),
        original=bench.measure(bench.probe, repair, (View.ORIGINAL,))[View.ORIGINAL],
        weights=weights,
        views=repair.views,
        steepness=repair.masks.steepness if isinstance(repair, Gates) else HARD,
        kept_every=_kept_every(bench) if isinstance(repair, Weights) else 1,
        candidates=min(PORTRAITS, bench.subject.num_classes) if isinstance(bench.defense, Searching) else 0,
    )


def _kept_every(bench: Bench) -> int:
    """The interval in rounds at which weights are kept, so that a run's weights need at most `MOST_WEIGHT_BYTES`."""
    config, stages = bench.spec.config, bench.spec.entry.stages
    size = sum(tensor.numel() * tensor.element_size() for tensor in bench.subject.model.state_dict().values())
    return max(1, math.ceil(sum(config.rounds(stage.name) for stage in stages) * size / MOST_WEIGHT_BYTES))


def _place(bench: Bench, state: Any) -> journal.Place:
    return journal.Place(bench.defense.stage(state), bench.defense.done(state), bench.defense.pack(state))


def _onto(device: torch.device, tensor: Tensor) -> Tensor:
    # uint8 tensors are random states, which stay on the CPU whatever the device of the networks.
    return tensor if tensor.dtype == torch.uint8 else tensor.to(device)
