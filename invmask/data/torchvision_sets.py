"""Data sets in the form that their authors publish, read by torchvision's classes."""

import contextlib
import gzip
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from invmask.data.images import CIFAR100, FASHION_MNIST, GTSRB, MNIST, DatasetInfo, LabelledImages
from invmask.errors import UserError

DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package `dataset-fashion-mnist` puts the files."""
FOLDERS = {
    CIFAR100.name: "cifar-100-python",
    GTSRB.name: "gtsrb",
    FASHION_MNIST.name: "FashionMNIST",
    MNIST.name: "MNIST",
}
"""Folders in the data folder, by data set, as torchvision expects them."""
FILES = {
    CIFAR100.name: "the folder cifar-100-python of cifar-100-python.tar.gz",
    GTSRB.name: "a folder gtsrb with GTSRB-Training_fixed.zip, GTSRB_Final_Test_Images.zip and GTSRB_Final_Test_GT.zip "
    "unpacked",
    FASHION_MNIST.name: "the four unpacked files *-ubyte as FashionMNIST/raw (or install Debian's package "
    "dataset-fashion-mnist)",
    MNIST.name: "the four unpacked files *-ubyte as MNIST/raw",
}
"""Files that the user can put there by hand, by data set."""


def read(info: DatasetInfo, root: Path, train: bool) -> LabelledImages:
    """Read one part of a data set, in the order of its files. GTSRB's images are resized to 32x32.

    Raises:
        UserError: it is missing or damaged.
    """
    try:
        dataset = _open(info, root, train)
        if info is GTSRB:
            return _resized(dataset, info.shape[1])
        pixels, labels = np.asarray(dataset.data), np.asarray(dataset.targets, dtype=np.int64)
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        if not (root / FOLDERS[info.name]).is_dir():
            raise UserError(
                f"{info.title} is not in {root}; run 'python -m invmask data {info.name}' to fetch it, or put "
                f"{FILES[info.name]} there."
            ) from error
        raise UserError(
            f"{root / FOLDERS[info.name]} is incomplete or damaged; delete it and fetch {info.title} again."
        ) from error
    return LabelledImages(np.ascontiguousarray(pixels if pixels.ndim == 4 else pixels[..., None]), labels)


def fetch(info: DatasetInfo, root: Path) -> Path:
    """Fetch a data set into `root` if it is missing.

    Returns:
        The folder that now holds it.

    Raises:
        UserError: it cannot be reached; the message says which files to put where.
    """
    folder = root / FOLDERS[info.name]
    if folder.is_dir():
        return folder
    try:
        with whole_or_not(folder) as scratch:
            if info is FASHION_MNIST and DEBIAN_FASHION_MNIST.is_dir():
                _unpack(DEBIAN_FASHION_MNIST, scratch / folder.name / "raw")
            else:
                # Torchvision's progress messages must not mix with results on stdout.
                with contextlib.redirect_stdout(sys.stderr):
                    for train in (True, False):
                        _open(info, scratch, train, download=True)
    except (OSError, RuntimeError, ValueError, EOFError) as error:
        raise UserError(
            f"{info.title} could not be fetched from its home page; put {FILES[info.name]} into {root} and try again."
        ) from error
    return folder


@contextlib.contextmanager
def whole_or_not(folder: Path) -> Iterator[Path]:
    """Yield a temporary directory beside `folder`; at the end, its entry named like `folder` is moved there.

    So an interrupted download is never taken for the whole data set. The temporary directory links archives that the
    user has put beside `folder`, because torchvision does not download archives that it finds.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
        for archive in (*folder.parent.glob("*.tar.gz"), *folder.parent.glob("*.zip")):
            try:
                os.link(archive, Path(scratch) / archive.name)
            except OSError:  # no links here
                shutil.copy(archive, scratch)
        yield Path(scratch)
        (Path(scratch) / folder.name).replace(folder)


def _open(info: DatasetInfo, root: Path, train: bool, download: bool = False) -> Any:
    from torchvision import datasets

    if info is GTSRB:
        return datasets.GTSRB(root, "train" if train else "test", download=download)
    classes = {CIFAR100.name: "CIFAR100", FASHION_MNIST.name: "FashionMNIST", MNIST.name: "MNIST"}
    # Looked up by name at each call, so that a test can replace it.
    return getattr(datasets, classes[info.name])(str(root), train=train, download=download)


def stack(pictures: Iterator[tuple[Image.Image, int]], count: int, shape: tuple[int, int, int]) -> LabelledImages:
    """`count` pictures of `shape` (C, H, W) with their labels as one array."""
    if not count:
        raise ValueError("no pictures")
    pixels, labels = np.empty((count, shape[1], shape[2], shape[0]), np.uint8), np.empty(count, np.int64)
    for place, (picture, label) in enumerate(pictures):
        pixels[place] = np.asarray(picture, dtype=np.uint8).reshape(pixels.shape[1:])
        labels[place] = label
    return LabelledImages(pixels, labels)


def _resized(dataset: Any, side: int) -> LabelledImages:
    def pictures() -> Iterator[tuple[Image.Image, int]]:
        for place in range(len(dataset)):
            picture, label = dataset[place]
            yield picture.resize((side, side), Image.Resampling.BILINEAR), label

    return stack(pictures(), len(dataset), (3, side, side))


def _unpack(source: Path, target: Path) -> None:
    target.mkdir(parents=True)
    for packed in sorted(source.glob("*-ubyte.gz")):
        with gzip.open(packed) as content, (target / packed.stem).open("wb") as copy:
            shutil.copyfileobj(content, copy)
