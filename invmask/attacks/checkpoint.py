"""What a training needs to go on after its last finished epoch, in a file of one's own machine."""

from pathlib import Path
from typing import Any

import torch


def write(path: Path | None, state: dict[str, Any]) -> None:
    """Replace the file by `state`, at once or not at all."""
    if path is not None:
        partial = path.with_suffix(".part")
        torch.save(state, partial)
        partial.replace(path)


def read(path: Path | None, device: torch.device, of: dict[str, Any]) -> dict[str, Any] | None:
    """What was written; None where there is nothing, or where it belongs to another training.

    Args:
        of: what has to be in it, word for word, for it to belong here.
    """
    if path is None or not path.exists():
        return None
    saved = torch.load(path, map_location=device, weights_only=True)
    # A key that an older version did not write stands for the default, which is an empty one.
    return saved if all(saved.get(key, {}) == value for key, value in of.items()) else None
