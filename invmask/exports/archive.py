"""All figures of a run as files: in a folder, or in one ZIP."""

import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from invmask.errors import UserError
from invmask.exports.book import Entry, entries_of
from invmask.exports.captions import caption
from invmask.exports.data import figure_csv
from invmask.exports.html_file import figure_page
from invmask.exports.images import IMAGE_FORMATS, NO_BROWSER, Renderer, find_browser
from invmask.exports.records import RunRecords
from invmask.figures.paper import for_column
from invmask.runs import files

Format = Literal["svg", "pdf", "png", "html", "csv"]
FORMATS: tuple[Format, ...] = get_args(Format)
OnProgress = Callable[[int, int, str], None]
"""Called before each figure: how many are done, of how many, and the title of the one in hand."""


@dataclass(frozen=True)
class Made:
    """What came of it: the files' names, and sentences about what could not be made."""

    names: tuple[str, ...]
    problems: tuple[str, ...]


def check_formats(formats: Sequence[str]) -> list[Format]:
    """`formats` without repetition, in the usual order.

    Raises:
        UserError: none, or one that does not exist.
    """
    for name in formats:
        if name not in FORMATS:
            raise UserError(f"There is no format '{name[:20]}'; choose from: {', '.join(FORMATS)}.")
    if not formats:
        raise UserError(f"No format is chosen; choose from: {', '.join(FORMATS)}.")
    return [name for name in FORMATS if name in formats]


def write_figures(
    folder: Path,
    records: RunRecords,
    formats: Sequence[str],
    names: Sequence[str] | None = None,
    on_progress: OnProgress = lambda *_: None,
) -> Made:
    """Every figure (or those named) in every format into `folder`, and a caption for each as text.

    Raises:
        UserError: no such figure or format.
        OSError: a file cannot be written.
    """
    problems: list[str] = []
    written: list[str] = []
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in _files(records, formats, names, on_progress, problems):
        files.write_bytes(folder / name, content)
        written.append(name)
    return Made(tuple(written), tuple(problems))


def write_archive(
    path: Path,
    records: RunRecords,
    formats: Sequence[str],
    names: Sequence[str] | None = None,
    on_progress: OnProgress = lambda *_: None,
) -> Made:
    """The same as one ZIP; it appears when it is whole.

    Raises:
        UserError: no such figure or format.
        OSError: the file cannot be written.
    """
    problems: list[str] = []
    partial = path.with_name(f".{path.name}.part")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in _files(records, formats, names, on_progress, problems):
            archive.writestr(name, content)
        written = tuple(archive.namelist())
    partial.replace(path)
    return Made(written, tuple(problems))


def _files(
    records: RunRecords,
    formats: Sequence[str],
    names: Sequence[str] | None,
    on_progress: OnProgress,
    problems: list[str],
) -> Iterator[tuple[str, bytes]]:
    wanted, entries = check_formats(formats), entries_of(records, names)
    program = find_browser() if set(wanted) & set(IMAGE_FORMATS) else None
    if set(wanted) & set(IMAGE_FORMATS) and program is None:
        problems.append(NO_BROWSER)
    with _renderer(program, problems) as renderer:
        for done, entry in enumerate(entries):
            on_progress(done, len(entries), entry.title)
            for suffix, content in _contents(entry, records, wanted, renderer):
                yield f"{entry.name}.{suffix}", content
    on_progress(len(entries), len(entries), "")


def _renderer(program: str | None, problems: list[str]) -> Renderer | nullcontext[None]:
    if program is None:
        return nullcontext()
    try:
        return Renderer(program).open()
    except OSError as error:
        problems.append(f"SVG, PDF and PNG were not made: {error}.")
        return nullcontext()


def _contents(
    entry: Entry, records: RunRecords, wanted: Sequence[Format], renderer: Renderer | None
) -> Iterator[tuple[str, bytes]]:
    figure, words = entry.draw(records, "paper"), caption(entry, records)
    column = for_column(figure)
    for name in wanted:
        if name == "csv":
            yield name, figure_csv(figure).encode()
        elif name == "html":
            yield name, figure_page(entry.draw(records, "light"), entry.title, words).encode()
        elif renderer is not None:
            yield name, renderer.draw(column, name)
    yield "txt", (words + "\n").encode()
