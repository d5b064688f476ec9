"""The table of a comparison as text to paste: Markdown, LaTeX and CSV."""

import csv
import io
from collections.abc import Callable, Sequence

from invmask.grids.comparison import MEASURES, Row, in_words

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "–": "--",
}  # fmt: skip


def heads() -> list[str]:
    """The table's column titles."""
    return ["defence", *(f"{title}, %" for title in MEASURES.values()), "n", "seconds"]


def cells(row: Row, title: str) -> list[str]:
    """One row's cells: mean ± standard deviation."""
    shares = [in_words(row.shares.get(name)) for name in MEASURES]
    return [title, *shares, str(len(row.cases)), in_words(row.seconds, per_cent=False)]


def markdown(rows: Sequence[Row], title: Callable[[Row], str]) -> str:
    """A Markdown table; `title` names a row's defence."""
    lines = [heads(), ["---"] * len(heads()), *(cells(row, title(row)) for row in rows)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def latex(rows: Sequence[Row], title: Callable[[Row], str]) -> str:
    """A LaTeX `tabular` that needs no package."""
    lines = [" & ".join(_escaped(cell) for cell in line) + r" \\" for line in _lines(rows, title)]
    kinds = "l" + "r" * (len(heads()) - 1)
    body = [rf"\begin{{tabular}}{{{kinds}}}", r"\hline", lines[0], r"\hline", *lines[1:], r"\hline", r"\end{tabular}"]
    return "\n".join(body)


def as_csv(rows: Sequence[Row]) -> str:
    """All numbers, as shares in [0, 1] and seconds; empty where there is no value."""
    out = io.StringIO()
    names = [*MEASURES, "seconds"]
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["defense", "preset", "n", *(column for name in names for column in (name, f"{name} sd"))])
    for row in rows:
        spreads = [*(row.shares.get(name) for name in MEASURES), row.seconds]
        values = [value for of in spreads for value in ((of.mean, of.deviation) if of else (None, None))]
        writer.writerow([*row.method, len(row.cases), *values])
    return out.getvalue()


def _lines(rows: Sequence[Row], title: Callable[[Row], str]) -> list[list[str]]:
    return [heads(), *(cells(row, title(row)) for row in rows)]


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)
