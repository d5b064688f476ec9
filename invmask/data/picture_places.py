"""Pictures in a folder or a zip archive: which files there are, and what classes they have by where they lie.

This module does not import torch, so that a process for reading pictures starts at once.
"""

import os
import stat
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from invmask.errors import UserError

ENDINGS = frozenset(
    {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".gif", ".jpe", ".jfif"}
)
TABLES = frozenset({".csv", ".tsv"})
ARRAYS = frozenset({".npz", ".npy"})
MOST_FILES = 500_000
MOST_FILE_BYTES = 64 << 20
"""Of one picture or table."""
_HIDDEN = frozenset({"__macosx", "__pycache__", "@eadir", "lost+found", "thumbs.db", "desktop.ini"})
_PARTS_OF_SETS = ("val", "valid", "validation", "test", "testing", "eval", "train", "training")
"""Folders of a data set's parts; the first of these that is there is used, because it is clean for certain."""


@dataclass(frozen=True)
class Member:
    """A file in the folder or archive.

    Attributes:
        parts: names of the folders that it lies in, and its own.
        read: its content, if that has at most so many bytes; raises ValueError if it has more.
    """

    parts: tuple[str, ...]
    read: Callable[[int], bytes]

    @property
    def name(self) -> str:
        """The name within the folder, with slashes."""
        return "/".join(self.parts)

    @property
    def ending(self) -> str:
        """Such as ``.png``; empty if it has none."""
        return PurePosixPath(self.parts[-1]).suffix.lower()


@dataclass
class Found:
    """The files, and what the user should know of them.

    Attributes:
        pictures, tables, arrays: the files by kind, sorted by name.
        classes: each picture's class by its folder; None if the pictures lie in one folder.
        notes: plain sentences.
    """

    pictures: list[Member]
    tables: list[Member]
    arrays: list[Member]
    classes: list[str] | None = None
    notes: list[str] = field(default_factory=list)


def find(path: Path) -> Found:
    """List the files of a folder or zip archive, without hidden ones, and see whether its folders are classes.

    Raises:
        UserError: it has too many files, or is no archive that can be read.
    """
    links: list[str] = []
    members = _in_folder(path, links) if path.is_dir() else _in_zip(path, links)
    members.sort(key=lambda member: member.parts)
    kinds = (ENDINGS, TABLES, ARRAYS)
    pictures, tables, arrays = ([member for member in members if member.ending in endings] for endings in kinds)
    found = Found(pictures, tables, arrays)
    others = len(members) - len(found.pictures) - len(found.tables) - len(found.arrays)
    if others:
        found.notes.append(f"{_count(others, 'file', 'files')} of other kinds than pictures, not used.")
    if links:
        found.notes.append(f"{_count(len(links), 'link', 'links')} to places outside or to folders, not followed.")
    _see_classes(found)
    return found


def few(names: Iterable[str], most: int = 3) -> str:
    """Some of the names, and how many more there are."""
    listed = [name[:60] for name in names]
    more = len(listed) - most
    return ", ".join(listed[:most]) + (f" and {more:,} more" if more > 0 else "")


def _see_classes(found: Found) -> None:
    _enter_single_folder(found)
    tops = {member.parts[0].lower() for member in found.pictures if len(member.parts) > 1}
    if tops and tops <= set(_PARTS_OF_SETS) and all(len(member.parts) > 1 for member in found.pictures):
        part = next(name for name in _PARTS_OF_SETS if name in tops)
        if len(tops) > 1:
            rest = few(sorted(tops - {part}))
            found.notes.append(f"The pictures in the folder {part} are used, and not those in {rest}.")
        found.pictures = [
            Member(member.parts[1:], member.read) for member in found.pictures if member.parts[0].lower() == part
        ]
        _enter_single_folder(found)
    folders = {member.parts[0] for member in found.pictures if len(member.parts) > 1}
    if len(folders) < 2:
        return
    loose = [member for member in found.pictures if len(member.parts) == 1]
    if loose:
        words = _count(len(loose), "picture lies", "pictures lie")
        found.notes.append(f"{words} beside the folders of classes, not used.")
        found.pictures = [member for member in found.pictures if len(member.parts) > 1]
    found.classes = [member.parts[0] for member in found.pictures]


def _enter_single_folder(found: Found) -> None:
    """As long as all pictures lie in one folder, take that folder: archives often have one around everything."""
    while found.pictures and len({member.parts[0] for member in found.pictures}) == 1 and _all_deeper(found.pictures):
        if found.pictures[0].parts[0].lower() in _PARTS_OF_SETS:
            return
        found.pictures = [Member(member.parts[1:], member.read) for member in found.pictures]


def _all_deeper(members: list[Member]) -> bool:
    return all(len(member.parts) > 1 for member in members)


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is a program's own, such as .ipynb_checkpoints or __MACOSX."""
    return name.startswith(".") or name.lower() in _HIDDEN


def _in_folder(root: Path, links: list[str]) -> list[Member]:
    members: list[Member] = []
    inside = root.resolve()
    waiting: list[tuple[str, ...]] = [()]
    while waiting:
        above = waiting.pop()
        try:
            entries = sorted(os.scandir(inside.joinpath(*above)), key=lambda entry: entry.name)
        except OSError as error:
            folder = "/".join((root.name, *above))
            raise UserError(f"{folder} cannot be read: {error.strerror or error}; check its permissions.") from error
        for entry in entries:
            if is_hidden(entry.name):
                continue
            parts = (*above, entry.name)
            if entry.is_symlink() and not (entry.is_file() and Path(entry.path).resolve().is_relative_to(inside)):
                links.append(entry.name)
            elif entry.is_dir():
                waiting.append(parts)
            elif entry.is_file():  # and no pipe or device
                members.append(Member(parts, _reader(Path(entry.path))))
        if len(members) + len(waiting) > MOST_FILES:
            raise UserError(f"{root.name} has more than {MOST_FILES:,} files; give a folder with fewer.")
    return members


def _reader(path: Path) -> Callable[[int], bytes]:
    def read(most: int) -> bytes:
        with path.open("rb") as file:
            return _at_most(file.read(most + 1), most)

    return read


def _in_zip(path: Path, links: list[str]) -> list[Member]:
    try:
        # It stays open as long as its members are read.
        archive = zipfile.ZipFile(path)
        infos = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
        raise UserError(f"{path.name} is neither a folder of pictures nor a .zip or .npz archive; give one.") from error
    if len(infos) > MOST_FILES:
        raise UserError(f"{path.name} has more than {MOST_FILES:,} files; give an archive with fewer.")
    members: list[Member] = []
    for info in infos:
        parts = tuple(part for part in info.filename.replace("\\", "/").split("/") if part not in ("", "."))
        if info.filename.endswith("/") or not parts or any(is_hidden(part) for part in parts if part != ".."):
            continue
        if info.flag_bits & 1:
            raise UserError(f"{path.name} has a password; give an archive without one.")
        if stat.S_ISLNK(info.external_attr >> 16) or ".." in parts:
            links.append(parts[-1])
        else:
            members.append(Member(parts, _unpacker(archive, info)))
    return members


def _unpacker(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[int], bytes]:
    def read(most: int) -> bytes:
        # The size in the archive's list may be wrong, so at most so much is unpacked.
        with archive.open(info) as file:
            return _at_most(file.read(most + 1), most)

    return read


def _at_most(content: bytes, most: int) -> bytes:
    if len(content) > most:
        raise ValueError("too large")
    return content


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def shares(classes: list[str], most: int) -> list[int]:
    """Places of at most `most` pictures: as many of each class as possible, evenly over each class's pictures."""
    sizes = Counter(classes)
    quota = dict.fromkeys(sizes, 0)
    left = most
    for place, (name, size) in enumerate(sorted(sizes.items(), key=lambda pair: (pair[1], pair[0]))):
        quota[name] = min(size, left // (len(sizes) - place))
        left -= quota[name]
    chosen: list[int] = []
    seen: Counter[str] = Counter()
    for place, name in enumerate(classes):
        # Evenly: a picture is taken whenever its class's share of those passed so far has grown by one.
        before, after = seen[name] * quota[name] // sizes[name], (seen[name] + 1) * quota[name] // sizes[name]
        seen[name] += 1
        if after > before:
            chosen.append(place)
    return chosen
