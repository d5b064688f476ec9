"""The masks of all rounds, packed: 8 bits a number, as changes from round to round, compressed."""

import base64
import zlib
from typing import Any

import numpy as np

from invmask.exports.replay.bounds import fitting
from invmask.figures.channels import QUANTITIES, short_names
from invmask.figures.ramps import gate_scale, selection_scale
from invmask.frames.frame import Frame

MOST_BYTES = 1_500_000
"""Compressed bytes of all masks, at most."""
MOST_UNPACKED = 24_000_000
"""Bytes of all masks in the browser's memory, at most."""
ENDS = {"selection": ("left alone", "selected"), "pruned": ("cut", "passes"), "inverse": ("cut", "passes")}


def channel_maps(frame: Frame) -> dict[str, Any] | None:
    """Masks and selections of all rounds, the layers and the colours; None if the defence has no masks.

    `packed` holds uint8 [rounds, 2, channels], mask and selection times 255. Each round is stored as its difference
    from the kept round before, modulo 256; the first one as it is. Base64 of a zlib stream.
    """
    history, layout = frame.run.mask_history(), frame.run.layout()
    if not frame.capabilities.channels or layout is None or not len(history):
        return None
    every = {number: number for number in range(frame.last + 1)}
    kept = fitting(every, lambda _: history[0].size, MOST_UNPACKED)
    while len(packed := pack(history[list(kept)])) > MOST_BYTES and len(kept) > 1:
        kept = fitting(kept, lambda _: 1, (len(kept) + 1) // 2)
    return {
        "layers": [
            [name, layer.channels] for name, layer in zip(short_names(layout.layers), layout.layers, strict=True)
        ],
        "steepness": frame.run.masks_at(0).steepness,
        "rounds": list(kept),
        "packed": base64.b64encode(packed).decode(),
        "quantities": [
            {"name": name, "title": QUANTITIES[name], "ends": ENDS[name], "scale": _scales(name)}
            for name in frame.quantities
        ],
        "selects": "selection" in frame.quantities,
    }


def pack(masks: np.ndarray) -> bytes:
    """Compress masks, float [rounds, 2, channels] in [0, 1]."""
    rounded = np.round(np.clip(masks, 0, 1) * 255).astype(np.uint8)
    changes = rounded.copy()
    changes[1:] -= rounded[:-1]
    return zlib.compress(changes.tobytes(), 9)


def _scales(quantity: str) -> dict[str, list[str]]:
    scales = {}
    for theme in ("light", "dark"):
        stops = selection_scale(theme) if quantity == "selection" else gate_scale(quantity, theme)
        scales[theme] = [colour for _, colour in stops]
    return scales
