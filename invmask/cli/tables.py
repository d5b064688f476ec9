"""Results as people read them in a terminal, and as programs do."""

import json
from collections.abc import Sequence
from typing import Any


def print_json(value: Any) -> None:
    """Alone on stdout."""
    print(json.dumps(value, indent=2, allow_nan=False))


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as they need; every column but the first is aligned to the right if it looks like numbers."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    numeric = [all(row[column][:1].isdigit() or row[column] == "-" for row in rows) for column in range(len(head))]
    for row in (head, *rows):
        cells = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ]
        print("  ".join(cells).rstrip())


def per_cent(share: float | None) -> str:
    """One decimal; a dash for what does not exist."""
    return "-" if share is None else f"{100 * share:.1f}"
