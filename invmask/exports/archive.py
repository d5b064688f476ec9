"""All figures of a run as files, in a folder or in one ZIP file."""

import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from plotly.offline import get_plotlyjs

from invmask import disk
from invmask.errors import UserError
from invmask.exports.book import entries_of
from invmask.exports.data import figure_csv
from invmask.exports.html_file import figure_page
from invmask.exports.images import IMAGE_FORMATS, NO_BROWSER, Renderer, find_browser
from invmask.figures.paper import COLUMN_MM, PAGE_MM, for_column
from invmask.frames.captions import about, caption
from invmask.frames.entry import Entry
from invmask.frames.run_records import RunRecords
from invmask.runs.store import files

Format = Literal["svg", "pdf", "png", "html", "csv"]
FORMATS: tuple[Format, ...] = get_args(Format)
LIBRARY = "plotly.min.js"
ABOUT = "about.json"
"""The file that describes the figures: their run, its settings, and the figures' width."""
OnProgress = Callable[[int, int, str], None]
"""Called before each figure with the number of finished figures, the total, and the title of the current figure."""


@dataclass(frozen=True)
class Made:
    """The names of the files that were made, and sentences about those that could not be made."""

    names: tuple[str, ...]
    problems: tuple[str, ...]


def check_formats(formats: Sequence[str]) -> list[Format]:
    """`formats` without duplicates, in the usual order.

    Raises:
        UserError: `formats` is empty, or has an unknown format.
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
    """Write every figure (or those named) in every format to `folder`, with captions as text, and `ABOUT`.

    Each HTML file is self-contained and contains plotly.js (4.8 MB).

    Raises:
        UserError: no such figure or format.
        OSError: a file cannot be written.
    """

    def write(name: str, content: bytes) -> None:
        # Created only now, when it is known that there is something to write.
        folder.mkdir(parents=True, exist_ok=True)
        files.write_bytes(folder / name, content)

    return _make(write, records, formats, names, on_progress)


def write_archive(
    path: Path,
    records: RunRecords,
    formats: Sequence[str],
    names: Sequence[str] | None = None,
    on_progress: OnProgress = lambda *_: None,
) -> Made:
    """Write the same files as one ZIP, in which all HTML files share one plotly.js. The ZIP appears when complete.

    Raises:
        UserError: no such figure or format.
        OSError: the file cannot be written.
    """
    # Two threads or processes may make it at the same time.
    with disk.replacing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        return _make(archive.writestr, records, formats, names, on_progress, LIBRARY)


def _make(
    write: Callable[[str, bytes], None],
    records: RunRecords,
    formats: Sequence[str],
    names: Sequence[str] | None,
    on_progress: OnProgress,
    library: str | None = None,
) -> Made:
    """Make all files. `library` names the plotly.js file that all HTML files share; None puts it into each file."""
    problems: list[str] = []
    written: list[str] = []

    def put(name: str, content: bytes) -> None:
        write(name, content)
        written.append(name)

    wanted, entries = check_formats(formats), entries_of(records, names)
    pictures = bool(set(wanted) & set(IMAGE_FORMATS))
    program = find_browser() if pictures else None
    if pictures and program is None:
        problems.append(NO_BROWSER)
    if library is not None and "html" in wanted:
        put(library, get_plotlyjs().encode())
    with _renderer(program, problems) as renderer:
        for done, entry in enumerate(entries):
            on_progress(done, len(entries), entry.title)
            for suffix, content in _contents(entry, records, wanted, renderer, library, problems):
                put(f"{entry.name}.{suffix}", content)
    about_all = about(records) | {"figures": {entry.name: entry.title for entry in entries}}
    put(ABOUT, (json.dumps(about_all, ensure_ascii=False, indent=1) + "\n").encode())
    on_progress(len(entries), len(entries), "")
    return Made(tuple(written), tuple(problems))


def _renderer(program: str | None, problems: list[str]) -> Renderer | nullcontext[None]:
    if program is None:
        return nullcontext()
    try:
        return Renderer(program).open()
    except OSError as error:
        problems.append(f"SVG, PDF and PNG were not made: {error}.")
        return nullcontext()


def _contents(
    entry: Entry,
    records: RunRecords,
    wanted: Sequence[Format],
    renderer: Renderer | None,
    library: str | None,
    problems: list[str],
) -> Iterator[tuple[str, bytes]]:
    figure, words = entry.draw(records, "paper"), caption(entry, records)
    printed = for_column(figure, PAGE_MM if records.wide else COLUMN_MM)
    for name in wanted:
        if name == "csv":
            yield name, figure_csv(figure).encode()
        elif name == "html":
            yield name, figure_page(entry.draw(records, "light"), entry.title, words, library).encode()
        elif renderer is not None:
            # One picture that fails must not discard the others, which took long to make.
            try:
                content = renderer.draw(printed, name)
            except OSError as error:
                problems.append(f"{entry.name}.{name} was not made: {str(error).splitlines()[0]}.")
            else:
                yield name, content
    yield "txt", (words + "\n").encode()
