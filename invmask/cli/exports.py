"""`figures` and `export`: the files that the page Export makes, without a browser."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from invmask.cli.runs import store
from invmask.cli.tables import print_json
from invmask.errors import UserError
from invmask.masks.state import View
from invmask.runs.store.run import Run

LOOK_AGAIN_SECONDS = 0.3

SUFFIXES = (".safetensors", ".onnx")
NOT_MEASURED = (
    "Evidence of Neurons or hard cuts of Tune are not measured yet, and their figures are left out; --measure measures "
    "them first."
)


def figures(arguments: argparse.Namespace) -> int:
    """Write a run's figures into a folder."""
    from invmask.exports.archive import check_formats, write_figures
    from invmask.figures.paper import PAGE_MM, WIDTHS_MM
    from invmask.frames.run_records import Picks, read_records

    if arguments.width not in WIDTHS_MM:
        widths = " or ".join(map(str, WIDTHS_MM))
        raise UserError(f"--width has to be {widths}, in mm: one column of a paper or two.")
    formats = check_formats([name.strip() for name in arguments.format.split(",") if name.strip()])
    names = None if arguments.only is None else [name.strip() for name in arguments.only.split(",")]
    folder = Path(arguments.out)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--out has to name a directory, and {folder} is a file.")
    run, picks = store().run(arguments.run), Picks(arguments.sample, arguments.channel, arguments.draw)
    wide = arguments.width == PAGE_MM
    records = read_records(run, arguments.round, picks, wide)
    records.check_picks()
    if arguments.measure and records.capabilities.channels:
        _measure(run, records.frame.round)
        records = read_records(run, arguments.round, picks, wide)
    made = write_figures(folder, records, formats, names, _tell)
    for problem in made.problems:
        print(problem, file=sys.stderr)
    if records.capabilities.channels and not (records.top_cuts and records.evidence and records.cuts):
        print(NOT_MEASURED, file=sys.stderr)
    if arguments.json:
        print_json({"files": list(made.names), "problems": list(made.problems)})
    else:
        print(f"{len(made.names)} files in {folder}, figures {arguments.width} mm wide")
    return 0


def _measure(run: Run, round_taken: int) -> None:
    """Measure what the figures of Neurons and Tune need and is still missing; takes a minute or two."""
    from invmask.runs.work import cut_curves, evidence
    from invmask.runs.work.advance import Outcome
    from invmask.runs.work.gather_evidence import gather
    from invmask.runs.work.measure_cuts import measure_cuts

    for errand, work, words in (
        (cut_curves.ERRAND, measure_cuts, "hard cuts"),
        (evidence.ERRAND, gather, "evidence about the channels"),
    ):
        print(f"Measuring {words}", file=sys.stderr)
        errand.ask(run, round_taken)
        while work(run.path) is Outcome.BUSY:
            # A dashboard's worker is measuring; it releases the lock after a few seconds.
            time.sleep(LOOK_AGAIN_SECONDS)
        if (problem := errand.problem(run)) is not None:
            print(problem, file=sys.stderr)


def export(arguments: argparse.Namespace) -> int:
    """Write the repaired model, or the mask alone; or the replay of the run, as a page or a moving picture."""
    if sum(each is not None for each in (arguments.out, arguments.replay, arguments.gif)) != 1:
        raise UserError("Give one of --out FILE for the model, --replay FILE and --gif FILE for the replay.")
    if arguments.out is None:
        return _replay(arguments) if arguments.gif is None else _moving_picture(arguments)
    path = _file("--out", arguments.out, SUFFIXES)
    if arguments.view not in [None, *View, "mask"]:
        raise UserError(f"There is no view '{arguments.view[:40]}'; choose from: {', '.join([*View, 'mask'])}.")
    from invmask.exports.mask_file import write_mask
    from invmask.exports.model import write_onnx, write_weights
    from invmask.exports.source import take_masks

    source = take_masks(store().run(arguments.run), arguments.round, arguments.mask)
    if arguments.view == "mask":
        if path.suffix != ".safetensors":
            raise UserError("The mask alone is written as .safetensors.")
        write_mask(path, source)
        print(f"{path}: the mask of {source.victim.card.name}, {source.words}")
        return 0
    write = write_onnx if path.suffix == ".onnx" else write_weights
    view = View(arguments.view) if arguments.view else source.repair.views[1]
    check = write(path, source, view)
    print(f"{path}: {view} view of {source.victim.card.name}, {source.words}")
    print(check.sentence(), file=sys.stdout if check.holds else sys.stderr)
    return 0 if check.holds else 1


def _replay(arguments: argparse.Namespace) -> int:
    from invmask.exports.replay.page import write_replay
    from invmask.frames.run_records import read_records

    path = _file("--replay", arguments.replay, (".html",))
    _all_rounds("--replay", arguments)
    records = read_records(store().run(arguments.run))
    write_replay(path, records)
    print(f"{path}: rounds 0 to {records.frame.last} of {records.run.id}, {path.stat().st_size / 1e6:.1f} MB")
    return 0


def _moving_picture(arguments: argparse.Namespace) -> int:
    from invmask.exports.moving_picture import FORMATS, write_moving_picture
    from invmask.frames.run_records import read_records

    path = _file("--gif", arguments.gif, tuple(FORMATS))
    _all_rounds("--gif", arguments)
    records = read_records(store().run(arguments.run))
    pictures = write_moving_picture(path, records)
    print(f"{path}: {pictures} pictures of {records.run.id}, {path.stat().st_size / 1e6:.1f} MB")
    return 0


def _all_rounds(option: str, arguments: argparse.Namespace) -> None:
    for name in ("view", "round", "mask"):
        if getattr(arguments, name) is not None:
            raise UserError(f"--{name} does not go with {option}, which has all views and rounds.")


def _file(option: str, name: str, suffixes: Sequence[str]) -> Path:
    """The file that an option names.

    Raises:
        UserError: another ending, a directory, or in a folder that is not there.
    """
    path = Path(name)
    if path.suffix not in suffixes:
        raise UserError(f"{option} has to end in {' or '.join(suffixes)}, not in '{path.name[-40:]}'.")
    if path.is_dir():
        raise UserError(f"{option} has to name a file, and {path} is a directory.")
    if not path.parent.is_dir():
        raise UserError(f"There is no directory {path.parent} to write to.")
    return path


def _tell(done: int, total: int, title: str) -> None:
    if title:
        print(f"{done + 1}/{total} {title}", file=sys.stderr)
