"""Reading the files that hold one row of fixed size per round; `journal` writes them.

Rows of committed rounds never change, so no lock is needed. Every round has masks. If a row of examples or candidates
is missing, or the file ends before it, the round had none.
"""

import os
from pathlib import Path
from typing import BinaryIO

import numpy as np

from invmask.runs.store import files
from invmask.runs.store.format import Shapes
from invmask.runs.store.records import StoredCandidates, StoredExamples


def map_masks(run: Path, shapes: Shapes, last: int) -> np.ndarray | None:
    """All masks up to round `last`, float32 [rounds + 1, 2, channels], memory-mapped; None if there are none.

    Raises:
        OSError, ValueError: the file cannot be read, or is too short.
    """
    if not shapes.gated:
        return None
    return np.memmap(run / files.MASKS, np.float32, "r", shape=(last + 1, 2, shapes.channels))


def read_examples(run: Path, shapes: Shapes, round_taken: int) -> StoredExamples | None:
    """The example perturbations of a round; None if it made none.

    Raises:
        OSError, ValueError: the file cannot be read.
    """
    try:
        with (run / files.EXAMPLES).open("rb") as file:
            return shapes.unpack_examples(_row(file, round_taken, shapes.example_bytes))
    except FileNotFoundError:
        return None


def read_candidates(run: Path, shapes: Shapes, round_taken: int) -> StoredCandidates | None:
    """The candidates of a round, or of the last round of a search before it; None if there was none.

    Raises:
        OSError, ValueError: the file cannot be read.
    """
    if not shapes.candidates:
        return None
    size = shapes.candidate_row.itemsize
    try:
        with (run / files.CANDIDATES).open("rb") as file:
            whole = os.fstat(file.fileno()).st_size // size
            # The rows of a search are usually consecutive, so the first row that is read usually has candidates.
            for number in range(min(round_taken, whole - 1), 0, -1):
                found = shapes.unpack_candidates(_row(file, number, size))
                if found is not None:
                    return found
    except FileNotFoundError:
        pass
    return None


def _row(file: BinaryIO, number: int, size: int) -> bytes:
    file.seek(number * size)
    return file.read(size)
