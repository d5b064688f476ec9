"""Data sets in the form in which their authors give them out, read by torchvision's classes."""

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
"""In the data folder, as torchvision expects them."""
FILES = {
    CIFAR100.name: "the folder cifar-100-python of cifar-100-python.tar.gz",
    GTSRB.name: "a folder gtsrb with GTSRB-Training_fixed.zip, GTSRB_Final_Test_Images.zip and GTSRB_Final_Test_GT.zip "
    "unpacked",
    FASHION_MNIST.name: "the four unpacked files *-ubyte as FashionMNIST/raw (or install Debian's package "
    "dataset-fashion-mnist)",
    MNIST.name: "the four unpacked files *-ubyte as MNIST/raw",
}
"""What to put there by hand."""


def read(info: DatasetInfo, root: Path, train: bool) -> LabelledImages:
    """One part of a data set, in the order of its files; GTSRB's signs are resized to 32x32.

    Raises:
        UserError: it is not there, or damaged.
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
    """Fetch a data set into `root` unless it is there.

    Returns:
        The folder that now holds it.

    Raises:
        UserError: it cannot be reached; says what to put where.
    """
    folder = root / FOLDERS[info.name]
    if folder.is_dir():
        return folder
    try:
        with whole_or_not(folder) as scratch:
            if info is FASHION_MNIST and DEBIAN_FASHION_MNIST.is_dir():
                _unpack(DEBIAN_FASHION_MNIST, scratch / folder.name / "raw")
            else:
                # Whatever torchvision says of its progress is no result.
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
    """A directory beside `folder`, out of which what has its name takes its place at the end.

    A data set that was fetched in part, when somebody interrupted it, would be taken for the whole next time. Archives
    that somebody put beside it are there, too: torchvision fetches none that it finds.
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
    # Looked up by name when needed, so that a test can put another in its place.
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
