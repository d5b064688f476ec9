"""Damaged and hostile files for everything that reads strangers' files: python -m benchmarks.fuzz --files 600.

Of every kind of file so many are made from a good one, by a fixed seed, and read as the product reads them. Many share
one child process, which would otherwise take 2 s to start for each. If a child crashes, its files are read again in
halves, until the file is found. Some files of each kind are read from end to end, each in a child of its own.

Counted are: crashed children, files that took over 10 s, too much memory, files changed or created outside the scratch
folder, harmful instructions that were followed, and messages that are not one plain sentence.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.fuzz_damage import damaged
from benchmarks.fuzz_reading import read_batch
from benchmarks.fuzz_seeds import GOOD_PICTURE, SEEDS, Seed
from benchmarks.fuzz_table import RESULT
from invmask import confined
from invmask.data.own_images import read_images
from invmask.disk import write_bytes
from invmask.errors import UserError
from invmask.machine import processor
from invmask.models.weight_files import read_weight_file
from invmask.victims.victim import versions

BATCH = 300
SLOW = 10.0
MEMORY = 1 << 30
END_TO_END = 3
MOST_WORDS = 600


@dataclass
class Outcome:
    """What became of all files of one kind.

    Attributes:
        files: number of files.
        read: they were read all the same, because the damage hit numbers only.
        left_out: the damaged picture was left out, and the others were read.
        refused: their reader refused them with its own sentence.
        otherwise: their reader raised another error, which `confined` makes a sentence of; by type.
        crashed, memory, slow: the child crashed, needed too much memory, or took over 10 s.
        outside: files that were created or changed outside the scratch folder.
        harmed: harmful instructions that were followed.
        not_plain: messages that are not one sentence of a usual length.
        slowest: seconds of the slowest file.
        end_to_end: files that were also read in a child of their own.
        sentences: the most frequent messages and how often they came.
    """

    files: int = 0
    read: int = 0
    left_out: int = 0
    refused: int = 0
    otherwise: Counter[str] = field(default_factory=Counter)
    crashed: int = 0
    memory: int = 0
    slow: int = 0
    outside: int = 0
    harmed: int = 0
    not_plain: int = 0
    slowest: float = 0.0
    end_to_end: int = 0
    sentences: Counter[str] = field(default_factory=Counter)


def outcome_of(kind: str, seed: Seed, files: int, chance: random.Random, others: list[bytes]) -> Outcome:
    """Make and read all files of one kind."""
    found = Outcome(files=files)
    with tempfile.TemporaryDirectory(prefix="invmask-fuzz-") as folder:
        place = Path(folder)
        (place / "good").mkdir()
        seed.write(place / "good" / f"x{seed.ending}")
        good = (place / "good" / f"x{seed.ending}").read_bytes()
        marker = place / "harmed"
        for begin in range(0, files, BATCH):
            batch = place / f"{begin}"
            paths = [
                _put(batch, number, seed, damaged(good, others, str(marker), chance))
                for number in range(begin, min(begin + BATCH, files))
            ]
            before = _state(place)
            for path, told in zip(paths, _read(paths), strict=True):
                _count(found, path, told)
            for path in paths[: END_TO_END if begin == 0 else 0]:
                _count_end_to_end(found, path, seed)
            changed = _state(place) ^ before
            found.harmed += marker.exists()
            found.outside += len({path for path, *_ in changed if path != str(marker)})
            marker.unlink(missing_ok=True)
    print(f"{kind}: {_brief(found)}", file=sys.stderr, flush=True)
    return found


def _put(batch: Path, number: int, seed: Seed, content: bytes) -> Path:
    """Put a damaged file where it is read from. A picture or table lies in a folder, beside good pictures."""
    alone = not seed.images or seed.ending in (".zip", ".npz", ".npy")
    folder = batch if alone else batch / str(number)
    folder.mkdir(parents=True, exist_ok=True)
    if alone:
        path = folder / f"{number}{seed.ending}"
        path.write_bytes(content)
        return path
    (folder / f"x{seed.ending}").write_bytes(content)
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(GOOD_PICTURE)
    return folder


def _read(paths: list[Path]) -> Iterable[dict[str, Any]]:
    """What became of each file, also if the child that reads them crashes."""
    with tempfile.TemporaryDirectory(prefix="invmask-fuzz-scratch-") as folder:
        scratch = Path(folder)
        # A child has to start, on a machine that may be busy; then each file has its time.
        seconds = 60 + SLOW * (1 if len(paths) == 1 else 6)
        try:
            return confined.call(
                read_batch,
                [str(path) for path in paths],
                scratch,
                what="It",
                scratch=scratch,
                seconds=seconds,
                memory_bytes=MEMORY,
            )
        except UserError as error:
            if len(paths) == 1:
                words = str(error)
                ended = "slow" if "was not read within" in words else "memory" if "of memory" in words else "crashed"
                return [{ended: True, "sentence": words, "seconds": seconds if ended == "slow" else 0.0}]
    half = len(paths) // 2
    return [*_read(paths[:half]), *_read(paths[half:])]


def _count(found: Outcome, path: Path, told: dict[str, Any]) -> None:
    words = told.get("sentence")
    if told["seconds"] > SLOW:
        found.slow += 1
    elif told.get("crashed") or told.get("memory"):
        found.crashed += bool(told.get("crashed"))
        found.memory += bool(told.get("memory"))
    elif "otherwise" in told:
        found.otherwise[told["otherwise"].partition(":")[0]] += 1
        words = told["otherwise"]
    elif words is not None:
        found.refused += 1
    elif told.get("left_out"):
        found.left_out += 1
    else:
        found.read += 1
    found.slowest = max(found.slowest, told["seconds"])
    if words is not None:
        _count_words(found, path, words)


def _count_words(found: Outcome, path: Path, words: str) -> None:
    plain = words.isprintable() and 10 < len(words) <= MOST_WORDS and "Traceback" not in words
    found.not_plain += not plain
    found.sentences[words.replace(path.name, "FILE").replace(str(path.parent), "FOLDER")[:200]] += 1


def _count_end_to_end(found: Outcome, path: Path, seed: Seed) -> None:
    """Read a file as a page does. Anything but a result or a UserError would be the app's crash."""
    try:
        read_images(path, 3, limit=100) if seed.images else read_weight_file(path)
    except UserError as error:
        _count_words(found, path, str(error))
    found.end_to_end += 1


def _state(folder: Path) -> set[tuple[str, int, int]]:
    """Every file of a folder, with its size and time."""
    return {(str(p), p.lstat().st_size, p.lstat().st_mtime_ns) for p in folder.rglob("*")}


def _brief(found: Outcome) -> str:
    bad = {name: getattr(found, name) for name in ("crashed", "memory", "slow", "outside", "harmed", "not_plain")}
    good = f"{found.read} read, {found.left_out} left out, {found.refused} refused"
    return f"{found.files} files, {good}, {dict(found.otherwise)}, {bad}"


def main() -> None:
    """Fuzz every kind, and store what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=600, help="damaged files of each kind")
    parser.add_argument("--kinds", nargs="+", choices=SEEDS, default=[*SEEDS])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--result", type=Path, default=RESULT)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    others = [_bytes_of(SEEDS[kind].write, SEEDS[kind].ending) for kind in SEEDS]
    began = time.monotonic()
    kinds = {}
    for kind in arguments.kinds:
        # A kind's files do not depend on which other kinds are asked for.
        chance = random.Random(f"{arguments.seed} {kind}")
        found = outcome_of(kind, SEEDS[kind], arguments.files, chance, others)
        counted = {"otherwise": dict(found.otherwise), "sentences": dict(found.sentences.most_common(12))}
        kinds[kind] = {**vars(found), **counted}
    result = {
        "machine": processor(),
        "versions": versions(),
        "seed": arguments.seed,
        "minutes": round((time.monotonic() - began) / 60, 1),
        "kinds": kinds,
    }
    arguments.result.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(arguments.result, (json.dumps(result, indent=1, ensure_ascii=False) + "\n").encode())


def _bytes_of(write: Callable[[Path], None], ending: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"x{ending}"
        write(path)
        return path.read_bytes()


if __name__ == "__main__":
    main()
