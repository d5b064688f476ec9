"""What a training needs to go on after its last finished epoch, in a file of one's own machine."""

import pickle
from pathlib import Path
from typing import Any

import torch

from invmask import disk
from invmask.errors import UserError


def write(path: Path | None, state: dict[str, Any]) -> None:
    """Replace the file by `state`, at once or not at all."""
    if path is not None:
        with disk.replacing(path) as file:
            torch.save(state, file)


def read(path: Path | None, device: torch.device, of: dict[str, Any]) -> dict[str, Any] | None:
    """What was written; None where there is nothing.

    Args:
        of: what has to be in it, word for word, for it to belong here.

    Raises:
        UserError: it is damaged, or belongs to another training, of which nothing shall be lost.
    """
    if path is None or not path.exists():
        return None
    try:
        saved = torch.load(path, map_location=device, weights_only=True)
    except (RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise UserError(f"{path} is damaged; delete it to begin anew.") from error
    if not isinstance(saved, dict) or not all(key in saved and saved[key] == value for key, value in of.items()):
        raise UserError(
            f"{path} is of a training with other settings, or of an earlier invmask: delete it to begin anew, or give "
            "this victim another name."
        )
    return saved


def random_state(device: torch.device) -> dict[str, Any]:
    """The states of the generators that dropout draws from."""
    of_device = {"device": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {}
    return {"cpu": torch.get_rng_state(), **of_device}


def set_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Go on drawing where `random_state` was asked for."""
    torch.set_rng_state(state["cpu"].cpu())
    # One that was begun on the CPU has none.
    if device.type == "cuda" and "device" in state:
        torch.cuda.set_rng_state(state["device"].cpu(), device)
