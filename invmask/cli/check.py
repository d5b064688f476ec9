"""`check`: bring in a model of one's own, search it for a backdoor, and repair it, in this process.

The exit status is the verdict: 0 no sign of a backdoor, 3 undecided, 4 likely backdoored; 2 if it could not be done.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from invmask import settings
from invmask.cli.exports import SUFFIXES
from invmask.cli.runs import store
from invmask.cli.tables import per_cent, print_json, print_table
from invmask.data.budget import budget_size, most_spc
from invmask.data.own import own_folder
from invmask.defenses import registry
from invmask.defenses.verdict import LIKELY, NO_SIGN, UNDECIDED, Verdict, verdict_words
from invmask.errors import UserError
from invmask.exports.model import write_onnx, write_weights
from invmask.exports.source import take_masks
from invmask.masks.state import View
from invmask.runs.store.goals import Goal, Want
from invmask.runs.store.records import RunState, RunSummary, verdict
from invmask.runs.store.run import Run
from invmask.runs.work.bench import spec_of
from invmask.victims.bring import Brought
from invmask.victims.bring_files import Request, bring_files, read_list
from invmask.victims.unlike import unlike, warning
from invmask.victims.victim import Victim
from invmask.victims.without_trigger import missing

STATUS = {NO_SIGN: 0, UNDECIDED: 3, LIKELY: 4}
FAILED = 2


def check(arguments: argparse.Namespace) -> int:
    """Do it all; returns the exit status."""
    out = None if arguments.out is None else _out(arguments.out)
    if arguments.code is not None:
        print(f"This runs the code in {arguments.code.rpartition(':')[0]}.", file=sys.stderr)
    victim = bring_files(_request(arguments))
    _tell(victim, arguments.json)
    run, summary, told = _defended(victim, min(arguments.spc, most_spc(victim.card.dataset)), arguments.seed)
    path = out or own_folder(victim.card.dataset) / f"{Path(arguments.file).stem[:60]}.repaired.safetensors"
    written = _repaired(run, path)
    if arguments.json:
        print_json(_as_json(victim, run, told, written))
    else:
        _print(victim, summary, told, written)
    return STATUS[told.word]


def _request(arguments: argparse.Namespace) -> Request:
    return Request(
        weights=str(Path(arguments.file).expanduser().absolute()),
        images=str(Path(arguments.images).expanduser().absolute()),
        entry=arguments.entry,
        architecture=arguments.architecture,
        code=arguments.code,
        outputs=arguments.outputs,
        mean=arguments.mean,
        std=arguments.std,
        size=arguments.size,
        labels=arguments.labels,
        listed=None if arguments.classes is None else read_list(Path(arguments.classes).expanduser()),
        part=arguments.part,
        layers=tuple(arguments.layers.split(",")) if arguments.layers else (),
        anyway=arguments.anyway,
    )


def _out(name: str) -> Path:
    path = Path(name)
    if path.suffix not in SUFFIXES:
        raise UserError(f"--out has to end in {' or '.join(SUFFIXES)}, not in '{path.name[-40:]}'.")
    if not path.parent.is_dir():
        raise UserError(f"There is no directory {path.parent} to write to.")
    return path


def _defended(victim: Victim, spc: int, seed: int) -> tuple[Run, RunSummary, Verdict]:
    """Run the default defence to its end in this process."""
    from invmask.cli.defend import advanced

    entry = registry.entry(registry.DEFAULT)
    spec = spec_of(victim.card.name, entry.first_preset, spc, seed)
    runs = store()
    run = runs.create(spec, Want(Goal.FINISH))
    advanced(runs, run)
    if not run.exists():
        raise UserError(f"Run {run.id} was deleted meanwhile; check the model again.")
    summary = run.summary()
    if summary.state is RunState.FAILED:
        raise UserError(f"The defence failed: {summary.message}")
    told = verdict(summary, run.entries())
    if summary.result is None or told is None:
        raise UserError(f"Run {run.id} is paused; go on with 'python -m invmask resume {run.id}'.")
    return run, summary, told


def _repaired(run: Run, path: Path) -> Path:
    source = take_masks(run)
    write = write_onnx if path.suffix == ".onnx" else write_weights
    found = write(path, source, View.PRUNED)
    if not found.holds:
        print(found.sentence(), file=sys.stderr)
    return path


def _tell(victim: Victim, as_json: bool) -> None:
    """Say what was recognised, before minutes are spent; on stderr if stdout is for JSON."""
    card, brought, file = victim.card, Brought.of(victim.card), sys.stderr if as_json else sys.stdout
    assert brought is not None
    for sentence in (*brought.notes, brought.outputs):
        print(sentence, file=file)
    best = brought.normalisations[0]
    shares = "" if best["acc"] is None else f", ACC {per_cent(best['acc'])} % with it (n = {best['n']:,})"
    mean, std = (", ".join(f"{value:.4g}" for value in best[name]) for name in ("mean", "std"))
    print(f"Normalisation: {best['title']}, mean {mean}, std {std}{shares}.", file=file)
    sides = " x ".join(map(str, card.dataset_info.shape[1:]))
    print(f"Images: {sides}; {sum(brought.counts):,} of {sum(map(bool, brought.counts)):,} classes.", file=file)


def _caution(victim: Victim, run: Run) -> str | None:
    spc = run.spec().spc
    return warning(unlike(victim.card, victim.model, budget_size(victim.card.dataset, spc), spc))


def _as_json(victim: Victim, run: Run, told: Verdict, written: Path) -> dict[str, Any]:
    card, summary = victim.card, run.summary()
    assert summary.result is not None
    views = summary.result.views
    candidates = run.candidates_at(run.summary().round)
    synthesized = None
    if candidates is not None and told.label in candidates.labels.tolist():
        place = candidates.labels.tolist().index(told.label)
        synthesized = {
            "label": told.label,
            "class": card.dataset_info.classes[told.label],
            "family": candidates.family,
            "size": float(candidates.sizes[place]),
            "flips": float(candidates.flips[place]),
        }
    return {
        "architecture": card.architecture,
        "classes": list(card.dataset_info.classes),
        "victim": card.name,
        "acc": card.acc,
        # What is measured on images without labels is agreement with the original.
        "agreement": None if card.acc is not None else views.defended.acc,
        "repaired_acc": views.defended.acc if card.acc is not None else None,
        "verdict": {
            "word": told.word,
            "probability": told.probability,
            "label": told.label,
            "lead": told.lead,
            "family": told.family,
        },
        "warning": _caution(victim, run),
        "synthesized": synthesized,
        "run": run.id,
        "repaired": str(written),
    }


def _print(victim: Victim, summary: RunSummary, told: Verdict, written: Path) -> None:
    assert summary.result is not None
    classes = victim.card.dataset_info.classes
    print(f"\nVerdict: {verdict_words(told, classes)}.")
    caution = _caution(victim, store().run(summary.id))
    if caution is not None:
        print(caution)
    views = summary.result.views
    word = "ACC %" if victim.card.acc is not None else "agreement %"
    print(f"On {views.original.n_clean} clean test images:")
    print_table(["view", word], [[str(view), per_cent(of.acc)] for view, of in views.present().items()])
    for sentence in missing(victim.card):
        print(sentence)
    print(f"Run {summary.id}; look at it with 'invmask app' ({settings.home()}).")
    print(f"Repaired model: {written}")
