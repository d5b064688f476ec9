"""`defend`: a run from its first round to its last, in this process.

It does the same unit of work as the dashboard's workers (`runs.work.advance`). So a dashboard on the same home can show
the run while it is under way, pause it and resume it.
"""

import argparse
import contextlib
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any, Self

from tqdm import tqdm

from invmask import settings
from invmask.cli import values
from invmask.cli.runs import outcome, print_outcome, store
from invmask.cli.tables import print_json
from invmask.defenses import registry
from invmask.defenses.entry import Entry
from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.goals import Goal, Want
from invmask.runs.store.records import RoundEntry, RunState
from invmask.runs.store.run import Run
from invmask.runs.store.spec import RunSpec
from invmask.runs.work.advance import Outcome, advance
from invmask.runs.work.bench import make_bench, spec_of

# Another process may hold the run: a dashboard's worker that took it first.
LOOK_AGAIN_SECONDS = 0.3


def defend(arguments: argparse.Namespace) -> int:
    """Create a run and advance it to its end; returns the exit status."""
    spec = _spec(arguments)
    # Find mistakes before the run is created.
    make_bench(spec, settings.victim_folders())
    most = arguments.rounds_max
    because = None if most is None else f"Stopped after {most} rounds, as --rounds-max asked."
    runs = store()
    run = runs.create(spec, Want(Goal.FINISH, most, because))
    return finish(runs, run, arguments.json)


def _spec(arguments: argparse.Namespace) -> RunSpec:
    entry = registry.entry(arguments.defense)
    return spec_of(
        arguments.victim,
        arguments.preset or entry.first_preset,
        arguments.spc,
        arguments.seed,
        changes(arguments.set, entry),
        arguments.precision,
        entry.name,
    )


def changes(given: list[str], entry: Entry) -> dict[str, Any]:
    """Parse settings of a defence given as NAME=VALUE.

    Raises:
        UserError: no such setting, or a value of another kind.
    """
    kinds = {each.name: int if each.whole else float for each in entry.config.settings() if each.name != "seed"}
    return values.changes(given, kinds, entry.title)


def finish(runs: RunStore, run: Run, as_json: bool) -> int:
    """Advance the run to its end with a progress bar, then print the result."""
    advanced(runs, run)
    if not run.exists():
        print(f"Run {run.id} was deleted.", file=sys.stderr)
        return 1
    summary = run.summary()
    if summary.state is RunState.FAILED:
        print(f"Run {run.id} failed: {summary.message}", file=sys.stderr)
        return 1
    if summary.result is None:
        print(
            f"Run {run.id} is paused after round {summary.round}; go on with 'python -m invmask resume {run.id}'.",
            file=sys.stderr,
        )
        return 1
    if as_json:
        print_json(outcome(run, summary))
    else:
        print(f"Run {run.id}")
        print_outcome(run, summary)
    return 0


def advanced(runs: RunStore, run: Run) -> None:
    """Advance the run until it ends, fails, or is paused by Control-C, with a progress bar."""
    with _pausing(runs, run), _Bar(run) as bar:
        while advance(run.path, on_round=bar.show) is Outcome.BUSY:
            time.sleep(LOOK_AGAIN_SECONDS)
            bar.catch_up()


@contextlib.contextmanager
def _pausing(runs: RunStore, run: Run) -> Iterator[None]:
    """Control-C pauses the run after the current round; a second Control-C ends the process at once."""

    def pause(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        runs.pause(run.id)
        print("\nPausing after the round in hand; press Control-C again to end at once.", file=sys.stderr)

    before = signal.signal(signal.SIGINT, pause)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class _Bar:
    """A progress bar of rounds on stderr. Its total is the maximum; it shrinks when a stage ends early."""

    def __init__(self, run: Run) -> None:
        self.run, spec = run, run.spec()
        self.config, self.shown = spec.config, 0
        until = run.want().until
        total = sum(self.config.rounds(stage.name) for stage in spec.entry.stages)
        self.bar = tqdm(
            total=min(total, until or total), unit="round", file=sys.stderr, dynamic_ncols=True, mininterval=0.5
        )

    def __enter__(self) -> Self:
        self.catch_up()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def catch_up(self) -> None:
        """Show rounds that another process took."""
        for entry in self.run.entries(self.shown):
            self.show(entry)

    def show(self, entry: RoundEntry) -> None:
        """Show one more round. A closed stderr is ignored, because the run can go on without it."""
        with contextlib.suppress(OSError):
            self._show(entry)

    def _show(self, entry: RoundEntry) -> None:
        record, defended = entry.record, entry.views.defended
        self.shown = record.round
        if record.stage_ended and self.run.want().until is None:
            self.bar.total -= self.config.rounds(record.stage) - record.round_in_stage
        view = list(entry.views.present())[1]
        asr = "" if defended.asr is None else f", ASR {100 * defended.asr:.0f} %"
        self.bar.set_description(record.stage, refresh=False)
        self.bar.set_postfix_str(f"{view} ACC {100 * defended.acc:.0f} %{asr}", refresh=False)
        self.bar.update()
