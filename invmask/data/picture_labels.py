"""Labels of pictures from a table (CSV), by the pictures' names."""

import csv
import io
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

from invmask.errors import UserError

_MOST_ROWS = 2_000_000
_LOOKED_AT = 500
_TITLES = ("label", "labels", "class", "classid", "class_id", "class_name", "target", "category", "y")


def labels_in(content: bytes, pictures: Sequence[str], table: str) -> list[str | None]:
    """The label of each picture in a table; None for pictures that are not in it.

    The column of names is the one in which most names of pictures are found, with or without folders and endings. The
    labels are in the column titled label, class, target or the like, or in the only other one.

    Args:
        content: the table, separated by commas, semicolons or tabs.
        pictures: the pictures' names, with slashes.
        table: the table's name, for messages.

    Raises:
        UserError: none of the pictures is in it, or it is not clear which column has the labels.
    """
    rows = _rows(content, table)
    full = {name: place for place, name in enumerate(pictures)}
    short = _unique(pictures, lambda name: PurePosixPath(name).name)
    stems = _unique(pictures, lambda name: PurePosixPath(name).stem)

    def place_of(cell: str) -> int | None:
        name = cell.strip().replace("\\", "/").removeprefix("./")
        last = PurePosixPath(name).name
        # Some tables leave out the ending.
        return full.get(name, short.get(last, stems.get(last)))

    width = max((len(row) for row in rows[:_LOOKED_AT]), default=0)
    hits = Counter(
        {
            column: sum(len(row) > column and place_of(row[column]) is not None for row in rows[:_LOOKED_AT])
            for column in range(width)
        }
    )
    names, found = hits.most_common(1)[0] if hits else (0, 0)
    if not found:
        raise UserError(f"{table} names none of the pictures; its rows need a picture's file name and its label.")
    column = _label_column(rows[0], width, names, table)
    labels: list[str | None] = [None] * len(pictures)
    for row in rows:
        if len(row) > max(names, column) and (place := place_of(row[names])) is not None:
            labels[place] = row[column].strip()[:200] or None
    return labels


def _label_column(first: list[str], width: int, names: int, table: str) -> int:
    titles = [title.strip().lower() for title in first]
    for title in _TITLES:
        if title in titles and titles.index(title) != names:
            return titles.index(title)
    if width == 2:
        return 1 - names
    raise UserError(f"It is not clear which column of {table} has the labels; give it the title 'label'.")


def _rows(content: bytes, table: str) -> list[list[str]]:
    text = content.decode("utf-8-sig", errors="replace").replace("\0", "")
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    try:
        rows: list[list[str]] = []
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator):
            if row:
                rows.append(row)
            if len(rows) > _MOST_ROWS:
                raise UserError(f"{table} has more than {_MOST_ROWS:,} rows; give a shorter table.")
    except csv.Error as error:
        raise UserError(f"{table} is not a table of names and labels: {error}; store it as CSV.") from error
    return rows


def _unique(names: Sequence[str], shorten: Callable[[str], str]) -> dict[str, int]:
    """Places of names by their short forms, for those that no two names share."""
    short = [shorten(name) for name in names]
    count = Counter(short)
    return {name: place for place, name in enumerate(short) if count[name] == 1}
