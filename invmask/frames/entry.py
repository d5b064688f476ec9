"""One figure of the book."""

from collections.abc import Callable
from dataclasses import dataclass

import plotly.graph_objects as go

from invmask.figures.palette import Theme
from invmask.frames.run_records import RunRecords
from invmask.measure.metrics import Measures

Draw = Callable[[RunRecords, Theme], go.Figure]


@dataclass(frozen=True)
class Entry:
    """One figure of the book.

    Attributes:
        name: in file names and on the command line.
        page: the page of the dashboard that shows it.
        title: a few words.
        caption: what it shows, in a sentence or two; victim, settings and n are added to it by `captions.caption`.
        draw: the figure of a run's records in a theme.
        exists: whether a run has it.
        n: on how many images it is measured, in words; None where nothing is measured, of any run or of this one.
        which: a sentence that says which sample, channel or runs it is about; None where there is one choice only.
    """

    name: str
    page: str
    title: str
    caption: str
    draw: Draw
    exists: Callable[[RunRecords], bool] = lambda _: True
    n: Callable[[RunRecords], str | None] | None = None
    which: Callable[[RunRecords], str] | None = None

    def words(self, records: RunRecords) -> str:
        """The caption, and which one it is about."""
        return self.caption if self.which is None else f"{self.caption} {self.which(records)}"

    def measured(self, records: RunRecords) -> str | None:
        """`n = 200 clean test images`: on how many it is measured; None where nothing is."""
        return None if self.n is None else self.n(records)


def measured_on(measures: Measures) -> str:
    """`n = 200 clean and 180 triggered test images`."""
    more = f" and {measures.n_triggered:,} triggered" if measures.n_triggered else ""
    return f"n = {measures.n_clean:,} clean{more} test images"


def on_probe(records: RunRecords) -> str:
    """`n` of what is measured on the run's probe."""
    return measured_on(records.frame.views.original)


def triggered(records: RunRecords) -> bool:
    """Whether the victim has a trigger."""
    return records.has_trigger
