"""A mask alone as a file. Together with the victim it gives all three views, so no information is lost."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from invmask.errors import UserError
from invmask.exports.source import METADATA_KEY, MaskSource
from invmask.masks.state import MaskedLayer, MaskLayout, Masks
from invmask.runs.store import files

KIND = "mask"
MOST_BYTES = 64 << 20


@dataclass(frozen=True)
class MaskFile:
    """The content of a mask file.

    Attributes:
        masks: the masks; `masks.gate(view)` gives each view's gates, ones for the original.
        layout: the layers that the masks cover.
        about: the origin of the masks (`MaskSource.about`).
    """

    masks: Masks
    layout: MaskLayout
    about: dict[str, Any]


def write_mask(path: Path, source: MaskSource) -> None:
    """Write the tensors `mask` and `selection` (float32 [channels] in [0, 1]), and steepness and layers as metadata.

    Raises:
        OSError: the file cannot be written.
    """
    tensors = {
        "mask": source.masks.mask.float().contiguous(),
        "selection": source.masks.selection.float().contiguous(),
    }
    metadata = source.metadata(kind=KIND, steepness=source.masks.steepness)
    files.write_bytes(path, save(tensors, metadata))


def read_mask(path: Path) -> MaskFile:
    """Read a file that `write_mask` wrote.

    Raises:
        UserError: it is not such a file.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError("too large")
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {})[METADATA_KEY])
            mask, selection = file.get_tensor("mask"), file.get_tensor("selection")
        layers, offset = [], 0
        for name, channels in about["layers"]:
            layers.append(MaskedLayer(str(name), int(channels), offset))
            offset += int(channels)
        for vector in (mask, selection):
            if vector.dtype != torch.float32 or vector.shape != (offset,) or not ((vector >= 0) & (vector <= 1)).all():
                raise ValueError("not a mask")
        steepness = float(about["steepness"])
        if not 0 < steepness < float("inf"):
            raise ValueError("no steepness")
        return MaskFile(Masks(mask, selection, steepness), MaskLayout(tuple(layers)), about)
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, SafetensorError) as error:
        raise UserError(f"{path} is not a mask that invmask wrote; export it again.") from error
