"""Masks that users made by hand and named, kept in the run's directory: ``masks/<name>.safetensors``."""

import re
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors import numpy as tensors

from invmask.errors import UserError
from invmask.masks.state import HARD, Masks
from invmask.runs.store import files
from invmask.runs.store.run import Run

FOLDER = "masks"
SUFFIX = ".safetensors"
LEARNED, NOTHING, TOP = "learned", "nothing cut", "top"
"""Reserved names: the run's own masks, masks that cut nothing, and masks that cut a ranking's first channels."""
_TAKEN = {LEARNED: "the run's own mask", NOTHING: "the original network", TOP: "the cut of the top channels"}

_NAME = re.compile(r"[A-Za-z0-9_-](?:[A-Za-z0-9 _-]{0,38}[A-Za-z0-9_-])?", re.ASCII)
# Two floats per channel and a short header: no valid file comes near this size.
_MOST_BYTES = 64 << 20


def check_name(name: str) -> str:
    """`name` without spaces around it.

    Raises:
        UserError: the name is not 1 to 40 letters, digits, spaces, - and _; or it is reserved: `LEARNED`, `NOTHING`,
            `TOP`.
    """
    name = name.strip(" ")
    if not _NAME.fullmatch(name):
        raise UserError("The name of a mask is 1 to 40 letters a to z, digits, spaces, - and _; choose another.")
    if name.lower() in _TAKEN:
        raise UserError(f"'{name}' is what {_TAKEN[name.lower()]} is called; choose another name.")
    return name


def list_names(run: Run) -> list[str]:
    """The names of a run's masks, in alphabetical order."""
    found = (path.stem for path in (run.path / FOLDER).glob(f"*{SUFFIX}") if not path.name.startswith("."))
    return sorted((name for name in found if _NAME.fullmatch(name)), key=lambda name: (name.lower(), name))


def save(run: Run, name: str, masks: Masks) -> str:
    """Store `masks` under a name, and replace earlier masks of that name; returns the name as stored.

    Raises:
        UserError: the name is not valid, the masks have another network's size, or the run was deleted.
    """
    name = check_name(name)
    arrays = {key: np.ascontiguousarray(getattr(masks, key).cpu().numpy()) for key in ("mask", "selection")}
    _check_size(run, arrays["mask"], name)
    folder = run.path / FOLDER
    try:
        folder.mkdir(exist_ok=True)
        content = tensors.save(arrays, {"steepness": repr(float(masks.steepness))})
        files.write_bytes(folder / (name + SUFFIX), content)
    except OSError as error:
        raise UserError(f"The mask '{name}' could not be written to run {run.id}; see whether it is there.") from error
    return name


def load(run: Run, name: str) -> Masks:
    """Load the masks of that name.

    Raises:
        UserError: there are no such masks, or the file is damaged.
    """
    path = _existing(run, name)
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError("too large")
        found = tensors.load(path.read_bytes())
        mask, selection = (np.asarray(found[key], np.float32) for key in ("mask", "selection"))
        if mask.shape != selection.shape or mask.ndim != 1 or not _fractions(mask) or not _fractions(selection):
            raise ValueError("not masks")
        steepness = _steepness(path, run)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise UserError(f"The mask '{name}' of run {run.id} is damaged; delete it on the page Neurons.") from error
    _check_size(run, mask, name)
    return Masks(torch.from_numpy(mask.copy()), torch.from_numpy(selection.copy()), steepness)


def delete(run: Run, name: str) -> None:
    """Delete the masks of that name.

    Raises:
        UserError: there are no such masks.
    """
    _existing(run, name).unlink(missing_ok=True)


def stamp(run: Run, name: str) -> int:
    """A value that changes when other masks are stored under the name; 0 if there are none."""
    try:
        return (run.path / FOLDER / (name + SUFFIX)).stat().st_mtime_ns if _NAME.fullmatch(name) else 0
    except OSError:
        return 0


def _existing(run: Run, name: str) -> Path:
    names = list_names(run)
    if name not in names:
        there = f"it has: {', '.join(names)}" if names else "none was saved on Neurons or Tune"
        raise UserError(f"Run {run.id} has no mask named '{name[:40]}'; {there}.")
    return run.path / FOLDER / (name + SUFFIX)


def _steepness(path: Path, run: Run) -> float:
    from safetensors import safe_open

    with safe_open(path, "np") as file:
        metadata = file.metadata() or {}
    shapes = run.shapes()
    return float(metadata.get("steepness", HARD if shapes is None else shapes.steepness))


def _fractions(values: np.ndarray) -> bool:
    return bool(((values >= 0) & (values <= 1)).all())


def _check_size(run: Run, mask: np.ndarray, name: str) -> None:
    shapes = run.shapes()
    if shapes is None or mask.shape != (shapes.channels,):
        raise UserError(f"The mask '{name}' has another number of channels than run {run.id}; delete it.")
