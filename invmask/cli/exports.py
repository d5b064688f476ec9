"""`figures` and `export`: what the page Export makes, without a browser."""

import argparse
import sys
from pathlib import Path

from invmask.cli.runs import store
from invmask.cli.tables import print_json
from invmask.errors import UserError
from invmask.masks.state import View

SUFFIXES = (".safetensors", ".onnx")


def figures(arguments: argparse.Namespace) -> int:
    """Write a run's figures into a folder."""
    from invmask.exports.archive import check_formats, write_figures
    from invmask.exports.records import Picks, read_records

    formats = check_formats([name.strip() for name in arguments.format.split(",") if name.strip()])
    names = None if arguments.only is None else [name.strip() for name in arguments.only.split(",")]
    folder = Path(arguments.out)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--out has to name a directory, and {folder} is a file.")
    picks = Picks(arguments.sample, arguments.channel, arguments.draw)
    records = read_records(store().run(arguments.run), arguments.round, picks)
    made = write_figures(folder, records, formats, names, _tell)
    for problem in made.problems:
        print(problem, file=sys.stderr)
    if arguments.json:
        print_json({"files": list(made.names), "problems": list(made.problems)})
    else:
        print(f"{len(made.names)} files in {folder}")
    return 0


def export(arguments: argparse.Namespace) -> int:
    """Write the repaired model, or the mask alone."""
    path = Path(arguments.out)
    if path.suffix not in SUFFIXES:
        raise UserError(f"--out has to end in {' or '.join(SUFFIXES)}, not in '{path.name[-40:]}'.")
    if not path.parent.is_dir():
        raise UserError(f"There is no directory {path.parent} to write to.")
    if arguments.view not in [*View, "mask"]:
        raise UserError(f"There is no view '{arguments.view[:40]}'; choose from: {', '.join([*View, 'mask'])}.")
    from invmask.exports.mask_file import write_mask
    from invmask.exports.model import write_onnx, write_weights
    from invmask.exports.source import take_masks

    source = take_masks(store().run(arguments.run), arguments.round, arguments.mask)
    if arguments.view == "mask":
        if path.suffix != ".safetensors":
            raise UserError("The mask alone is written as .safetensors.")
        write_mask(path, source)
        print(f"{path}: the mask of {source.victim.card.name} after round {source.round}")
        return 0
    write = write_onnx if path.suffix == ".onnx" else write_weights
    check = write(path, source, View(arguments.view))
    print(f"{path}: {arguments.view} view of {source.victim.card.name}, round {source.round}")
    print(check.sentence(), file=sys.stdout if check.holds else sys.stderr)
    return 0 if check.holds else 1


def _tell(done: int, total: int, title: str) -> None:
    if title:
        print(f"{done + 1}/{total} {title}", file=sys.stderr)
