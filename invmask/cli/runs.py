"""`runs`, `show`, `rename` and `delete`, and a run as JSON."""

import contextlib
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from invmask import settings
from invmask.cli.tables import per_cent, print_json, print_table
from invmask.defenses.verdict import verdict_words
from invmask.errors import UserError
from invmask.masks.state import View
from invmask.measure.metrics import Measures
from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.records import RoundEntry, RunSummary, Views, verdict
from invmask.runs.store.run import Run
from invmask.victims.victim import VictimCard, find_cards, read_card
from invmask.victims.without_trigger import missing

_COLUMNS: dict[str, Callable[[RunSummary], str]] = {
    "name": lambda run: run.name or "-",
    "victim": lambda run: run.spec.victim,
    "defence": lambda run: run.spec.entry.title,
    "preset": lambda run: run.spec.preset,
    "SPC": lambda run: str(run.spec.spc),
    "seed": lambda run: str(run.spec.seed),
    "made": lambda run: datetime.fromtimestamp(run.created, UTC).astimezone().strftime("%Y-%m-%d %H:%M"),
    "state": lambda run: run.state,
    "round": lambda run: str(run.round),
    "ASR %": lambda run: per_cent(run.result.views.defended.asr if run.result else None),
}
"""Columns of the list of runs after the id; ASR is that of the pruned or repaired view at the end."""


def store() -> RunStore:
    """The runs of this machine's home."""
    return RunStore(settings.runs_folder())


def show_all(as_json: bool) -> int:
    """Print every run, newest first. Damaged runs are reported on stderr."""
    listing = store().listing()
    for problem in listing.problems:
        print(problem, file=sys.stderr)
    if as_json:
        print_json([brief(summary) for summary in listing.runs])
    elif listing.runs:
        print_table(["run", *_COLUMNS], [[run.id, *(of(run) for of in _COLUMNS.values())] for run in listing.runs])
    else:
        print("There are no runs; make one with 'python -m invmask defend VICTIM'.", file=sys.stderr)
    return 0


def show(run_id: str, as_json: bool) -> int:
    """Print one run."""
    run = store().run(run_id)
    summary = run.summary()
    if as_json:
        print_json({**full(run, summary), **brief(summary)})
        return 0
    if summary.name:
        print(summary.name)
    print(f"{summary.id}: {summary.state}, {summary.round} rounds, next or last stage {summary.stage}")
    if summary.message:
        print(summary.message)
    print_outcome(run, summary)
    return 0


def rename(run_id: str, name: str) -> int:
    """Name a run; an empty name removes the run's name."""
    runs = store()
    runs.rename(run_id, name)
    given = runs.run(run_id).name()
    print(f"Run {run_id} is called '{given}' now." if given else f"Run {run_id} has no name now.", file=sys.stderr)
    return 0


def delete(run_id: str) -> int:
    """Delete one run."""
    store().delete(run_id)
    print(f"Deleted run {run_id}.", file=sys.stderr)
    return 0


def outcome(run: Run, summary: RunSummary) -> dict[str, Any]:
    """The JSON object of `--json`. Before the end, measures are the last round's on the run's probe, or None."""
    entries = run.entries()
    last, result, spec = entries[-1] if entries else None, summary.result, summary.spec
    views = result.views if result else last.views if last else None
    counts = result.counts if result else last.record.counts if last else {}
    taken = Counter(entry.record.stage for entry in entries)
    shapes = run.shapes()
    return {
        "run": summary.id,
        "victim": spec.victim,
        "spc": spec.spc,
        "seed": spec.seed,
        "defense": spec.defense,
        "preset": spec.preset,
        "stopped_because": summary.stopped_because,
        "rounds": {name: taken[name] for name in spec.stages},
        "seconds": sum(entry.seconds for entry in entries),
        "channels": shapes.channels if shapes else None,
        "verdict": None if (told := verdict(summary, entries)) is None else asdict(told),
        **counts,
        "original": _measures(views.original if views else summary.original),
        **{
            f"{view}_view": _measures(views.of(view) if views else None)
            for view in (shapes.views[1:] if shapes else ())
        },
    }


def full(run: Run, summary: RunSummary) -> dict[str, Any]:
    """`outcome`, and all settings and measurements of the run."""
    spec = summary.spec
    measured = _measured(summary, run.entries())
    return {
        **outcome(run, summary),
        "precision": spec.precision,
        "device": spec.device,
        "threads": spec.threads,
        "versions": spec.versions,
        "settings": spec.config.as_json(),
        "measured_on": None if measured is None else {"clean": measured.n_clean, "triggered": measured.n_triggered},
    }


def brief(summary: RunSummary) -> dict[str, Any]:
    """A run in the list of runs."""
    return {
        "run": summary.id,
        "name": summary.name or None,
        "victim": summary.spec.victim,
        "spc": summary.spec.spc,
        "seed": summary.spec.seed,
        "defense": summary.spec.defense,
        "preset": summary.spec.preset,
        "created": datetime.fromtimestamp(summary.created, UTC).isoformat(),
        "state": summary.state.value,
        "stage": summary.stage,
        "round": summary.round,
        "stopped_because": summary.stopped_because,
        "message": summary.message,
    }


def print_outcome(run: Run, summary: RunSummary) -> None:
    """Print the outcome as text."""
    values, entries = outcome(run, summary), run.entries()
    spec = summary.spec
    print(f"{spec.victim}, SPC {spec.spc}, seed {spec.seed}, {spec.made_by}, {spec.precision}")
    if summary.stopped_because:
        print(summary.stopped_because)
    if (told := verdict(summary, entries)) is not None:
        print(f"Verdict: {verdict_words(told, _classes(spec.victim))}.")
    rounds = ", ".join(f"{stage} {count}" for stage, count in values["rounds"].items())
    print(f"Rounds: {rounds}; {values['seconds']:.1f} s")
    counts = entries[-1].record.counts if entries else {}
    if counts:
        print(", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in counts.items()).capitalize())
    measured = _measured(summary, entries)
    if measured is None:
        return
    more = f" and {measured.n_triggered} triggered" if measured.n_triggered else ""
    print(f"On {measured.n_clean} clean{more} test images:")
    rows = [
        [name, *(per_cent(values[key][measure]) for measure in ("acc", "asr", "ra"))]
        for name, key in (("original", "original"), *((view, f"{view}_view") for view in View))
        if values.get(key) is not None
    ]
    print_table(["view", "ACC %", "ASR %", "RA %"], rows)
    for sentence in _missing(spec.victim):
        print(sentence)


def _classes(victim: str) -> Sequence[str]:
    """The names of the victim's classes; empty if the victim or its data set is missing."""
    with contextlib.suppress(KeyError, UserError):
        return _card(victim).dataset_info.classes
    return ()


def _missing(victim: str) -> list[str]:
    """Sentences about measures that the victim does not have; none if the victim or its data set is missing."""
    with contextlib.suppress(KeyError, UserError):
        return missing(_card(victim))
    return []


def _card(victim: str) -> VictimCard:
    return read_card(find_cards(settings.victim_folders())[victim])


def _measured(summary: RunSummary, entries: tuple[RoundEntry, ...]) -> Measures | None:
    views: Views | None = summary.result.views if summary.result else entries[-1].views if entries else None
    return views.original if views else summary.original


def _measures(measures: Measures | None) -> dict[str, float | None] | None:
    return None if measures is None else {"acc": measures.acc, "asr": measures.asr, "ra": measures.ra}
