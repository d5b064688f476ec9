"""Good files of every kind that invmask reads or recognises, from which `benchmarks.fuzz` makes damaged ones."""

import argparse
import io
import pathlib
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn


class Small(nn.Module):
    """A network with every usual part, small enough that damage hits its description as often as its numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3)
        self.norm = nn.BatchNorm2d(2)
        self.head = nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, 3, H, W] to [N, 2]."""
        return self.head(self.norm(self.conv(x)).relu().mean((2, 3)))


@dataclass(frozen=True)
class Seed:
    """A kind of file.

    Attributes:
        write: writes a good one to a path.
        ending: of the file's name.
        images: whether it is read as images, and not as weights.
    """

    write: Callable[[Path], None]
    ending: str
    images: bool = False


def _wrapped(path: Path) -> None:
    torch.save(
        {
            "net": {f"module.{name}": tensor.half() for name, tensor in Small().state_dict().items()},
            "acc": np.float64(95.1),
            "data": {"indices": np.arange(5), "when": datetime(2026, 1, 2, tzinfo=UTC)},
            "args": argparse.Namespace(lr=0.1, out=pathlib.PurePosixPath("/tmp/x")),
        },
        path,
    )


def _exported(path: Path) -> None:
    torch.export.save(torch.export.export(Small().eval(), (torch.zeros(1, 3, 8, 8),)), path)


def _scripted(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(Small()).save(str(path))


def _onnx(path: Path) -> None:
    from onnx import TensorProto, helper, save

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    save(helper.make_model(helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", ends[:1], ends[1:])), path)


def _picture(form: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, (12, 10, 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, form)
    return content.getvalue()


def _pictures(form: str) -> Callable[[Path], None]:
    """One picture beside a good one, in an archive, so that the damaged one can be left out."""

    def write(path: Path) -> None:
        path.write_bytes(_picture(form))

    return write


def _archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("cat/0.png", "cat/1.png", "dog/0.png"):
            archive.writestr(name, _picture("PNG"))
        archive.writestr("labels.csv", _table())


def _table() -> str:
    return "file,label\na.png,cat\nb.png,dog\nc.png,cat\n"


def _csv(path: Path) -> None:
    path.write_text(_table())


def _hdf5(path: Path) -> None:
    # Only its first bytes are ever looked at.
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(range(256)) * 4)


def _arrays(path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 255, (4, 6, 6, 3), dtype=np.uint8)
    np.savez(path, images=images, labels=np.array([0, 1, 1, 0]))


def _one_array(path: Path) -> None:
    np.save(path, np.random.default_rng(0).random((4, 6, 6, 3)).astype(np.float32))


SEEDS: dict[str, Seed] = {
    "safetensors": Seed(lambda path: save_file(Small().state_dict(), path), ".safetensors"),
    "torch.save": Seed(lambda path: torch.save(Small().state_dict(), path), ".pt"),
    "torch.save, old form": Seed(
        lambda path: torch.save(Small().state_dict(), path, _use_new_zipfile_serialization=False), ".pth"
    ),
    "torch.save, beside other objects": Seed(_wrapped, ".pth.tar"),
    "torch.save, whole network": Seed(lambda path: torch.save(Small(), path), ".pth"),
    "torch.export": Seed(_exported, ".pt2"),
    "TorchScript": Seed(_scripted, ".pt"),
    "ONNX": Seed(_onnx, ".onnx"),
    "HDF5": Seed(_hdf5, ".h5"),
    "PNG": Seed(_pictures("PNG"), ".png", True),
    "JPEG": Seed(_pictures("JPEG"), ".jpg", True),
    "WebP": Seed(_pictures("WEBP"), ".webp", True),
    "BMP": Seed(_pictures("BMP"), ".bmp", True),
    "PPM": Seed(_pictures("PPM"), ".ppm", True),
    "TIFF": Seed(_pictures("TIFF"), ".tiff", True),
    "GIF": Seed(_pictures("GIF"), ".gif", True),
    "CSV": Seed(_csv, ".csv", True),
    "zip of pictures": Seed(_archive, ".zip", True),
    "npz": Seed(_arrays, ".npz", True),
    "npy": Seed(_one_array, ".npy", True),
}
"""The kinds by name."""
GOOD_PICTURE = _picture("PNG")
