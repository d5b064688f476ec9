"""Output for a terminal, as tables, and for programs, as JSON."""

import json
from collections.abc import Sequence
from typing import Any


def print_json(value: Any) -> None:
    """Print a value as JSON on stdout."""
    print(json.dumps(value, indent=2, allow_nan=False))


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table with columns as wide as needed. Columns of numbers, except the first, are aligned to the right."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    numeric = [all(row[column][:1].isdigit() or row[column] == "-" for row in rows) for column in range(len(head))]
    for row in (head, *rows):
        cells = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ]
        print("  ".join(cells).rstrip())


def per_cent(share: float | None) -> str:
    """A share in [0, 1] in per cent with one decimal; a dash for None."""
    return "-" if share is None else f"{100 * share:.1f}"
