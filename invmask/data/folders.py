"""Data sets that are folders of pictures, one folder per class: Tiny-ImageNet, and the user's own folders."""

import contextlib
import re
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from PIL import Image

from invmask.data.images import TINY_IMAGENET, DatasetInfo, LabelledImages
from invmask.data.picture_places import is_hidden
from invmask.data.torchvision_sets import stack, whole_or_not
from invmask.errors import UserError

TINY_FOLDER = "tiny-imagenet-200"
TINY_MD5 = "90528d7ca1a48142e341f4ef8d21d0de"
FOLDER = "folder:"
"""Prefix for a user's folder: ``folder:pets``, or ``folder:pets@128`` for images of 128x128."""
FOLDER_SIDE = 64
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def read_tiny_imagenet(root: Path, train: bool) -> LabelledImages:
    """Tiny-ImageNet's training images, or its validation images, which serve as the test set.

    Labels follow the order of the synset numbers (wnids).

    Raises:
        UserError: it is missing or damaged.
    """
    folder = root / TINY_FOLDER
    if not folder.is_dir():
        raise UserError(
            f"Tiny-ImageNet is not in {root}; run 'python -m invmask data tinyimagenet' to fetch it, or put the folder "
            f"{TINY_FOLDER} of tiny-imagenet-200.zip there."
        )
    try:
        places = {wnid: place for place, wnid in enumerate(sorted((folder / "wnids.txt").read_text().split()))}
        if train:
            files = [
                (path, place)
                for wnid, place in places.items()
                for path in sorted((folder / "train" / wnid).rglob("*.JPEG"))
            ]
        else:
            lines = (folder / "val" / "val_annotations.txt").read_text().splitlines()
            rows = [line.split("\t") for line in lines if line]
            files = [(folder / "val" / "images" / row[0], places[row[1]]) for row in rows]
        return stack(_pictures(files, TINY_IMAGENET.shape[1]), len(files), TINY_IMAGENET.shape)
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise UserError(f"{folder} is incomplete or damaged; delete it and fetch Tiny-ImageNet again.") from error


def fetch_tiny_imagenet(root: Path) -> Path:
    """Fetch Tiny-ImageNet into `root` if it is missing; returns its folder.

    Raises:
        UserError: it cannot be reached; the message says which files to put where.
    """
    from torchvision.datasets import utils

    folder = root / TINY_FOLDER
    if folder.is_dir():
        return folder
    try:
        with whole_or_not(folder) as scratch, contextlib.redirect_stdout(sys.stderr):
            utils.download_and_extract_archive(TINY_IMAGENET.source, str(scratch), md5=TINY_MD5)
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(
            f"Tiny-ImageNet could not be fetched from its home page; put the folder {TINY_FOLDER} of "
            f"tiny-imagenet-200.zip into {root} and try again."
        ) from error
    return folder


def is_folder(dataset: str) -> bool:
    """Whether this is the name of a user's folder."""
    return dataset.startswith(FOLDER)


def folder_info(dataset: str, root: Path) -> DatasetInfo:
    """Describe a user's folder: one class for each visible subfolder of `train`, in alphabetical order.

    Args:
        dataset: ``folder:NAME`` or ``folder:NAME@SIDE``, of the folder NAME in `root`.

    Raises:
        UserError: the name has another form, or there is no such folder.
    """
    match = re.fullmatch(rf"{FOLDER}([A-Za-z0-9_.]+)(?:@([1-9]\d{{0,3}}))?", dataset)
    if match is None or set(match[1]) == {"."} or not 8 <= int(match[2] or FOLDER_SIDE) <= 1024:
        raise UserError(
            f"A folder of pictures is named {FOLDER}NAME or {FOLDER}NAME@SIDE, in letters, digits, dots and "
            f"underscores and with a side from 8 to 1024, not '{dataset}'."
        )
    train = root / match[1] / "train"
    if not train.is_dir():
        raise UserError(
            f"There is no folder {train}; put the pictures of each class into a folder of its own there, and those to "
            f"test on into {root / match[1] / 'val'}."
        )
    classes = _classes(str(train), train.stat().st_mtime_ns)
    if len(classes) < 2:
        raise UserError(f"{train} has to hold a folder for each class, at least two.")
    side = int(match[2] or FOLDER_SIDE)
    return DatasetInfo(
        name=dataset,
        title=match[1],
        classes=classes,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        shape=(3, side, side),
        balanced=False,
        source=str(root / match[1]),
    )


def read_folder(info: DatasetInfo, train: bool) -> LabelledImages:
    """Read the pictures of a user's folder: the shorter side is resized to the info's side, then the centre is cropped.

    Raises:
        UserError: there are no test pictures; they have other classes; or a file is not a picture.
    """
    from torchvision.datasets.folder import IMG_EXTENSIONS, ImageFolder

    base = Path(info.source)
    folder = base / "train" if train else next((base / n for n in ("val", "test") if (base / n).is_dir()), None)
    if folder is None:
        raise UserError(f"There are no pictures to test on; put them into {base / 'val'}, a folder for each class.")
    try:
        classes = _classes(str(folder), folder.stat().st_mtime_ns)
        if classes != info.classes:
            raise UserError(f"{folder} has other classes than {base / 'train'}; give both the same folders.")
        places = {name: place for place, name in enumerate(classes)}
        files = [(Path(path), label) for path, label in ImageFolder.make_dataset(str(folder), places, IMG_EXTENSIONS)]
        return stack(_pictures(files, info.shape[1]), len(files), info.shape)
    except (OSError, ValueError) as error:
        raise UserError(f"{folder} cannot be read: {error}.") from error


@lru_cache(maxsize=16)
def _classes(train: str, _changed: int) -> tuple[str, ...]:
    return tuple(sorted(path.name for path in Path(train).iterdir() if path.is_dir() and not is_hidden(path.name)))


def _pictures(files: list[tuple[Path, int]], side: int) -> Iterator[tuple[Image.Image, int]]:
    for path, label in files:
        try:
            with Image.open(path) as opened:
                picture = opened.convert("RGB")
        except Image.DecompressionBombError as error:
            raise OSError(f"the picture {path} is too large; make it smaller") from error
        except SyntaxError as error:
            # Pillow raises this for a PNG with a broken chunk.
            raise OSError(f"the picture {path} is damaged; delete it or put it there again") from error
        if picture.size != (side, side):
            short = min(picture.size)
            left, top = (picture.width - short) // 2, (picture.height - short) // 2
            box = (left, top, left + short, top + short)
            picture = picture.resize((side, side), Image.Resampling.BILINEAR, box=box, reducing_gap=3.0)
        yield picture, label
