"""Checkpoints: the file that lets a training resume after its last finished epoch, on the same machine."""

import pickle
from pathlib import Path
from typing import Any

import torch

from invmask import disk
from invmask.errors import UserError


def write(path: Path | None, state: dict[str, Any]) -> None:
    """Write `state` to the file atomically: the old content is replaced completely or not at all."""
    if path is not None:
        with disk.replacing(path) as file:
            torch.save(state, file)


def read(path: Path | None, device: torch.device, of: dict[str, Any]) -> dict[str, Any] | None:
    """The stored state; None where there is no file.

    Args:
        of: keys and values that the state has to contain; they identify the training.

    Raises:
        UserError: the file is damaged, or belongs to another training. It is not overwritten then.
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
    """The states of the random generators that dropout uses."""
    of_device = {"device": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {}
    return {"cpu": torch.get_rng_state(), **of_device}


def set_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Restore the states that `random_state` returned."""
    torch.set_rng_state(state["cpu"].cpu())
    # A training that was begun on the CPU has no state for the device.
    if device.type == "cuda" and "device" in state:
        torch.cuda.set_rng_state(state["device"].cpu(), device)
