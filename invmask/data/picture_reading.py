"""The part of reading a user's pictures that runs in a process of its own. This module does not import torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from invmask.data.picture_arrays import as_pixels, read_arrays
from invmask.data.picture_decoding import common_size, decode, size_in
from invmask.data.picture_labels import labels_in
from invmask.data.picture_places import ARRAYS, MOST_FILE_BYTES, Found, few, find, shares
from invmask.errors import UserError

PIXELS = "pixels.npy"
MOST_PIXEL_BYTES = 1 << 30
_MOST_ARRAY_BYTES = 2 << 30
_SIZES_LOOKED_AT = 200


def read_pictures(
    path: str,
    channels: int,
    size: tuple[int, int] | None,
    labels: str | None,
    classes: list[str] | None,
    limit: int,
    scratch: str,
) -> dict[str, Any]:
    """Read pictures, write them to `scratch` as one array, and describe them.

    Raises:
        UserError: as `data.own_images.read_images`.
    """
    place = Path(path)
    size = (int(size[0]), int(size[1])) if size else None
    if place.suffix.lower() in ARRAYS and place.is_file():
        if place.stat().st_size > _MOST_ARRAY_BYTES:
            raise UserError(f"{place.name} has more than {_MOST_ARRAY_BYTES >> 30} GB; give fewer images.")
        return _from_arrays(place, place.name, channels, size, classes, limit, scratch)
    found = find(place)
    if not found.pictures and len(found.arrays) == 1:
        content = _content(found.arrays[0].read, _MOST_ARRAY_BYTES, found.arrays[0].name)
        return _from_arrays(content, found.arrays[0].name, channels, size, classes, limit, scratch)
    if not found.pictures:
        raise UserError(f"{place.name} holds no pictures; give PNG, JPEG, WebP, BMP, PPM, TIFF or GIF files.")
    _label(found, labels)
    return _from_files(found, place.name, channels, size, classes, limit, scratch)


def _from_files(
    found: Found,
    name: str,
    channels: int,
    size: tuple[int, int] | None,
    classes: list[str] | None,
    limit: int,
    scratch: str,
) -> dict[str, Any]:
    pictures, notes = found.pictures, found.notes
    if size is None:
        size = _size_of(pictures, name)
    kinds = found.classes or [""] * len(pictures)
    chosen = _chosen(kinds, limit, size, channels, notes)
    pixels = np.empty((len(chosen), *size, channels), np.uint8)
    done: set[str] = set()
    kept: list[int] = []
    damaged: list[str] = []
    for one in chosen:
        try:
            pixels[len(kept)] = decode(pictures[one].read(MOST_FILE_BYTES), channels, size, done)
        except Exception:  # Pillow and zipfile raise nearly any over a damaged file
            damaged.append(pictures[one].name)
        else:
            kept.append(one)
    if damaged:
        words = "damaged or too large picture was" if len(damaged) == 1 else "damaged or too large pictures were"
        notes.append(f"{len(damaged):,} {words} left out: {few(damaged)}.")
    if not kept:
        raise UserError(f"None of the pictures in {name} can be read; give PNG, JPEG or WebP files.")
    labelled = [kinds[one] for one in kept] if found.classes else None
    return _described(pixels[: len(kept)], labelled, classes, [], len(damaged), notes, done, scratch)


def _from_arrays(
    file: Path | bytes,
    name: str,
    channels: int,
    size: tuple[int, int] | None,
    classes: list[str] | None,
    limit: int,
    scratch: str,
) -> dict[str, Any]:
    images, kinds, names, notes = read_arrays(file, name)
    done: set[str] = set()
    wanted = size or common_size([(images.shape[1], images.shape[2])])
    chosen = _chosen(kinds or [""] * len(images), limit, wanted, channels, notes)
    pixels = as_pixels(images, chosen, channels, wanted, done, name)
    labelled = [kinds[one] for one in chosen] if kinds else None
    return _described(pixels, labelled, classes, names, 0, notes, done, scratch)


def _label(found: Found, labels: str | None) -> None:
    """Set the classes from a table: the given one, or one that lies beside pictures in one folder."""
    names = [member.name for member in found.pictures]
    if labels is not None:
        table = Path(labels)
        try:
            given = labels_in(_content(_file_reader(table), MOST_FILE_BYTES, table.name), names, table.name)
        except OSError as error:
            raise UserError(f"The table {table.name} cannot be read; check its name.") from error
        told = table.name
    elif found.classes is None and found.tables:
        told, given = _table_beside(found, names)
    else:
        return
    without = sum(label is None for label in given)
    if without == len(given):
        raise UserError(f"None of the pictures has a label in {told}; give one for each picture.")
    if without:
        found.notes.append(f"{without:,} of {len(names):,} pictures have no label in {told} and were left out.")
    found.pictures = [member for member, label in zip(found.pictures, given, strict=True) if label is not None]
    found.classes = [label for label in given if label is not None]


def _table_beside(found: Found, names: list[str]) -> tuple[str, list[str | None]]:
    problem: UserError | None = None
    for table in found.tables[:5]:
        try:
            return table.name, labels_in(_content(table.read, MOST_FILE_BYTES, table.name), names, table.name)
        except UserError as error:
            problem = problem or error
    assert problem is not None
    raise problem


def _file_reader(path: Path) -> Any:
    def read(most: int) -> bytes:
        if not path.is_file():
            raise FileNotFoundError(path)
        with path.open("rb") as file:
            content = file.read(most + 1)
        if len(content) > most:
            raise ValueError("too large")
        return content

    return read


def _content(read: Any, most: int, name: str) -> bytes:
    try:
        return read(most)
    except OSError:
        raise
    except Exception as error:
        raise UserError(f"{name} is damaged, or has more than {most >> 20:,} MB; give another.") from error


def _size_of(pictures: Sequence[Any], name: str) -> tuple[int, int]:
    step = -(-len(pictures) // _SIZES_LOOKED_AT)
    sizes: list[tuple[int, int]] = []
    for picture in pictures[::step]:
        try:
            sizes.append(size_in(picture.read(MOST_FILE_BYTES)))
        except Exception:
            continue  # it is left out later
    if not sizes:
        raise UserError(f"None of the pictures in {name} can be read; give PNG, JPEG or WebP files.")
    return common_size(sizes)


def _chosen(kinds: list[str], limit: int, size: tuple[int, int], channels: int, notes: list[str]) -> list[int]:
    most = max(1, min(limit, MOST_PIXEL_BYTES // (size[0] * size[1] * channels)))
    if len(kinds) <= most:
        return list(range(len(kinds)))
    notes.append(f"{most:,} of {len(kinds):,} images are used, as evenly from all classes as possible.")
    return shares(kinds, most)


def _described(
    pixels: np.ndarray,
    labelled: list[str] | None,
    classes: list[str] | None,
    names: list[str],
    left_out: int,
    notes: list[str],
    done: set[str],
    scratch: str,
) -> dict[str, Any]:
    height, width = pixels.shape[1:3]
    said = {
        "grey": "Colour pictures were turned grey.",
        "colour": "Grey pictures were copied to three channels.",
        "16 bits": "Pictures with more than 8 bits were reduced to 8.",
        "rounded": "Values were rounded to whole numbers from 0 to 255.",
    }
    notes += [sentence for key, sentence in said.items() if key in done]
    if "cropped" in done:
        notes.append(f"Pictures were resized to cover {height} x {width} (height x width), and the middle was cut out.")
    elif "resized" in done:
        notes.append(f"Pictures were resized to {height} x {width} (height x width).")
    class_names, numbers = _numbers(labelled, classes or names) if labelled else ([], [-1] * len(pixels))
    np.save(Path(scratch) / PIXELS, pixels, allow_pickle=False)
    return {"labels": numbers, "class_names": class_names, "left_out": left_out, "notes": notes}


def _numbers(labelled: list[str], classes: list[str]) -> tuple[list[str], list[int]]:
    """Names of the classes in the order of the labels, and each picture's label.

    Raises:
        UserError: there is a class that is not in the given list.
    """
    there = sorted(set(labelled))
    if not classes:
        # Numbers are sorted as numbers: 2 comes before 10.
        if all(name.isascii() and name.isdigit() for name in there):
            there.sort(key=lambda name: (int(name[:18]), name))
        place = {name: number for number, name in enumerate(there)}
        return there, [place[name] for name in labelled]
    exact = {name: number for number, name in enumerate(classes)}
    loose = {name.strip().lower(): number for number, name in enumerate(classes)}
    place = {}
    for name in there:
        number = exact.get(name, loose.get(name.strip().lower()))
        if number is None and name.isascii() and name.isdigit() and int(name[:18]) < len(classes):
            number = int(name)
        if number is None:
            raise UserError(f"The class '{name[:60]}' is not in the list of {len(classes)} classes; correct the list.")
        place[name] = number
    return classes, [place[name] for name in labelled]
