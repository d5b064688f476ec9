"""Weights in an archive of `torch.export`, read without rebuilding the program in it."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from invmask.models.pickled_weights import unpickle

_CONFIG = "data/weights/model_weights_config.json"
_OLD = "serialized_state_dict.pt"
_MOST_BYTES = 4 << 30
# Numbers of data types in the archive's description (torch.export's schema, version 1 and later).
_TYPES = {
    1: torch.uint8,
    2: torch.int8,
    3: torch.int16,
    4: torch.int32,
    5: torch.int64,
    6: torch.float16,
    7: torch.float32,
    8: torch.float64,
    12: torch.bool,
    13: torch.bfloat16,
}


def read_exported(path: Path) -> dict[str, Tensor]:
    """The weights by name, as in the `state_dict` of the network that was exported.

    Raises:
        ValueError: a tensor is stored in a way that is not known here, or does not fit its description.
        Exception: of other types, if the archive is damaged; call it in `invmask.confined`.
    """
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        old = [name for name in names if name.rpartition("/")[2] == _OLD]
        if old:
            found = unpickle(io.BytesIO(_member(archive, old[0]))).found
            if not isinstance(found, dict):
                raise ValueError("no state_dict")
            return {str(name): tensor for name, tensor in found.items() if isinstance(tensor, Tensor)}
        config = next(name for name in names if name.endswith(_CONFIG))
        described = json.loads(_member(archive, config))["config"]
        folder = config.rpartition("/")[0]
        return {name: _tensor(archive, folder, one) for name, one in described.items()}


def _tensor(archive: zipfile.ZipFile, folder: str, described: dict[str, Any]) -> Tensor:
    meta = described["tensor_meta"]
    kind = _TYPES.get(meta["dtype"])
    if described.get("use_pickle") or kind is None:
        raise ValueError("a tensor that is not stored as plain numbers")
    sizes, strides = ([int(one["as_int"]) for one in meta[key]] for key in ("sizes", "strides"))
    flat = torch.frombuffer(bytearray(_member(archive, f"{folder}/{described['path_name']}")), dtype=kind)
    # PyTorch checks that the view stays within the numbers that are there.
    return torch.as_strided(flat, sizes, strides, int(meta["storage_offset"]["as_int"]))


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).file_size > _MOST_BYTES:
        raise ValueError("too large")
    return archive.read(name)
